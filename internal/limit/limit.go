// Package limit tells when a process has more to do than its processors can, and bounds what it begins meanwhile.
//
// The sign is the scheduler's: how long goroutines that could run have waited for a processor. Where that grows, every
// answer comes later for all, and the way out is to begin less; slow peers, slow models and long waits in a batch do
// not show in it, since they take no processor.
//
// A Limiter turns it into a limit on what may be under way at once. Limiting begins when a queue stands: of all that
// waited in the last ten periods, half waited longer than three times the target, and in the last five the queue was never
// found short. Bursts, collections and a neighbour's time slices lift the mean of moments, and pass by themselves; only a
// queue that stands is too long (the idea of CoDel: Nichols and Jacobson, 2012). The limit then becomes a part of what was
// under way, the less the longer goroutines wait; from then on it falls while their mean wait is above the target and
// grows while it is below, for what is begun in an overload is to be answered early. Where the queue is found short now
// and then, waits count for less, and for nothing from one look in ten on: a batch that ends lets a hundred goroutines go
// at once, and they wait for each other, however much time the processors have to spare between two batches.
// The limit is lifted when for ten periods none has been refused. So a bidder that is offered twice what it can serve goes
// on serving nearly all it can, and refuses the rest in microseconds, before it has cost anything
// (docs/decisions/0009-overload.md has what was measured).
package limit

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

// Options configure a Limiter. The zero value of a field is its default.
type Options struct {
	// Most is the limit while nothing is overloaded, and its upper bound; default 4096.
	Most int
	// Least is the limit's lower bound; default 16. It keeps the process busy where waits have other causes: nothing
	// is limited while no more are under way.
	Least int
	// Target is how long goroutines may wait for a processor in an overload, in the mean, where processors have no time to
	// spare; default 1 ms.
	Target time.Duration
	// Period is how often the limit is set; default 10 ms, at least 1 ms.
	Period time.Duration
	// Waits is read once a period; default: from the runtime's own histogram.
	Waits func() Waits
	// Processors is how many goroutines run at once where nothing is short; default: GOMAXPROCS of now.
	Processors int
	// Queue says how many goroutines wait for a processor now; default: by the runtime's own count. It is asked ten times a
	// period while they wait long.
	Queue func() int
}

// Waits says how long goroutines waited for a processor; zero where none did.
type Waits struct {
	Mean   time.Duration // in the last period
	Median time.Duration // in the last ten periods
}

func (o *Options) fill() error {
	o.Most = cmp.Or(o.Most, 4096)
	o.Least = cmp.Or(o.Least, 16)
	o.Target = cmp.Or(o.Target, time.Millisecond)
	o.Period = cmp.Or(o.Period, 10*time.Millisecond)
	if o.Waits == nil {
		o.Waits = newSchedulerWaits().read
	}
	o.Processors = cmp.Or(o.Processors, runtime.GOMAXPROCS(0))
	if o.Queue == nil {
		o.Queue = newSchedulerQueue().read
	}
	o.Least = min(o.Least, o.Most)
	if o.Most < 1 || o.Least < 1 || o.Target < 0 || o.Period < time.Millisecond {
		return errors.New("limit: cannot make a limiter: most, least, target and period must not be negative, and the period not below 1 ms")
	}
	return nil
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
	refused uint64  // what reached was at the last period's end
	idle    int     // periods in a row in which none was refused
	times   float64 // mean wait ÷ target
	exact   float64 // the limit; less than Most while it limits
	looks   looks
}

// New makes a limiter. It stays at Most until Run runs.
func New(o Options) (*Limiter, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	l := &Limiter{o: o}
	l.set(float64(o.Most))
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
	betweenLooks := l.o.Period / looksAPeriod
	var adjusted, now time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case now = <-ticker.C:
		}
		looking := l.looks.wanted
		if looking {
			l.looks.look(l.o.Queue() <= l.o.Processors)
			if now.Sub(adjusted) < l.o.Period-betweenLooks/2 {
				continue
			}
		}
		adjusted = now
		switch l.adjust(); {
		case l.looks.wanted == looking:
		case looking:
			ticker.Reset(l.o.Period)
		default:
			ticker.Reset(betweenLooks)
		}
	}
}

const (
	standing = 10   // periods are as long as a queue must stand, and as none may have been refused when it is gone
	stands   = 3    // times the target is what half of the goroutines wait for longer where a queue stands
	mostCut  = 0.5  // of what was under way is left at least when limiting begins
	leastCut = 0.95 // … and at most
	memory   = 0.3  // weight of a period in the mean wait
	cut      = 0.05 // of the limit, for each time the target that waits press more
	cutMost  = 0.1  // … a period at most
	growth   = 0.02 // of the limit, where nothing presses; less the nearer it is to the target
)

// adjust sets the limit by what was seen since the last call.
func (l *Limiter) adjust() {
	waits := l.o.Waits()
	peak := float64(l.peak.Swap(l.underWay.Load()))
	times := float64(waits.Mean) / float64(l.o.Target)
	if l.exact == float64(l.o.Most) {
		if waits.Median > stands*l.o.Target && l.looks.stand() && peak > float64(l.o.Least) {
			l.begin(times, peak)
			return
		}
		if waits.Median <= l.o.Target {
			l.looks = looks{}
		} else {
			l.looks.wanted = true
		}
		return
	}
	if refused := l.reached.Load(); refused != l.refused {
		l.refused, l.idle = refused, 0
	} else if l.idle++; l.idle == standing {
		l.set(float64(l.o.Most))
		return
	}
	l.times += memory * (times - l.times)
	pressure := l.times * (1 - l.looks.spare())
	change := growth * (1 - pressure)
	if pressure > 1 {
		change = -min(cut*(pressure-1), cutMost)
	}
	l.set(l.exact * (1 + change))
}

// begin limits: goroutines wait so many times the target, with so much under way.
func (l *Limiter) begin(times, peak float64) {
	l.refused, l.idle, l.times = l.reached.Load(), 0, times
	l.looks.short = 0
	l.set(peak * min(max(1/times, mostCut), leastCut))
}

func (l *Limiter) set(limit float64) {
	l.exact = min(max(limit, float64(l.o.Least)), float64(l.o.Most))
	l.limit.Store(int64(l.exact))
}
