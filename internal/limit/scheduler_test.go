package limit

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSchedulerWaits: more goroutines than processors that all want to run do wait.
func TestSchedulerWaits(t *testing.T) {
	s := newSchedulerWaits()
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
	if w := s.read(); w.Mean < 50*time.Microsecond || w.Median < 50*time.Microsecond {
		t.Errorf("waits: %+v; with 8 goroutines a processor each should wait for the others", w)
	}
	for range standing {
		s.read()
	}
	if w := s.read(); w.Median > time.Millisecond {
		t.Errorf("median of waits %v when nothing has run for %d periods", w.Median, standing)
	}
	if n := testing.AllocsPerRun(10, func() { s.read() }); n > 0 {
		t.Errorf("%v allocations a reading", n)
	}
}

// TestSchedulerQueue: goroutines that can run where no processor is free are counted.
func TestSchedulerQueue(t *testing.T) {
	s := newSchedulerQueue()
	if n := testing.AllocsPerRun(10, func() { s.read() }); n > 0 {
		t.Errorf("%v allocations a reading", n)
	}
	var stop atomic.Bool
	var all sync.WaitGroup
	spinning := 50 + runtime.GOMAXPROCS(0)
	for range spinning {
		all.Go(func() {
			for !stop.Load() {
				runtime.Gosched()
			}
		})
	}
	if n := s.read(); n < 40 || n > spinning+5 {
		t.Errorf("%d goroutines wait, want 50 and a few", n)
	}
	stop.Store(true)
	all.Wait()
	if n := s.read(); n > 10 {
		t.Errorf("%d goroutines wait, want none", n)
	}
}

func TestWindow(t *testing.T) {
	h := &metrics.Float64Histogram{
		Counts:  []uint64{7, 7, 7, 7}, // before the first reading; must not count
		Buckets: []float64{math.Inf(-1), 0.001, 0.002, 0.004, math.Inf(1)},
	}
	const ms = time.Millisecond
	var w window
	w.fill(h.Counts)
	f := func(name string, want Waits, counts ...uint64) {
		t.Helper()
		for i, n := range counts {
			h.Counts[i] += n
		}
		if got := w.add(h); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	f("nothing waited", Waits{}, 0, 0, 0, 0)
	f("some did not wait", Waits{Mean: ms / 2, Median: ms}, 2, 2, 0, 0)
	f("each as its bucket's bound", Waits{Mean: 3 * ms, Median: 2 * ms}, 0, 0, 2, 2)
	f("the median is of all, the mean of the last", Waits{Mean: 4 * ms, Median: 2 * ms}, 0, 0, 0, 1)
	f("most did not wait long", Waits{Median: 0}, 20, 0, 0, 0)
	for range 6 {
		f("it stays so", Waits{Mean: ms, Median: 0}, 0, 1, 0, 0)
	}
	f("what is older is forgotten", Waits{Mean: 4 * ms, Median: 4 * ms}, 0, 0, 0, 40)
	for range standing - 1 {
		f("and stays", Waits{Median: 4 * ms}, 0, 0, 0, 0)
	}
	f("until it is old", Waits{}, 0, 0, 0, 0)
}

func BenchmarkRead(b *testing.B) {
	waits, queue := newSchedulerWaits(), newSchedulerQueue()
	b.Run("waits", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			waits.read()
		}
	})
	b.Run("queue", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			queue.read()
		}
	})
}
