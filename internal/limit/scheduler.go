package limit

import (
	"math"
	"runtime/metrics"
	"slices"
	"time"
)

// schedulerWaits reads how long goroutines have waited, able to run, for a processor: the Go runtime keeps a histogram
// of it, of one wait in eight.
type schedulerWaits struct {
	sample []metrics.Sample
	window window
}

func newSchedulerWaits() *schedulerWaits {
	s := &schedulerWaits{sample: []metrics.Sample{{Name: "/sched/latencies:seconds"}}}
	if h := s.histogram(); h != nil {
		s.window.fill(h.Counts)
	}
	return s
}

// histogram is nil in a runtime without it: no sign of overload is ever seen there.
func (s *schedulerWaits) histogram() *metrics.Float64Histogram {
	metrics.Read(s.sample)
	if s.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return nil
	}
	return s.sample[0].Value.Float64Histogram()
}

// read says how goroutines have waited since the last call and in the last ten. It allocates nothing.
func (s *schedulerWaits) read() Waits {
	h := s.histogram()
	if h == nil {
		return Waits{}
	}
	return s.window.add(h)
}

// window has what a histogram had counted at its last readings.
type window struct {
	counts [standing][]uint64 // a ring
	oldest int
}

// fill makes all of them the same reading.
func (w *window) fill(counts []uint64) {
	for i := range w.counts {
		w.counts[i] = slices.Clone(counts)
	}
}

// add takes one more in, and says what has been counted since those before: each wait counts as its bucket's lower bound.
func (w *window) add(h *metrics.Float64Histogram) Waits {
	oldest, newest := w.counts[w.oldest], w.counts[(w.oldest+standing-1)%standing]
	waits := Waits{Mean: mean(h, newest), Median: median(h, oldest)}
	copy(oldest, h.Counts)
	w.oldest = (w.oldest + 1) % standing
	return waits
}

// mean is that of the waits which h has counted since before.
func mean(h *metrics.Float64Histogram, before []uint64) time.Duration {
	var seconds float64
	var count uint64
	for i, n := range h.Counts {
		if n -= before[i]; n > 0 {
			seconds += bound(h, i) * float64(n)
			count += n
		}
	}
	return duration(seconds / float64(max(count, 1)))
}

// median is that of the waits which h has counted since before.
func median(h *metrics.Float64Histogram, before []uint64) time.Duration {
	var count, below uint64
	for i, n := range h.Counts {
		count += n - before[i]
	}
	for i, n := range h.Counts {
		if below += n - before[i]; 2*below > count {
			return duration(bound(h, i))
		}
	}
	return 0
}

// bound is the lower bound of bucket i in seconds; the first bucket's is -∞, where nothing waited.
func bound(h *metrics.Float64Histogram, i int) float64 {
	if low := h.Buckets[i]; !math.IsInf(low, 0) {
		return low
	}
	return 0
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// schedulerQueue counts the goroutines that could run and wait for a processor.
type schedulerQueue struct{ sample []metrics.Sample }

func newSchedulerQueue() *schedulerQueue {
	return &schedulerQueue{[]metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}}
}

// unknown is how many wait where the runtime does not tell: a queue that may be long, so that waits alone count.
const unknown = math.MaxInt

// read is how many there are now.
func (s *schedulerQueue) read() int {
	metrics.Read(s.sample)
	if s.sample[0].Value.Kind() != metrics.KindUint64 {
		return unknown
	}
	return int(s.sample[0].Value.Uint64())
}
