package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/models"
)

// ModelSettings is what the configuration says of one model: models.<name>. What is nil is as in batcher, or has the
// default given.
type ModelSettings struct {
	Policy     *string        `yaml:"policy"`
	MaxRows    *int           `yaml:"max_rows"`
	MaxWait    *time.Duration `yaml:"max_wait"`
	QueueRows  *int           `yaml:"queue_rows"`
	Weight     *float64       `yaml:"weight"`      // 1
	MaxRunners *int           `yaml:"max_runners"` // all there are for it
	Runners    *int           `yaml:"runners"`     // none of its own: those of batcher.runners, shared
	Nice       *int           `yaml:"nice"`        // 0
}

// batching is how a model's rows are batched.
type batching struct {
	queue batcher.QueueOptions
	own   *batcher.PoolOptions // nil: by the runners that models share
}

// batching is a served model's.
func (c *Config) batching(model string) batching {
	b, m := &c.Batcher, c.Models[model]
	out := batching{queue: batcher.QueueOptions{
		Policy: batcher.Policy(or(m.Policy, b.Policy)), MaxRows: or(m.MaxRows, b.MaxRows), MaxWait: or(m.MaxWait, b.MaxWait),
		QueueRows: or(m.QueueRows, b.QueueRows), Weight: or(m.Weight, 1), MaxRunners: or(m.MaxRunners, 0),
		CalibrationRuns: 8,
	}}
	if m.Runners != nil {
		out.own = &batcher.PoolOptions{Runners: *m.Runners, Nice: or(m.Nice, 0)}
	}
	return out
}

func or[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

// served are the names of the models that the bidder serves, sorted.
func (c *Config) served() []string {
	if len(c.Models) > 0 {
		return slices.Sorted(maps.Keys(c.Models))
	}
	names := []string{c.Auction.Click}
	if c.Auction.Conversion != "" && c.Auction.Conversion != c.Auction.Click {
		names = append(names, c.Auction.Conversion)
	}
	return names
}

// modelFaults are those of models and of what names them, and of batcher.
func (c *Config) modelFaults() (faults []error) {
	b := &c.Batcher
	shared := ModelSettings{Policy: &b.Policy, MaxRows: &b.MaxRows, MaxWait: &b.MaxWait,
		QueueRows: &b.QueueRows, Runners: &b.Runners}
	faults = append(faults, shared.faults("batcher", shared)...)
	for name, m := range c.Models {
		key := "models." + name
		if err := models.CheckModel(name); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", key, err))
		}
		faults = append(faults, m.faults(key, shared)...)
	}
	for key, name := range map[string]string{"auction.click": c.Auction.Click, "auction.conversion": c.Auction.Conversion} {
		if name != "" && !slices.Contains(c.served(), name) {
			faults = append(faults, fmt.Errorf("%s: %q is not among models: %q; add it there, or leave models out", key, name, c.served()))
		}
	}
	return faults
}

// faults are of what is set; otherwise is what holds where nothing is.
func (m *ModelSettings) faults(key string, otherwise ModelSettings) (faults []error) {
	fault := func(setting, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s.%s: "+format, append([]any{key, setting}, args...)...))
	}
	if p := m.Policy; p != nil && !slices.Contains(batcher.Policies, batcher.Policy(*p)) {
		fault("policy", "%q is none of %v", *p, batcher.Policies)
	}
	for _, n := range []struct {
		setting     string
		value       *int
		least, most int
	}{
		{"max_rows", m.MaxRows, 1, 1 << 16}, {"queue_rows", m.QueueRows, 1, 1 << 22}, {"max_runners", m.MaxRunners, 1, 1024},
		{"runners", m.Runners, 1, 1024}, {"nice", m.Nice, 0, 19},
	} {
		if n.value != nil && (*n.value < n.least || *n.value > n.most) {
			fault(n.setting, "%d must be %d to %d", *n.value, n.least, n.most)
		}
	}
	if w := m.MaxWait; w != nil && (*w <= 0 || *w > time.Minute) {
		fault("max_wait", "%v must be above 0 and at most 1m", *w)
	}
	if w := m.Weight; w != nil && !(*w > 0 && *w <= 1e6) {
		fault("weight", "%v must be above 0 and at most 1e6", *w)
	}
	if m.MaxRows != nil || m.QueueRows != nil {
		if rows, queue := cmp.Or(m.MaxRows, otherwise.MaxRows), cmp.Or(m.QueueRows, otherwise.QueueRows); *queue < *rows {
			fault("queue_rows", "%d is less than max_rows (%d)", *queue, *rows)
		}
	}
	if or(m.Nice, 0) > 0 {
		if m.Runners == nil {
			fault("nice", "the model shares its runners; give it runners of its own")
		}
		if policy := cmp.Or(m.Policy, otherwise.Policy); batcher.Policy(*policy) == batcher.Off {
			fault("nice", "under policy off auctions run their rows themselves, not nicely; leave one of the two out")
		}
	}
	return faults
}

// pools are the runners: those that models share, if any does, and those that a model has for itself.
type pools []namedPool

type namedPool struct {
	name string // sharedPool, or the model's
	*batcher.Pool
}

// sharedPool is no model's name.
const sharedPool = "(shared)"

// of is the pool that runs a model's batches.
func (ps pools) of(model string) *batcher.Pool {
	if own := ps.named(model); own != nil {
		return own
	}
	return ps.named(sharedPool)
}

// named is nil if there is none of that name.
func (ps pools) named(name string) *batcher.Pool {
	for _, p := range ps {
		if p.name == name {
			return p.Pool
		}
	}
	return nil
}
