package limit

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waits is what a test says that goroutines waited, in a queue that is long in every sample, by itself one more than
// processors run.
type waits struct {
	mu      sync.Mutex
	now     Waits
	queue   int
	samples int // of the queue
}

func (w *waits) queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples++
	return w.queue
}

func (w *waits) read() Waits {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// set says how long goroutines waited in each period, and in the last ones.
func (w *waits) set(mean, median time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = Waits{mean, median}
}

func newTest(t *testing.T, o Options) (*Limiter, *waits) {
	t.Helper()
	w := &waits{queue: runtime.GOMAXPROCS(0) + 1}
	o.Waits, o.Queue = w.read, w.queued
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l, w
}

// begin takes n places and says how many it got.
func begin(l *Limiter, n int) (got int) {
	for range n {
		if l.Begin() {
			got++
		}
	}
	return got
}

func end(l *Limiter, n int) {
	for range n {
		l.End()
	}
}

// whileRunning has the limiter run in a bubble of its own while f does.
func whileRunning(t *testing.T, o Options, f func(t *testing.T, l *Limiter, w *waits)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, w := newTest(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		f(t, l, w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLimit(t *testing.T) {
	f := func(name string, want int, steps func(l *Limiter, w *waits)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			l, w := newTest(t, Options{Most: 1000, Least: 10, Target: time.Millisecond})
			l.samples.long = longSamples // it has stood for some time
			steps(l, w)
			if got := l.Stats().Limit; got != want {
				t.Errorf("limit %d, want %d", got, want)
			}
		})
	}
	const ms = time.Millisecond
	// waiting lets so many periods pass in which goroutines waited so long.
	waiting := func(l *Limiter, w *waits, periods int, mean, median time.Duration) {
		w.set(mean, median)
		for range periods {
			for range samplesAPeriod {
				l.samples.add(false)
			}
			l.adjust()
		}
	}
	f("nothing happened at all", 1000, func(l *Limiter, _ *waits) { l.adjust() })
	f("a queue that comes and goes", 1000, func(l *Limiter, w *waits) {
		begin(l, 200)
		waiting(l, w, 100, 50*ms, 3*ms)
	})
	f("waits in one that is short now and then", 1000, func(l *Limiter, w *waits) {
		begin(l, 200)
		for range 100 {
			l.samples.add(true)
			waiting(l, w, longSamples/samplesAPeriod-1, 50*ms, 50*ms)
		}
	})
	f("one that stands, with little under way", 1000, func(l *Limiter, w *waits) {
		begin(l, 10)
		waiting(l, w, 100, 50*ms, 50*ms)
	})
	f("a standing queue is cut by how long it waits", 160, func(l *Limiter, w *waits) {
		begin(l, 200)
		waiting(l, w, 1, 1250*time.Microsecond, 4*ms)
	})
	f("the peak of the period counts", 190, func(l *Limiter, w *waits) {
		begin(l, 200)
		end(l, 150)
		waiting(l, w, 1, ms, 4*ms)
	})
	f("at first by half at most", 100, func(l *Limiter, w *waits) {
		begin(l, 200)
		waiting(l, w, 1, time.Second, time.Second)
	})
	f("then by a tenth at most, each period", 81, func(l *Limiter, w *waits) {
		begin(l, 200)
		waiting(l, w, 1, time.Second, time.Second)
		end(l, 100)
		waiting(l, w, 2, time.Second, time.Second)
	})
	f("never below the least", 10, func(l *Limiter, w *waits) {
		begin(l, 11)
		waiting(l, w, standing, time.Second, time.Second)
	})
	// Limited to 100 at once while goroutines waited twice the target, and then less, with refusals in each period: the
	// mean of waits falls by memory each period, and only below the target does the limit grow.
	relieved := func(l *Limiter, w *waits, periods int, mean time.Duration) {
		begin(l, 200)
		waiting(l, w, 1, 2*ms, 4*ms)
		end(l, 100)
		for range periods {
			begin(l, 1000)
			end(l, l.Stats().UnderWay)
			waiting(l, w, 1, mean, mean)
		}
	}
	f("one good period lifts it a little at most", 98, func(l *Limiter, w *waits) { relieved(l, w, 1, 0) })
	f("some lift it more", 106, func(l *Limiter, w *waits) { relieved(l, w, 8, 0) })
	f("waits above the target lower it", 77, func(l *Limiter, w *waits) { relieved(l, w, 8, 1500*time.Microsecond) })
	f("in the end it is gone", 1000, func(l *Limiter, w *waits) { relieved(l, w, 150, 0) })
	f("it stays where waits are at the target", 88, func(l *Limiter, w *waits) { relieved(l, w, 10*standing, ms) })
	f("a lull lowers it by a tenth a period at most", 72, func(l *Limiter, w *waits) {
		relieved(l, w, 0, 0)
		waiting(l, w, 3, 100*ms, 100*ms)
	})
	// Samples have found the queue short so often while goroutines waited so many times the target.
	spared := func(l *Limiter, w *waits, periods int, short, times float64) {
		relieved(l, w, 0, 0)
		l.times = times
		w.set(time.Duration(times*float64(ms)), 4*ms)
		for range periods {
			l.samples.short = short
			end(l, begin(l, 1000))
			l.adjust()
		}
	}
	f("a queue that is short now and then may wait longer", 100, func(l *Limiter, w *waits) { spared(l, w, 40, spareShare/2, 2) })
	f("not ever so long", 73, func(l *Limiter, w *waits) { spared(l, w, 6, spareShare/2, 4) })
	f("one that is short one time in ten, for ever", 112, func(l *Limiter, w *waits) { spared(l, w, 6, spareShare, 50) })
	f("the more often, the less it matters", 112, func(l *Limiter, w *waits) { spared(l, w, 6, 1, 50) })
	f("how it was before it stood is forgotten", 50, func(l *Limiter, w *waits) {
		begin(l, 100)
		l.samples.short = 1
		waiting(l, w, 1, 50*ms, 50*ms)
		if l.samples.short > 0 {
			t.Errorf("%v of samples found it short", l.samples.short)
		}
	})
	quiet := func(l *Limiter, w *waits, periods int) { waiting(l, w, periods, ms/2, ms/2) }
	f("it is lifted when none was refused", 1000, func(l *Limiter, w *waits) {
		relieved(l, w, 1, 0)
		quiet(l, w, standing)
	})
	f("not before", 102, func(l *Limiter, w *waits) {
		relieved(l, w, 1, 0)
		quiet(l, w, standing-1)
	})
	f("nor with a refusal in between", 113, func(l *Limiter, w *waits) {
		relieved(l, w, 1, 0)
		quiet(l, w, standing-1)
		end(l, begin(l, 1000))
		quiet(l, w, standing)
	})
	f("refusals before it began do not keep it", 1000, func(l *Limiter, w *waits) {
		begin(l, 2000)
		waiting(l, w, 1, 2*ms, 4*ms)
		end(l, 1000)
		quiet(l, w, standing)
	})
	again := func(l *Limiter, w *waits) {
		relieved(l, w, 1, 0)
		quiet(l, w, standing)
		relieved(l, w, 0, 0)
	}
	f("it comes back as it came first", 100, again)
	f("and is lifted again", 1000, func(l *Limiter, w *waits) {
		again(l, w)
		quiet(l, w, standing)
	})
	f("at the most it is gone, and only a standing queue brings it back", 1000, func(l *Limiter, w *waits) {
		relieved(l, w, 150, 0)
		begin(l, 2000)
		waiting(l, w, 10*standing, 50*ms, 3*ms)
	})
}

func TestBegin(t *testing.T) {
	l, _ := newTest(t, Options{Most: 3})
	if got := begin(l, 5); got != 3 {
		t.Fatalf("%d of 5 began, want 3", got)
	}
	end(l, 1)
	if got := begin(l, 5); got != 1 {
		t.Fatalf("%d began in one place, want 1", got)
	}
	if s := l.Stats(); s != (Stats{UnderWay: 3, Limit: 3, Most: 3, Reached: 6}) {
		t.Errorf("stats: %+v", s)
	}
}

func TestBeginConcurrently(t *testing.T) {
	l, _ := newTest(t, Options{Most: 8})
	var most, now int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 1000 {
				if !l.Begin() {
					continue
				}
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				now--
				mu.Unlock()
				l.End()
			}
		})
	}
	all.Wait()
	if most > 8 || l.Stats().UnderWay != 0 {
		t.Errorf("%d were under way at once, at most 8 may be; %+v at the end", most, l.Stats())
	}
}

// While nothing is limited the queue is sampled ten times a period, from when waits are long until they are not; limiting begins when it has been long in all samples of five periods.
func TestRun(t *testing.T) {
	whileRunning(t, Options{Most: 1000, Target: time.Millisecond}, func(t *testing.T, l *Limiter, w *waits) {
		begin(l, 100)
		after := func(periods, limit, samples int) {
			t.Helper()
			time.Sleep(time.Duration(periods) * 10 * time.Millisecond)
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			if got := l.Stats().Limit; got != limit || w.samples != samples {
				t.Errorf("limit %d after %d samples, want %d after %d", got, w.samples, limit, samples)
			}
		}
		after(3, 1000, 0)
		w.set(2*time.Millisecond, 4*time.Millisecond)
		after(1, 1000, 0)
		after(4, 1000, 40)
		after(1, 50, 50)
		w.set(0, 0)
		after(standing, 1000, 150)
		after(1, 1000, 160)
		after(10, 1000, 160)
	})
}

func BenchmarkBeginEnd(b *testing.B) {
	l, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if l.Begin() {
			l.End()
		}
	}
}
