// Package limit bounds how much a process begins at once, so that its processors can keep up.
//
// The sign of an overload is the Go scheduler's: how long runnable goroutines wait for a processor. If that wait grows,
// every answer comes later, and the remedy is to begin less. Slow peers, slow models and rows that wait in a batch do not
// show in it, because they use no processor.
//
// A Limiter starts to limit when a queue stands, after the idea of CoDel (Nichols and Jacobson, 2012):
//
//   - of all waits in the last ten periods, half were longer than three times the target; and
//   - no sample of the last five periods found the scheduler's queue short.
//
// Bursts, garbage collections and a neighbour's time slices raise the mean for a moment and pass by themselves.
//
// When it starts, the limit is a part of what was under way: the longer goroutines wait, the smaller. From then on it falls
// while the mean wait is above the target, and grows while it is below. Where samples find the queue short now and then,
// waits count for less, and from one sample in ten on they count for nothing: a batch that ends makes a hundred goroutines
// runnable at once, and these wait for each other although the processors have time to spare.
//
// The limit ends when nothing was refused for ten periods. A bidder that is offered twice what it can serve therefore serves
// nearly all that it can, and refuses the rest in microseconds (docs/decisions/0009-overload.md).
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
	// Least is the limit's lower bound; default 16. While no more are under way, nothing is limited: waits then have other
	// causes.
	Least int
	// Target is the mean wait for a processor that the limit aims at in an overload; default 1 ms.
	Target time.Duration
	// Period is how often the limit is set; default 10 ms, at least 1 ms.
	Period time.Duration
	// Waits is read once a period; default: from the runtime's own histogram.
	Waits func() Waits
	// Processors is how many goroutines can run at once. The queue is short if no more wait. Default: GOMAXPROCS at the start.
	Processors int
	// Queue returns how many goroutines wait for a processor now; default: the runtime's own count. While waits are long, it
	// is sampled ten times a period.
	Queue func() int
}

// Waits says how long goroutines waited for a processor; zero if none did.
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
	refused uint64  // reached, at the last period's end
	idle    int     // periods in a row without a refusal
	times   float64 // mean wait ÷ target
	exact   float64 // the limit; less than Most while it limits
	samples samples
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

// Begin reports whether one more may be under way. If so, the caller must call End.
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

// End says that one is no longer under way.
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
	betweenSamples := l.o.Period / samplesAPeriod
	var adjusted, now time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case now = <-ticker.C:
		}
		sampling := l.samples.wanted
		if sampling {
			l.samples.add(l.o.Queue() <= l.o.Processors)
			if now.Sub(adjusted) < l.o.Period-betweenSamples/2 {
				continue
			}
		}
		adjusted = now
		switch l.adjust(); {
		case l.samples.wanted == sampling:
		case sampling:
			ticker.Reset(l.o.Period)
		default:
			ticker.Reset(betweenSamples)
		}
	}
}

const (
	standing = 10   // periods: the span of Waits.Median; and how long nothing may be refused before the limit ends
	stands   = 3    // a queue stands if the median wait is longer than so many targets
	mostCut  = 0.5  // the first limit is at least this part of what was under way …
	leastCut = 0.95 // … and at most this part
	memory   = 0.3  // weight of the newest period in the mean wait
	cut      = 0.05 // the part of the limit that is cut a period, for each target by which the wait exceeds the target
	cutMost  = 0.1  // the most that is cut a period
	growth   = 0.02 // the part of the limit that is added a period if nothing waits; less the nearer the wait is to the target
)

// adjust sets the limit by the waits and samples since the last call.
func (l *Limiter) adjust() {
	waits := l.o.Waits()
	peak := float64(l.peak.Swap(l.underWay.Load()))
	times := float64(waits.Mean) / float64(l.o.Target)
	if l.exact == float64(l.o.Most) {
		if waits.Median > stands*l.o.Target && l.samples.stand() && peak > float64(l.o.Least) {
			l.begin(times, peak)
			return
		}
		if waits.Median <= l.o.Target {
			l.samples = samples{}
		} else {
			l.samples.wanted = true
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
	pressure := l.times * (1 - l.samples.spare())
	change := growth * (1 - pressure)
	if pressure > 1 {
		change = -min(cut*(pressure-1), cutMost)
	}
	l.set(l.exact * (1 + change))
}

// begin starts to limit. times is the mean wait ÷ target, peak the most that was under way in the last period.
func (l *Limiter) begin(times, peak float64) {
	l.refused, l.idle, l.times = l.reached.Load(), 0, times
	l.samples.short = 0
	l.set(peak * min(max(1/times, mostCut), leastCut))
}

func (l *Limiter) set(limit float64) {
	l.exact = min(max(limit, float64(l.o.Least)), float64(l.o.Most))
	l.limit.Store(int64(l.exact))
}
