package classifiers

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Bounds of a file.
const (
	MaxBody       = 64 << 20 // bytes of the body
	MaxFeatures   = 64
	MaxFields     = 4       // that one feature reads
	MaxValues     = 1 << 20 // of all features of a file
	MaxValueBytes = 1 << 20 // of all values of one feature
	MaxName       = 256     // bytes of a campaign, a field, a feature, a trainer
	MaxGolden     = 64      // profiles
	MaxWeight     = 1e6     // the largest magnitude of a weight, or of the intercept
)

// Separator joins the values of the fields that a cross reads.
const Separator = "\x1f"

// Tolerance is how far golden probabilities may be from those that a reader computes.
const Tolerance = 1e-6

// Kind is what a file holds.
type Kind string

// The kinds of files.
const (
	Classifier Kind = "classifier" // one campaign's
	Prior      Kind = "prior"      // what classifiers are deltas to
)

// A File is what a classifier file holds. Its texts may share memory with one another: clone those that are kept.
type File struct {
	Kind      Kind
	Campaign  string // empty for a prior
	Version   uint64
	Prior     uint64 // the version of the prior that the weights are deltas to; 0 if there is none
	Trainer   string
	Data      [32]byte // SHA-256 of the data set
	TrainedMs int64    // Unix
	Rows      int64    // examples
	Positives int64    // examples with a sale
	Intercept float64
	Variance  float64 // of the logit; 0 for a prior
	Features  []Feature
	Golden    Golden
}

// A Feature is a group of one-hot columns, and one for all other values.
type Feature struct {
	Name    string
	Of      []string  // the fields that it reads
	Values  []string  // ascending by bytes
	Weights []float64 // one for each value
	Other   float64   // the weight of every other value
}

// Golden are profiles with the probabilities that the trainer computed, the prior included.
type Golden struct {
	Fields        []string
	Profiles      [][]string // [profile][field]
	Probabilities []float64
}

// ErrContents is that a file is whole, but says what the contract does not allow.
var ErrContents = errors.New("its contents are against the contract")

// Validate returns an error that wraps ErrContents and names the place, if the contract does not allow the file.
func (f *File) Validate() error {
	if fault := f.fault(); fault != "" {
		return fmt.Errorf("classifiers: %w: %s", ErrContents, fault)
	}
	return nil
}

func (f *File) fault() string {
	switch f.Kind {
	case Classifier:
		if f.Campaign == "" {
			return "campaign is empty"
		}
	case Prior:
		if f.Campaign != "" || f.Prior != 0 || f.Variance != 0 {
			return "a prior has no campaign, no prior and no variance"
		}
	default:
		return fmt.Sprintf("kind is %q, must be classifier or prior", f.Kind)
	}
	switch {
	case !isText(f.Campaign, MaxName):
		return "campaign has more than 256 bytes, or is not UTF-8"
	case !isText(f.Trainer, MaxName):
		return "trainer has more than 256 bytes, or is not UTF-8"
	case f.Version == 0 || f.Version > math.MaxInt64:
		return fmt.Sprintf("version is %d, must be 1 to 2^63 - 1", f.Version)
	case f.Prior > math.MaxInt64:
		return fmt.Sprintf("prior is %d, must be 0 to 2^63 - 1", f.Prior)
	case f.TrainedMs < 0:
		return fmt.Sprintf("trained_ms is %d, must not be negative", f.TrainedMs)
	case f.Positives < 0 || f.Rows < f.Positives:
		return fmt.Sprintf("rows is %d and positives %d, must be 0 ≤ positives ≤ rows", f.Rows, f.Positives)
	case !isWeight(f.Intercept):
		return fmt.Sprintf("intercept is %v, must be at most %g in magnitude", f.Intercept, MaxWeight)
	case !(f.Variance >= 0) || math.IsInf(f.Variance, 0):
		return fmt.Sprintf("variance is %v, must be finite and not negative", f.Variance)
	case len(f.Features) < 1 || len(f.Features) > MaxFeatures:
		return fmt.Sprintf("there are %d features, must be 1 to %d", len(f.Features), MaxFeatures)
	}
	values := 0
	names, fields := map[string]bool{}, map[string]bool{}
	for i := range f.Features {
		feature := &f.Features[i]
		if fault := feature.fault(); fault != "" {
			return fmt.Sprintf("features[%d]%s", i, fault)
		}
		of := strings.Join(feature.Of, Separator)
		if names[feature.Name] || fields[of] {
			return fmt.Sprintf("features[%d] has the name or the fields of an earlier one", i)
		}
		names[feature.Name], fields[of] = true, true
		if values += len(feature.Values); values > MaxValues {
			return fmt.Sprintf("there are more than %d values", MaxValues)
		}
	}
	return f.Golden.fault()
}

func (f *Feature) fault() string {
	if f.Name == "" || !isText(f.Name, MaxName) {
		return ".name must have 1 to 256 bytes of UTF-8"
	}
	if len(f.Of) < 1 || len(f.Of) > MaxFields {
		return fmt.Sprintf(".of names %d fields, must be 1 to %d", len(f.Of), MaxFields)
	}
	if fault := fieldsFault(f.Of); fault != "" {
		return ".of" + fault
	}
	if len(f.Weights) != len(f.Values) {
		return fmt.Sprintf(" has %d values and %d weights", len(f.Values), len(f.Weights))
	}
	bytes := 0
	for i, value := range f.Values {
		if bytes += len(value); bytes > MaxValueBytes {
			return fmt.Sprintf(".values have more than %d bytes", MaxValueBytes)
		}
		if !utf8.ValidString(value) {
			return fmt.Sprintf(".values[%d] is not UTF-8", i)
		}
		if i > 0 && value <= f.Values[i-1] {
			return fmt.Sprintf(".values[%d] is not above the one before it", i)
		}
		if !isWeight(f.Weights[i]) {
			return fmt.Sprintf(".weights[%d] is %v, must be at most %g in magnitude", i, f.Weights[i], MaxWeight)
		}
	}
	if !isWeight(f.Other) {
		return fmt.Sprintf(".other is %v, must be at most %g in magnitude", f.Other, MaxWeight)
	}
	return ""
}

func (g *Golden) fault() string {
	if len(g.Fields) > MaxFeatures*MaxFields {
		return fmt.Sprintf("golden.fields are %d, must be at most %d", len(g.Fields), MaxFeatures*MaxFields)
	}
	if fault := fieldsFault(g.Fields); fault != "" {
		return "golden.fields" + fault
	}
	if len(g.Profiles) > MaxGolden || len(g.Profiles) != len(g.Probabilities) {
		return fmt.Sprintf("golden has %d profiles and %d probabilities, must be as many, at most %d", len(g.Profiles), len(g.Probabilities), MaxGolden)
	}
	for i, values := range g.Profiles {
		if len(values) != len(g.Fields) {
			return fmt.Sprintf("golden.profiles[%d] has %d values for %d fields", i, len(values), len(g.Fields))
		}
		for j, value := range values {
			if !utf8.ValidString(value) {
				return fmt.Sprintf("golden.profiles[%d][%d] is not UTF-8", i, j)
			}
		}
		if p := g.Probabilities[i]; !(p >= 0 && p <= 1) {
			return fmt.Sprintf("golden.probabilities[%d] is %v, must be 0 to 1", i, p)
		}
	}
	return ""
}

// fieldsFault is what is wrong with names of fields: each is a text without a separator, there once.
func fieldsFault(fields []string) string {
	seen := make(map[string]bool, len(fields))
	for i, field := range fields {
		if field == "" || !isText(field, MaxName) || strings.Contains(field, Separator) {
			return fmt.Sprintf("[%d] must have 1 to 256 bytes of UTF-8, without U+001F", i)
		}
		if seen[field] {
			return fmt.Sprintf("[%d] is %q again", i, field)
		}
		seen[field] = true
	}
	return ""
}

func isText(s string, limit int) bool { return len(s) <= limit && utf8.ValidString(s) }

// isWeight also refuses NaN.
func isWeight(w float64) bool { return math.Abs(w) <= MaxWeight }
