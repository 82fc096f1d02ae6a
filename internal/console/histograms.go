package console

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"gavel/internal/batcher"
)

// histogramDesc describes a histogram of the batcher. It is exported with native buckets, eight an octave, which only the
// protobuf format carries, and with classic buckets, which every format carries. Both are made from the same counts.
type histogramDesc struct {
	desc    *prometheus.Desc
	classic []int // indices of native buckets, ascending, whose upper bounds are those of the classic buckets
	value   func(*batcher.Stats) batcher.Histogram
}

// every returns the native indices from, from + step, … up to and including to. Eight indices are an octave.
func every(from, to, step int) (indices []int) {
	for index := from; index <= to; index += step {
		indices = append(indices, index)
	}
	return indices
}

var (
	timeBounds = every(-16*8, 8, 4) // 15 µs to 2 s in half octaves

	histogramDescs = []histogramDesc{
		{describe("batch_rows", "Rows of a batch at its flush."), every(0, 16*8, 8),
			func(s *batcher.Stats) batcher.Histogram { return s.BatchRows }},
		{describe("queue_seconds", "Seconds from a row's claim to the start of its run."), timeBounds,
			func(s *batcher.Stats) batcher.Histogram { return s.QueueTime }},
		{describe("run_seconds", "Seconds that one run of a batch takes in the engine."), timeBounds,
			func(s *batcher.Stats) batcher.Histogram { return s.RunTime }},
		{describe("prediction_ratio", "Measured run time divided by the run time that the cost curve predicted."), every(-4*8, 4*8, 4),
			func(s *batcher.Stats) batcher.Histogram { return s.PredictionRatio }},
	}
)

// doubleHistogram is a prometheus.Metric with native and classic buckets.
type doubleHistogram struct {
	prometheus.Metric // the histogram with native buckets only
	classic           []*dto.Bucket
}

// newHistogram returns the metric of h, which has counted since the time since.
func (d *histogramDesc) newHistogram(h batcher.Histogram, since time.Time, labels ...string) (prometheus.Metric, error) {
	var zero uint64
	positive := make(map[int]int64)
	if len(h.Counts) > 0 {
		zero = h.Counts[0]
		for i, n := range h.Counts[1:] {
			if n > 0 {
				positive[h.First+i] = int64(n)
			}
		}
	}
	native, err := prometheus.NewConstNativeHistogram(d.desc, h.Count, h.Sum, positive, nil, zero,
		batcher.Schema, batcher.Bound(h.First-1), since, labels...)
	if err != nil {
		return nil, err
	}
	m := &doubleHistogram{Metric: native}
	cumulative := zero
	next := h.First
	for _, index := range d.classic {
		for ; next <= index; next++ {
			cumulative += uint64(positive[next])
		}
		bound, n := batcher.Bound(index), cumulative
		m.classic = append(m.classic, &dto.Bucket{UpperBound: &bound, CumulativeCount: &n})
	}
	return m, nil
}

// Write implements prometheus.Metric.
func (m *doubleHistogram) Write(out *dto.Metric) error {
	if err := m.Metric.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket = m.classic
	return nil
}
