// Package sales is the hidden truth of a ranking: the campaigns that can be shown, and the probability that a click which is
// sent to one of them becomes a sale. The ranker never sees it and can only learn it from sales.
//
// # The model
//
// For campaign c and a person with the value v of each field of package people:
//
//	logit P(sale) = b_c + Σ over fields: shared[v] + own_c[v],   shared ~ N(0, SharedStd²), own_c ~ N(0, OwnStd²)
//
// b_c makes the mean probability over people the campaign's rate, which is drawn between RateMin and RateMax, evenly on a
// logarithmic scale. So what all campaigns share decides how many sales there are, and b_c and own_c decide which campaign is
// best for a person.
//
// # Time
//
// Time passes in steps of Every. At each step every own effect, and an effect of the campaign as such, becomes ρ·x + √(1−ρ²)·ε
// with a fresh ε ~ N(0, OwnStd²): it stays as large and forgets; ρ halves its correlation with the past in HalfLife. And
// Replaced campaigns end, and others begin in their place. Before Start nothing changes. The state at a step depends on the seed
// and the step alone.
package sales

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/people"
)

// Options describe the truth.
type Options struct {
	Seed  uint64    `yaml:"-"`
	Start time.Time `yaml:"-"` // of the first step

	Campaigns int           `yaml:"campaigns"`       // active at any time
	RateMin   float64       `yaml:"rate_min"`        // mean sales a click of the rarest campaign
	RateMax   float64       `yaml:"rate_max"`        // and of the most frequent one
	SharedStd float64       `yaml:"shared_std"`      // of a value's effect on all campaigns, in the logit
	OwnStd    float64       `yaml:"own_std"`         // of a value's effect on one campaign
	Every     time.Duration `yaml:"every"`           // the length of a step; 0: nothing changes
	HalfLife  time.Duration `yaml:"drift_half_life"` // of the own effects; 0: no drift
	Replaced  int           `yaml:"replaced"`        // campaigns that end at each step
}

// Defaults returns the settings of the demonstration.
func Defaults() Options {
	return Options{Campaigns: 500, RateMin: 1e-6, RateMax: 1e-2, SharedStd: 0.5, OwnStd: 0.25,
		Every: 10 * time.Second, HalfLife: time.Hour, Replaced: 1}
}

// Validate returns every fault.
func (o *Options) Validate() []error {
	var faults []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("ranking."+format, args...))
		}
	}
	bad(o.Campaigns >= 1 && o.Campaigns <= 100_000, "campaigns: %d is not in 1 … 100000", o.Campaigns)
	bad(o.RateMin > 0 && o.RateMin <= o.RateMax && o.RateMax <= 0.5, "rate_min, rate_max: want 0 < %v ≤ %v ≤ 0.5", o.RateMin, o.RateMax)
	bad(o.SharedStd >= 0 && o.SharedStd <= 5, "shared_std: %v is not in 0 … 5", o.SharedStd)
	bad(o.OwnStd >= 0 && o.OwnStd <= 5, "own_std: %v is not in 0 … 5", o.OwnStd)
	bad(o.Every >= 0 && o.HalfLife >= 0, "every %v and drift_half_life %v may not be negative", o.Every, o.HalfLife)
	bad(o.Replaced >= 0 && o.Replaced <= o.Campaigns, "replaced: %d is not in 0 … %d", o.Replaced, o.Campaigns)
	return faults
}

const (
	calibration = 1000 // people by whom b_c is found
	// kept is how many steps a campaign is remembered after its end: clicks may still be sent to it.
	kept = 3
)

// firstOf is the place of each field's effects among a campaign's own. The effect of the campaign as such is the last.
var firstOf, effects = func() (first [people.Fields]int, n int) {
	for f, size := range people.Sizes {
		first[f] = n
		n += size
	}
	return first, n + 1
}()

// World holds the truth. It is safe for concurrent use.
type World struct {
	o          Options
	key        dice.Key
	rho, fresh float64 // of a step
	shared     []float64
	sample     []places // of people, for the calibration

	mu    sync.Mutex // held while a state is made
	state atomic.Pointer[State]
}

// New returns the truth at the start.
func New(o Options) (*World, error) {
	if faults := o.Validate(); len(faults) > 0 {
		return nil, fmt.Errorf("sales: no such world: %w", faults[0])
	}
	w := &World{o: o, key: dice.New(o.Seed).With(0x73616c65), rho: 1} // "sale"
	if o.HalfLife > 0 {
		w.rho = math.Exp2(-float64(o.Every) / float64(o.HalfLife))
		w.fresh = math.Sqrt(1 - w.rho*w.rho)
	}
	w.shared = make([]float64, effects)
	for i := range effects - 1 {
		w.shared[i] = o.SharedStd * w.key.With(1).With(uint64(i)).Normal()
	}
	for i := range calibration {
		k := w.key.With(2).With(uint64(i))
		person := people.Draw(k)
		w.sample = append(w.sample, placesOf(&person, time.Unix(int64(k.With(9).Intn(24))*3600, 0)))
	}
	s := &State{world: w, byID: map[string]*Campaign{}}
	for range o.Campaigns {
		s.begin(len(s.Active))
	}
	w.state.Store(s)
	return w, nil
}

// At returns the state at a time. If a later one was asked for before, it is that.
func (w *World) At(now time.Time) *State {
	s := w.state.Load()
	if w.o.Every == 0 || s.step >= w.step(now) {
		return s
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s = w.state.Load()
	for s.step < w.step(now) {
		s = s.next()
	}
	w.state.Store(s)
	return s
}

func (w *World) step(now time.Time) int64 { return int64(now.Sub(w.o.Start) / w.o.Every) }
