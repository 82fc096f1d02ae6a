package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"gavel/internal/auction"
	"gavel/internal/batcher"
)

// What is exported from counts is, to the last bucket, what Prometheus's own histogram makes of the same observations.
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
	var edges, times []float64
	for index := -170; index <= 40; index++ {
		bound := batcher.Bound(index)
		edges = append(edges, bound, math.Nextafter(bound, 0), math.Nextafter(bound, 1e9))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		times = append(times, math.Ldexp(r.Float64(), -r.IntN(16)))
	}
	queue, rows, ratio := &histogramDescs[1], &histogramDescs[0], &histogramDescs[3]
	f("none", queue, -159, nil)
	f("zero alone", queue, -159, []float64{0, 1e-9})
	f("beside every bound", queue, -159, edges)
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

// A scrape in protobuf has native and classic buckets of what was observed, of every histogram.
func TestScrapeInProtobuf(t *testing.T) {
	metrics, book, pool := prometheus.NewRegistry(), newQueueBook(), newPool(t)
	metrics.MustRegister(&batcherCollector{queues: book, pools: pools{{sharedPool, pool}}})
	v := newVersion(t, pool, 1, batcher.QueueOptions{CalibrationRuns: 3}, new(engine))
	book.add("ctr", v.parts.queue)
	s := newScorer(v.acquire, nil, slog.Default())
	req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}}
	for range 5 {
		if err := s.Score(context.Background(), req, candidatesOf("a", "b", "c"), make([]auction.Prediction, 3), make([]bool, 3)); err != nil {
			t.Fatal(err)
		}
	}
	families := scrapeProtobuf(t, metrics)
	f := func(name string, wantCount uint64, wantSum float64) {
		t.Helper()
		family := families["gavel_batcher_"+name]
		if family == nil {
			t.Fatalf("no %s", name)
		}
		h := family.Metric[0].Histogram
		native := int64(h.GetZeroCount())
		var bucket int64
		for _, delta := range h.PositiveDelta {
			bucket += delta
			native += bucket
		}
		last := h.Bucket[len(h.Bucket)-1].GetCumulativeCount()
		// A run of microseconds that is interrupted takes more than the last bound times what was predicted.
		beyond := name == "prediction_ratio" && last < wantCount
		if h.GetSchema() != 3 || h.GetSampleCount() != wantCount || uint64(native) != wantCount || last != wantCount && !beyond ||
			wantSum > 0 && h.GetSampleSum() != wantSum || len(h.PositiveSpan) == 0 {
			t.Errorf("%s: %v; want %d of schema 3 in native and classic buckets, sum %v", name, h, wantCount, wantSum)
		}
	}
	f("batch_rows", 5, 15)
	f("queue_seconds", 15, 0)
	f("run_seconds", 5, 0)
	f("prediction_ratio", 5, 0)
	var sizes []string
	for _, m := range families["gavel_batcher_curve_seconds"].GetMetric() {
		for _, label := range m.Label {
			if label.GetName() == "rows" {
				sizes = append(sizes, label.GetValue())
			}
		}
		if m.GetGauge().GetValue() <= 0 {
			t.Errorf("the curve expects %v", m)
		}
	}
	slices.SortFunc(sizes, func(a, b string) int { return len(a)*100 - len(b)*100 + slices.Compare([]byte(a), []byte(b)) })
	if want := []string{"1", "2", "4", "8", "16", "32", "64", "128"}; !slices.Equal(sizes, want) {
		t.Errorf("the curve has sizes %v, want %v", sizes, want)
	}
	for name, want := range map[string]float64{"runners": 1, "runners_idle": 1} {
		if got := families["gavel_batcher_"+name].GetMetric()[0].GetGauge().GetValue(); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func scrapeProtobuf(t *testing.T, metrics *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	admin, err := newAdmin("127.0.0.1:0", metrics, func() error { return nil }, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Shutdown(context.Background())
	request, err := http.NewRequest("GET", "http://"+admin.Addr()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	families := make(map[string]*dto.MetricFamily)
	for body := bufio.NewReader(response.Body); ; {
		var family dto.MetricFamily
		switch err := protodelim.UnmarshalFrom(body, &family); {
		case errors.Is(err, io.EOF):
			return families
		case err != nil:
			t.Fatal(err)
		}
		families[family.GetName()] = &family
	}
}
