package console

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"gavel/internal/batcher"
)

// histogramDesc describes a histogram of the batcher that is exported in two forms: native buckets, eight an octave, in
// the protobuf exposition alone, and classic buckets in every exposition. Both are made of the same counts.
type histogramDesc struct {
	desc    *prometheus.Desc
	classic []int // native indices whose bounds are the classic ones, ascending
	value   func(*batcher.Stats) batcher.Histogram
}

// boundsOf lists every step-th native index from one to another; eight steps are an octave.
func boundsOf(from, to, step int) (indices []int) {
	for index := from; index <= to; index += step {
		indices = append(indices, index)
	}
	return indices
}

var (
	timeBounds = boundsOf(-16*8, 8, 4) // 15 µs to 2 s in half octaves

	histogramDescs = []histogramDesc{
		{describe("batch_rows", "Rows of a batch when it was flushed."), boundsOf(0, 16*8, 8),
			func(s *batcher.Stats) batcher.Histogram { return s.BatchRows }},
		{describe("queue_seconds", "Seconds from a row's claim to the start of its run."), timeBounds,
			func(s *batcher.Stats) batcher.Histogram { return s.QueueTime }},
		{describe("run_seconds", "Seconds of one run of a batch."), timeBounds,
			func(s *batcher.Stats) batcher.Histogram { return s.RunTime }},
		{describe("prediction_ratio", "Actual run time divided by the run time that the cost curve predicted."), boundsOf(-4*8, 4*8, 4),
			func(s *batcher.Stats) batcher.Histogram { return s.PredictionRatio }},
	}
)

// doubleHistogram is a prometheus.Metric with native and classic buckets.
type doubleHistogram struct {
	prometheus.Metric // the native one
	classic           []*dto.Bucket
}

// newHistogram makes the metric of h, whose counts began at since.
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
	below := zero
	at := h.First
	for _, index := range d.classic {
		for ; at <= index; at++ {
			below += uint64(positive[at])
		}
		bound, n := batcher.Bound(index), below
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
