// Package overload tells when a process has more to do than its processors can, and bounds what it begins meanwhile.
//
// The sign is the scheduler's: how long goroutines that could run have waited for a processor. Where that grows, every
// answer comes later for all, and the way out is to begin less; slow peers, slow models and long waits in a batch do
// not show in it, since they take no processor.
//
// A Limiter turns it into a limit on what may be under way at once. When goroutines have waited longer than the target,
// period after period, the limit becomes a part of what was under way, the less the longer they wait; from then on it
// falls while their mean wait is above half the target and grows while it is below, until it is back at its upper bound:
// what is begun in an overload is to be answered early, and the overload is over when there is room again. A moment's
// waiting begins nothing: a collection or a neighbour's time slice passes by itself, and only a queue that stands is too
// long (the idea of CoDel: Nichols and Jacobson, 2012). So a bidder that is offered twice what it can serve goes on serving
// nearly all it can, and refuses the rest in microseconds, before it has cost anything.
package overload

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Options configure a Limiter. The zero value of a field is its default.
type Options struct {
	// Most is the limit while nothing is overloaded, and its upper bound; default 4096.
	Most int
	// Least is the limit's lower bound; default 16. It keeps the process busy where waits have other causes.
	Least int
	// Target is how long goroutines may wait for a processor, in the mean of each period; half of it while limiting;
	// default 2 ms.
	Target time.Duration
	// Period is how often the limit is set; default 10 ms.
	Period time.Duration
	// Waits reads how long goroutines have waited in all, and how many did; default: the runtime's own histogram.
	Waits func() (total time.Duration, count uint64)
}

func (o *Options) fill() error {
	setDefault(&o.Most, 4096)
	setDefault(&o.Least, 16)
	setDefault(&o.Target, 2*time.Millisecond)
	setDefault(&o.Period, 10*time.Millisecond)
	if o.Waits == nil {
		o.Waits = newSchedulerWaits().read
	}
	o.Least = min(o.Least, o.Most)
	if o.Most < 1 || o.Least < 1 || o.Target < 0 || o.Period < 0 {
		return errors.New("overload: cannot make a limiter: most, least, target and period must not be negative")
	}
	return nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Limiter bounds what is under way at once. Begin and End are safe for concurrent use, cost an atomic addition each,
// and allocate nothing.
type Limiter struct {
	o Options

	underWay atomic.Int64
	limit    atomic.Int64
	peak     atomic.Int64 // the most under way in this period
	reached  atomic.Uint64

	// Run's alone:
	total    time.Duration // Waits as it was last read
	count    uint64
	limiting bool
	over     int     // periods in a row in which goroutines waited too long, while not limiting
	times    float64 // mean wait ÷ what it may be, while limiting
	exact    float64 // the limit, while limiting
}

// New makes a limiter. It stays at Most until Run runs.
func New(o Options) (*Limiter, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	l := &Limiter{o: o}
	l.limit.Store(int64(o.Most))
	l.total, l.count = o.Waits()
	return l, nil
}

// Begin reports whether one more may be under way. Where it may, End must follow.
func (l *Limiter) Begin() bool {
	n := l.underWay.Add(1)
	if n > l.limit.Load() {
		l.underWay.Add(-1)
		l.reached.Add(1)
		return false
	}
	for peak := l.peak.Load(); n > peak && !l.peak.CompareAndSwap(peak, n); peak = l.peak.Load() {
	}
	return true
}

// End gives the place back.
func (l *Limiter) End() { l.underWay.Add(-1) }

// Stats is a limiter's state.
type Stats struct {
	UnderWay int    // now
	Limit    int    // now
	Most     int    // the limit's upper bound
	Reached  uint64 // Begins that were refused
}

// Stats is a snapshot.
func (l *Limiter) Stats() Stats {
	return Stats{int(l.underWay.Load()), int(l.limit.Load()), l.o.Most, l.reached.Load()}
}

// Run sets the limit every period until ctx ends.
func (l *Limiter) Run(ctx context.Context) error {
	ticker := time.NewTicker(l.o.Period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			l.adjust()
		}
	}
}

const (
	standing = 10   // periods in a row make a queue a standing one
	mostCut  = 0.5  // of what was under way is left at least when limiting begins
	leastCut = 0.95 // … and at most
	held     = 0.5  // of the target is what goroutines may wait while limiting
	memory   = 0.3  // weight of a period in the mean wait, while limiting
	cut      = 0.05 // of the limit, for each time that waits are longer than they may be
	cutMost  = 0.1  // … a period at most
	growth   = 0.02 // of the limit, where nothing waits; less the nearer waits are to what they may be
)

// adjust sets the limit by what was seen since the last call.
func (l *Limiter) adjust() {
	total, count := l.o.Waits()
	waited, n := total-l.total, count-l.count
	l.total, l.count = total, count
	peak := float64(l.peak.Swap(l.underWay.Load()))
	times := 0.0 // how many times the target goroutines waited
	if n > 0 {
		times = float64(waited) / float64(n) / float64(l.o.Target)
	}
	if !l.limiting {
		if times <= 1 {
			l.over = 0
			return
		}
		if l.over++; l.over < standing {
			return
		}
		l.limiting, l.over, l.times = true, 0, times/held
		l.exact = peak * min(max(1/times, mostCut), leastCut)
	} else {
		l.times += memory * (times/held - l.times)
		if l.times > 1 {
			l.exact = min(l.exact, peak) * (1 - min(cut*(l.times-1), cutMost))
		} else {
			l.exact *= 1 + growth*(1-l.times)
		}
	}
	l.exact = max(l.exact, float64(l.o.Least))
	if l.exact >= float64(l.o.Most) {
		l.exact, l.limiting = float64(l.o.Most), false
	}
	l.limit.Store(int64(l.exact))
}
