package overload

import (
	"math"
	"runtime/metrics"
	"time"
)

// schedulerWaits reads how long goroutines have waited, able to run, for a processor: the Go runtime keeps a histogram
// of it, of one in eight goroutines.
type schedulerWaits struct{ sample []metrics.Sample }

func newSchedulerWaits() *schedulerWaits {
	return &schedulerWaits{sample: []metrics.Sample{{Name: "/sched/latencies:seconds"}}}
}

// read sums the histogram: each wait counts as its bucket's lower bound. It allocates nothing after the first call.
func (s *schedulerWaits) read() (total time.Duration, count uint64) {
	metrics.Read(s.sample)
	if s.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0, 0 // a runtime without it: no sign of overload is ever seen
	}
	h := s.sample[0].Value.Float64Histogram()
	var seconds float64
	for i, n := range h.Counts {
		if low := h.Buckets[i]; n > 0 && !math.IsInf(low, 0) {
			seconds += low * float64(n)
		}
		count += n
	}
	return time.Duration(seconds * float64(time.Second)), count
}
