package scoring

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"gavel/internal/batcher"
)

// Settings is what a configuration file says about a model: its format and its batches. A field that the file leaves out is nil.
type Settings struct {
	Engine     *string        `yaml:"engine"` // the format of the versions to load; nil: each version's first
	Policy     *string        `yaml:"policy"`
	MaxRows    *int           `yaml:"max_rows"`
	MaxWait    *time.Duration `yaml:"max_wait"`
	QueueRows  *int           `yaml:"queue_rows"`
	Weight     *float64       `yaml:"weight"`      // nil: 1
	MaxRunners *int           `yaml:"max_runners"` // nil: all runners
	Runners    *int           `yaml:"runners"`     // nil: the model shares runners with others
	Nice       *int           `yaml:"nice"`        // nil: 0
}

// calibrationRuns is how often a new version runs a batch of each size before it serves. A few runs are enough to begin
// with; the batcher goes on learning from the batches that it runs.
const calibrationRuns = 8

// Inherit returns the settings with the policy, the rows and the wait that s leaves out taken from the settings of all
// models.
func (s Settings) Inherit(all Settings) Settings {
	s.Policy = cmp.Or(s.Policy, all.Policy)
	s.MaxRows = cmp.Or(s.MaxRows, all.MaxRows)
	s.MaxWait = cmp.Or(s.MaxWait, all.MaxWait)
	s.QueueRows = cmp.Or(s.QueueRows, all.QueueRows)
	return s
}

// Queue returns the options of the queue that each version of the model has. What s leaves out is 0, which means the
// batcher's default.
func (s Settings) Queue() batcher.QueueOptions {
	return batcher.QueueOptions{
		Policy: batcher.Policy(value(s.Policy)), MaxRows: value(s.MaxRows), MaxWait: value(s.MaxWait), QueueRows: value(s.QueueRows),
		Weight: value(s.Weight), MaxRunners: value(s.MaxRunners), CalibrationRuns: calibrationRuns,
	}
}

// Pool returns the options of the model's own runners, or nil if the model shares runners with others.
func (s Settings) Pool() *batcher.PoolOptions {
	if s.Runners == nil {
		return nil
	}
	return &batcher.PoolOptions{Runners: *s.Runners, Nice: value(s.Nice)}
}

// value returns the zero value for nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// Faults returns what is wrong with the settings that the file sets under key. all are the settings of all models, which
// hold for what s leaves out.
func (s Settings) Faults(key string, all Settings) (faults []error) {
	fault := func(setting, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s.%s: "+format, append([]any{key, setting}, args...)...))
	}
	if p := s.Policy; p != nil && !slices.Contains(batcher.Policies, batcher.Policy(*p)) {
		fault("policy", "%q is none of %v", *p, batcher.Policies)
	}
	for _, n := range []struct {
		setting     string
		value       *int
		least, most int
	}{
		{"max_rows", s.MaxRows, 1, 1 << 16},
		{"queue_rows", s.QueueRows, 1, 1 << 22},
		{"max_runners", s.MaxRunners, 1, 1024},
		{"runners", s.Runners, 1, 1024},
		{"nice", s.Nice, 0, 19},
	} {
		if n.value != nil && (*n.value < n.least || *n.value > n.most) {
			fault(n.setting, "%d must be %d to %d", *n.value, n.least, n.most)
		}
	}
	if w := s.MaxWait; w != nil && (*w <= 0 || *w > time.Minute) {
		fault("max_wait", "%v must be above 0 and at most 1m", *w)
	}
	if w := s.Weight; w != nil && !(*w > 0 && *w <= 1e6) {
		fault("weight", "%v must be above 0 and at most 1e6", *w)
	}
	whole := s.Inherit(all)
	setsRows := s.MaxRows != nil || s.QueueRows != nil
	if rows, queue := value(whole.MaxRows), value(whole.QueueRows); setsRows && queue < rows {
		fault("queue_rows", "%d is less than max_rows (%d)", queue, rows)
	}
	if value(s.Nice) > 0 && s.Runners == nil {
		fault("nice", "the model shares its runners; give it runners of its own")
	}
	if value(s.Nice) > 0 && batcher.Policy(value(whole.Policy)) == batcher.Off {
		fault("nice", "under policy off each auction runs its own rows, without niceness; leave one of the two out")
	}
	return faults
}
