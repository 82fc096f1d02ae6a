package overload

import (
	"math"
	"runtime/metrics"
	"time"
)

// schedulerWaits reads how long goroutines have waited, able to run, for a processor: the Go runtime keeps a histogram
// of it, of one in eight goroutines.
type schedulerWaits struct {
	sample []metrics.Sample
	last   [standing][]uint64 // the histogram's counts at the last readings, a ring
	next   int                // the oldest reading
}

func newSchedulerWaits() *schedulerWaits {
	s := &schedulerWaits{sample: []metrics.Sample{{Name: "/sched/latencies:seconds"}}}
	metrics.Read(s.sample)
	if s.sample[0].Value.Kind() == metrics.KindFloat64Histogram {
		counts := s.sample[0].Value.Float64Histogram().Counts
		for i := range s.last {
			s.last[i] = append([]uint64(nil), counts...)
		}
	}
	return s
}

// read says how goroutines have waited: each wait counts as its bucket's lower bound. It allocates nothing.
func (s *schedulerWaits) read() Waits {
	metrics.Read(s.sample)
	if s.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return Waits{} // a runtime without it: no sign of overload is ever seen
	}
	h := s.sample[0].Value.Float64Histogram()
	oldest, newest := s.last[s.next], s.last[(s.next+standing-1)%standing]
	w := Waits{Mean: mean(h, newest), Median: median(h, oldest)}
	copy(oldest, h.Counts)
	s.next = (s.next + 1) % standing
	return w
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
