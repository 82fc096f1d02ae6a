// Package recipe reads a model's recipe: models/<model>/recipe.yaml, whose keys docs/contracts.md lists. Python reads
// the same file (pytrain/recipe.py), with the same defaults and bounds.
package recipe

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"gavel/internal/features"
	"gavel/internal/strictyaml"
)

// The labels a model can predict.
const (
	Click      = "click"      // P(click | impression)
	Conversion = "conversion" // P(conversion | click)
)

// The formats that a version can be exported in, by the names that manifests give them.
const (
	SavedModel = "savedmodel"
	Plan       = "plan"
)

// Recipe is the recipe of one model. Load and Decode return only valid ones.
type Recipe struct {
	Model        string             `yaml:"model"`
	Label        string             `yaml:"label"`
	Architecture Architecture       `yaml:"architecture"`
	Optimizer    Optimizer          `yaml:"optimizer"`
	Training     Training           `yaml:"training"`
	Join         Join               `yaml:"join"`
	Export       []string           `yaml:"export"` // the formats of each version, at least one; the first is the bidder's default
	Features     []features.Feature `yaml:"features"`

	encoder *features.Encoder
}

// Architecture is which model, and its sizes.
type Architecture struct {
	Kind         string `yaml:"kind"`          // logreg, fm or deepfm
	EmbeddingDim int    `yaml:"embedding_dim"` // fm, deepfm
	Hidden       []int  `yaml:"hidden"`        // deepfm
}

// Optimizer is how weights move. Settings of another kind are 0.
type Optimizer struct {
	Kind         string  `yaml:"kind"`          // lazy_adam, adam or ftrl
	LearningRate float64 `yaml:"learning_rate"` // of ftrl: alpha
	Beta1        float64 `yaml:"beta_1"`        // Adam
	Beta2        float64 `yaml:"beta_2"`        // Adam
	Epsilon      float64 `yaml:"epsilon"`       // Adam
	Beta         float64 `yaml:"beta"`          // ftrl
	L1           float64 `yaml:"l1"`            // ftrl
	L2           float64 `yaml:"l2"`            // ftrl
}

// unset marks a setting of the optimizer that the file leaves out: its default depends on the kind.
const unset = -math.MaxFloat64

// Training is sizes and cadence.
type Training struct {
	Seed                   int64   `yaml:"seed"`
	BatchRows              int     `yaml:"batch_rows"`
	BaseRate               float64 `yaml:"base_rate"`
	WindowRows             int     `yaml:"window_rows"`
	CheckpointEverySeconds float64 `yaml:"checkpoint_every_seconds"`
	ExportEverySeconds     float64 `yaml:"export_every_seconds"`
	ExportMinRows          int64   `yaml:"export_min_rows"`
}

// Join says how long examples wait for their events.
type Join struct {
	BidWaitSeconds   float64 `yaml:"bid_wait_seconds"`
	LabelWaitSeconds float64 `yaml:"label_wait_seconds"`
}

// Encoder returns the compiled feature spec.
func (r *Recipe) Encoder() *features.Encoder { return r.encoder }

// CheckpointEvery is how often the trainer asks for a checkpoint.
func (t *Training) CheckpointEvery() time.Duration { return seconds(t.CheckpointEverySeconds) }

// ExportEvery is how often the trainer asks for a version.
func (t *Training) ExportEvery() time.Duration { return seconds(t.ExportEverySeconds) }

// BidWait is how long after the bid its impression (or click) may come.
func (j *Join) BidWait() time.Duration { return seconds(j.BidWaitSeconds) }

// LabelWait is how long after the impression (or click) the click (or conversion) still counts.
func (j *Join) LabelWait() time.Duration { return seconds(j.LabelWaitSeconds) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Load reads a recipe file. The error joins every fault.
func Load(path string) (*Recipe, error) {
	r := defaults()
	if err := strictyaml.ReadFile(path, r); err != nil {
		return nil, err
	}
	return r, nil
}

// Decode reads a recipe's text. name precedes every fault.
func Decode(name string, data []byte) (*Recipe, error) {
	r := defaults()
	if err := strictyaml.Decode(name, data, r); err != nil {
		return nil, err
	}
	return r, nil
}

// LoadAll reads <dir>/<model>/recipe.yaml of every model in dir, in the order of their names. It skips a directory
// without a recipe. A recipe in the directory of another model is a fault.
func LoadAll(dir string) (map[string]*Recipe, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "recipe.yaml"))
	if err == nil && len(paths) == 0 {
		if _, err = os.Stat(dir); err == nil {
			err = fmt.Errorf("no %s", filepath.Join(dir, "*", "recipe.yaml"))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("recipe: cannot load recipes: %w", err)
	}
	recipes := make(map[string]*Recipe, len(paths))
	var faults []error
	for _, path := range paths {
		r, err := Load(path)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if want := filepath.Base(filepath.Dir(path)); r.Model != want {
			faults = append(faults, fmt.Errorf("%s: model: is %q in the directory of %q; rename one", path, r.Model, want))
		}
		recipes[r.Model] = r
	}
	return recipes, errors.Join(faults...)
}

func defaults() *Recipe {
	return &Recipe{
		Optimizer: Optimizer{Kind: "lazy_adam", LearningRate: unset, Beta1: unset, Beta2: unset, Epsilon: unset,
			Beta: unset, L1: unset, L2: unset},
		Training: Training{Seed: 1, BatchRows: 256, BaseRate: 0.05, WindowRows: 5000, CheckpointEverySeconds: 15,
			ExportEverySeconds: 20, ExportMinRows: 500},
		Join:   Join{BidWaitSeconds: 60, LabelWaitSeconds: 5},
		Export: []string{SavedModel},
	}
}

var modelPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// checkOptimizer gives settings that are left out the defaults of their kind, and refuses those of another kind.
func (r *Recipe) checkOptimizer(check func(ok bool, key, format string, args ...any)) {
	o := &r.Optimizer
	ftrl := o.Kind == "ftrl"
	check(ftrl || o.Kind == "lazy_adam" || o.Kind == "adam", "optimizer.kind", "%q is unknown; use lazy_adam, adam or ftrl", o.Kind)
	check(!ftrl || r.Architecture.Kind == "logreg", "optimizer.kind", "ftrl learns a logreg, not a %s; use lazy_adam", r.Architecture.Kind)
	rate := 0.001
	if ftrl {
		rate = 0.1
	}
	for _, s := range []struct {
		key       string
		value     *float64
		is        bool // a setting of this kind
		otherwise float64
		low, high float64
		open      bool // low excluded, high included; else the other way round
	}{
		{"learning_rate", &o.LearningRate, true, rate, 0, 1, true},
		{"beta_1", &o.Beta1, !ftrl, 0.9, 0, 1, false},
		{"beta_2", &o.Beta2, !ftrl, 0.999, 0, 1, false},
		{"epsilon", &o.Epsilon, !ftrl, 1e-7, 0, 1, true},
		{"beta", &o.Beta, ftrl, 1, 0, 1000, true},
		{"l1", &o.L1, ftrl, 0, 0, 1000, false},
		{"l2", &o.L2, ftrl, 1, 0, 1000, false},
	} {
		key := "optimizer." + s.key
		switch {
		case *s.value == unset && s.is:
			*s.value = s.otherwise
		case *s.value == unset:
			*s.value = 0
		case !s.is:
			check(false, key, "%s has no such setting; remove the key", o.Kind)
		case s.open:
			check(*s.value > s.low && *s.value <= s.high, key, "%v is not above %v, up to %v", *s.value, s.low, s.high)
		default:
			check(*s.value >= s.low && *s.value < s.high, key, "%v is not in [%v, %v)", *s.value, s.low, s.high)
		}
	}
}

// maxPlanFloats bounds the table of a plan: an object has at most 2^31 bytes, 64 of them a header.
const maxPlanFloats = 1<<29 - 16

// maxSeconds bounds every duration: 30 days.
const maxSeconds = 30 * 24 * 3600

// Validate returns every fault and compiles the features. strictyaml calls it.
func (r *Recipe) Validate() []error {
	var faults []error
	check := func(ok bool, key, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
		}
	}
	between := func(key string, v, low, high float64) { // high excluded
		check(v >= low && v < high, key, "%v is not in [%v, %v)", v, low, high)
	}
	above := func(key string, v, high float64) { // high included
		check(v > 0 && v <= high, key, "%v is not above 0, up to %v", v, high)
	}
	check(modelPattern.MatchString(r.Model), "model", "%q: want a letter, then letters, digits and _, all lower case, 63 at most", r.Model)
	check(r.Label == Click || r.Label == Conversion, "label", "%q is unknown; use click or conversion", r.Label)

	a := &r.Architecture
	switch a.Kind {
	case "logreg":
		check(a.EmbeddingDim == 0, "architecture.embedding_dim", "logreg has no embeddings; remove the key or choose fm or deepfm")
	case "fm", "deepfm":
		between("architecture.embedding_dim", float64(a.EmbeddingDim), 1, 1025)
	default:
		check(false, "architecture.kind", "%q is unknown; use logreg, fm or deepfm", a.Kind)
	}
	check((a.Kind == "deepfm") == (len(a.Hidden) > 0), "architecture.hidden", "deepfm needs hidden layers, such as [128, 64, 32], and no other has them")
	check(len(a.Hidden) <= 16, "architecture.hidden", "%d layers exceed the bound of 16", len(a.Hidden))
	for i, units := range a.Hidden {
		between(fmt.Sprintf("architecture.hidden[%d]", i), float64(units), 1, 8193)
	}

	r.checkOptimizer(check)

	t := &r.Training
	check(t.Seed >= 0, "training.seed", "%d is below 0", t.Seed)
	between("training.batch_rows", float64(t.BatchRows), 1, 1<<20+1)
	check(t.BaseRate > 0 && t.BaseRate < 1, "training.base_rate", "%v is not between 0 and 1", t.BaseRate)
	between("training.window_rows", float64(t.WindowRows), 1, 1<<24+1)
	above("training.checkpoint_every_seconds", t.CheckpointEverySeconds, maxSeconds)
	above("training.export_every_seconds", t.ExportEverySeconds, maxSeconds)
	between("training.export_min_rows", float64(t.ExportMinRows), 0, math.MaxInt32)
	above("join.bid_wait_seconds", r.Join.BidWaitSeconds, maxSeconds)
	above("join.label_wait_seconds", r.Join.LabelWaitSeconds, maxSeconds)

	check(len(r.Export) > 0, "export", "is empty; leave it out, or list %s, %s or both", SavedModel, Plan)
	for i, format := range r.Export {
		check(format == SavedModel || format == Plan, fmt.Sprintf("export[%d]", i), "%q is unknown; use %s or %s", format, SavedModel, Plan)
		check(!slices.Contains(r.Export[:i], format), fmt.Sprintf("export[%d]", i), "%s stands twice; remove one", format)
	}

	var err error
	if r.encoder, err = features.NewEncoder(r.Features); err != nil {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			faults = append(faults, joined.Unwrap()...)
		} else {
			faults = append(faults, err)
		}
	} else if floats := int64(r.encoder.TableRows()) * int64(1+a.EmbeddingDim); slices.Contains(r.Export, Plan) && floats > maxPlanFloats {
		check(false, "export", "a table of %d × %d floats is over the 2 GiB of a plan's parameter; leave plan out, or use fewer buckets or a smaller embedding_dim",
			r.encoder.TableRows(), 1+a.EmbeddingDim)
	}
	return faults
}
