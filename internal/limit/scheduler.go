package limit

import (
	"math"
	"runtime/metrics"
	"slices"
	"time"
)

// schedulerWaits reads how long runnable goroutines waited for a processor. The Go runtime keeps a histogram of one wait
// in eight.
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

// histogram is nil in a runtime that has none; no overload is found there.
func (s *schedulerWaits) histogram() *metrics.Float64Histogram {
	metrics.Read(s.sample)
	if s.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return nil
	}
	return s.sample[0].Value.Float64Histogram()
}

// read returns the mean wait since the last call, and the median since the tenth last. It allocates nothing.
func (s *schedulerWaits) read() Waits {
	h := s.histogram()
	if h == nil {
		return Waits{}
	}
	return s.window.add(h)
}

// window holds the counts of a histogram's last readings.
type window struct {
	counts [standing][]uint64 // a ring
	oldest int
}

// fill sets every reading to the same counts.
func (w *window) fill(counts []uint64) {
	for i := range w.counts {
		w.counts[i] = slices.Clone(counts)
	}
}

// add takes a reading in, and returns the waits counted since earlier ones. Each wait counts as its bucket's lower bound.
func (w *window) add(h *metrics.Float64Histogram) Waits {
	oldest, newest := w.counts[w.oldest], w.counts[(w.oldest+standing-1)%standing]
	waits := Waits{Mean: mean(h, newest), Median: median(h, oldest)}
	copy(oldest, h.Counts)
	w.oldest = (w.oldest + 1) % standing
	return waits
}

// mean is the mean of the waits that h has counted since the counts before.
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

// median is the median of the waits that h has counted since the counts before.
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

// bound is the lower bound of bucket i, in seconds. The first bucket's is -∞; its goroutines did not wait.
func bound(h *metrics.Float64Histogram, i int) float64 {
	if low := h.Buckets[i]; !math.IsInf(low, 0) {
		return low
	}
	return 0
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// schedulerQueue counts the runnable goroutines that wait for a processor.
type schedulerQueue struct{ sample []metrics.Sample }

func newSchedulerQueue() *schedulerQueue {
	return &schedulerQueue{[]metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}}
}

// unknown stands for a runtime that does not tell: the queue is never short, so that waits alone count.
const unknown = math.MaxInt

// read returns how many wait now.
func (s *schedulerQueue) read() int {
	metrics.Read(s.sample)
	if s.sample[0].Value.Kind() != metrics.KindUint64 {
		return unknown
	}
	return int(s.sample[0].Value.Uint64())
}
