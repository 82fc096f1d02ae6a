package overload

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

// waits is what a test says goroutines have waited.
type waits struct {
	mu    sync.Mutex
	total time.Duration
	count uint64
}

func (w *waits) read() (time.Duration, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total, w.count
}

// add says that n goroutines waited for each.
func (w *waits) add(n uint64, each time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total += time.Duration(n) * each
	w.count += n
}

func newTest(t *testing.T, o Options) (*Limiter, *waits) {
	t.Helper()
	w := &waits{total: time.Hour, count: 1000} // before the limiter was made; must not count
	o.Waits = w.read
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

func TestLimit(t *testing.T) {
	f := func(name string, want int, steps func(l *Limiter, w *waits)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			l, w := newTest(t, Options{Most: 1000, Least: 10, Target: time.Millisecond})
			steps(l, w)
			if got := l.Stats().Limit; got != want {
				t.Errorf("limit %d, want %d", got, want)
			}
		})
	}
	f("as long as nothing waits", 1000, func(l *Limiter, w *waits) {
		begin(l, 200)
		w.add(100, 900*time.Microsecond)
		l.adjust()
	})
	f("nothing happened at all", 1000, func(l *Limiter, _ *waits) { l.adjust() })
	overloaded := func(l *Limiter, w *waits, periods int, each time.Duration) {
		for range periods {
			w.add(100, each)
			l.adjust()
		}
	}
	f("a moment passes by itself", 1000, func(l *Limiter, w *waits) {
		begin(l, 200)
		for range 3 {
			overloaded(l, w, standing-1, 50*time.Millisecond)
			overloaded(l, w, 1, 0)
		}
	})
	f("a standing queue is cut by how long it waits", 160, func(l *Limiter, w *waits) {
		begin(l, 200)
		overloaded(l, w, standing, 1250*time.Microsecond)
	})
	f("the peak of the period counts", 190, func(l *Limiter, w *waits) {
		begin(l, 200)
		overloaded(l, w, standing-1, 1001*time.Microsecond)
		end(l, 150)
		overloaded(l, w, 1, 1001*time.Microsecond)
	})
	f("at first by half at most", 100, func(l *Limiter, w *waits) {
		begin(l, 200)
		overloaded(l, w, standing, time.Second)
	})
	f("then by a tenth at most, each period", 81, func(l *Limiter, w *waits) {
		begin(l, 200)
		overloaded(l, w, standing, time.Second)
		end(l, 100)
		overloaded(l, w, 2, time.Second)
	})
	f("never below the least", 10, func(l *Limiter, w *waits) {
		begin(l, 1)
		overloaded(l, w, standing, time.Second)
	})
	// Limited to 100 at once while goroutines waited twice the target, and then not at all: the mean of waits falls by
	// memory each period, and only below what is held does the limit grow.
	relieved := func(l *Limiter, w *waits, periods int) {
		begin(l, 200)
		overloaded(l, w, standing, 2*time.Millisecond)
		end(l, 100)
		overloaded(l, w, periods, 0)
	}
	f("one good period does not lift it", 91, func(l *Limiter, w *waits) { relieved(l, w, 1) })
	f("some lift it a little", 89, func(l *Limiter, w *waits) { relieved(l, w, 8) })
	f("waits between half the target and the target lower it", 87, func(l *Limiter, w *waits) {
		relieved(l, w, 8)
		overloaded(l, w, 10, 600*time.Microsecond)
	})
	f("in the end it is gone", 1000, func(l *Limiter, w *waits) { relieved(l, w, 140) })
	f("and a moment passes by itself again", 1000, func(l *Limiter, w *waits) {
		relieved(l, w, 140)
		overloaded(l, w, standing-1, 50*time.Millisecond)
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

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newTest(t, Options{Most: 1000, Target: time.Millisecond})
		begin(l, 100)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		for range standing {
			w.add(10, 2*time.Millisecond)
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if got := l.Stats().Limit; got != 50 {
			t.Errorf("limit %d after %d periods, want 50", got, standing)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestSchedulerWaits: more goroutines than processors that all want to run do wait.
func TestSchedulerWaits(t *testing.T) {
	s := newSchedulerWaits()
	before, countBefore := s.read()
	var all sync.WaitGroup
	for range 8 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for range 200 {
				for i, until := 0, time.Now().Add(50*time.Microsecond); time.Now().Before(until); i++ {
				}
				runtime.Gosched()
			}
		})
	}
	all.Wait()
	after, countAfter := s.read()
	if n := countAfter - countBefore; n == 0 || (after-before)/time.Duration(n) < 50*time.Microsecond {
		t.Errorf("%d goroutines waited %v in all; with 8 a processor each should wait for the others", n, after-before)
	}
	if n := testing.AllocsPerRun(10, func() { s.read() }); n > 0 {
		t.Errorf("%v allocations a reading", n)
	}
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

func BenchmarkRead(b *testing.B) {
	s := newSchedulerWaits()
	b.ReportAllocs()
	for b.Loop() {
		s.read()
	}
}
