package console

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"gavel/internal/batcher"
)

// Every bucket of an exported histogram equals that of Prometheus's own histogram of the same values.
func TestHistogramsAgainstPrometheus(t *testing.T) {
	f := func(name string, d *histogramDesc, first int, values []float64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			ours := batcher.Histogram{First: first, Counts: make([]uint64, 433)}
			reference := prometheus.NewHistogram(prometheus.HistogramOpts{
				Name: "x", Buckets: boundsAt(d.classic), NativeHistogramBucketFactor: batcher.Bound(1),
				NativeHistogramZeroThreshold: batcher.Bound(first - 1),
			})
			for _, v := range values {
				i := 0
				for batcher.Bound(first-1+i) < v {
					i++
				}
				ours.Counts[i]++
				ours.Count++
				ours.Sum += v
				reference.Observe(v)
			}
			metric, err := d.newHistogram(ours, time.Now(), "ctr")
			if err != nil {
				t.Fatal(err)
			}
			var got, want dto.Metric
			if err := errors.Join(metric.Write(&got), reference.Write(&want)); err != nil {
				t.Fatal(err)
			}
			got.Histogram.CreatedTimestamp, want.Histogram.CreatedTimestamp = nil, nil
			if !proto.Equal(got.Histogram, want.Histogram) {
				t.Errorf("got  %v\nwant %v", got.Histogram, want.Histogram)
			}
		})
	}
	var atBounds, times []float64
	for index := -170; index <= 40; index++ {
		bound := batcher.Bound(index)
		atBounds = append(atBounds, bound, math.Nextafter(bound, 0), math.Nextafter(bound, 1e9))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		times = append(times, math.Ldexp(r.Float64(), -r.IntN(16)))
	}
	queue, rows, ratio := &histogramDescs[1], &histogramDescs[0], &histogramDescs[3]
	f("no values", queue, -159, nil)
	f("values below all buckets", queue, -159, []float64{0, 1e-9})
	f("values at and beside every bound", queue, -159, atBounds)
	f("times", queue, -159, times)
	f("rows", rows, 0, []float64{1, 1, 2, 3, 17, 128, 65536, 70000})
	f("ratios", ratio, -47, []float64{0, 0.01, 0.5, 1, 1.0001, 3, 100})
}

func boundsAt(indices []int) (bounds []float64) {
	for _, index := range indices {
		bounds = append(bounds, batcher.Bound(index))
	}
	return bounds
}
