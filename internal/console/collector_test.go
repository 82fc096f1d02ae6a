package console

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"

	"gavel/internal/batcher"
	"gavel/internal/batcher/batchertest"
)

// scrapeAs scrapes the metrics in the format that the header Accept names.
func scrapeAs(t *testing.T, metrics *prometheus.Registry, accept string) *bufio.Reader {
	t.Helper()
	request := httptest.NewRequest("GET", "/metrics", nil)
	request.Header.Set("Accept", accept)
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}).ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		t.Fatalf("scrape: %d\n%s", answer.Code, answer.Body)
	}
	return bufio.NewReader(answer.Body)
}

// scrape scrapes the metrics in the text format. It returns the values by series, name{labels}.
func scrape(t *testing.T, metrics *prometheus.Registry) map[string]string {
	t.Helper()
	values := map[string]string{}
	for lines := bufio.NewScanner(scrapeAs(t, metrics, "text/plain")); lines.Scan(); {
		if series, value, ok := strings.Cut(lines.Text(), " "); ok && series != "#" {
			values[series] = value
		}
	}
	return values
}

// expect checks the values of the series in want, and the form of all names in got.
func expect(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for series, value := range want {
		if got[series] != value {
			t.Errorf("%s is %q, want %q", series, got[series], value)
		}
	}
	name := regexp.MustCompile(`^gavel_[a-z]+(_[a-z]+)*(\{|$)`)
	for series := range got {
		if !name.MatchString(series) {
			t.Errorf("%s does not match %s", series, name)
		}
	}
}

func TestScrapeQueues(t *testing.T) {
	metrics, queues, pool := prometheus.NewRegistry(), NewQueues(), batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	metrics.MustRegister(queues)
	if err := metrics.Register(NewQueues()); err == nil {
		t.Error("a second Queues was registered: Describe does not describe the metrics")
	}
	scrape(t, metrics) // without pools and queues
	queues.AddPool("(shared)", pool)
	score(t, newQueue(t, queues, pool, "ctr", batcher.QueueOptions{}), 2)
	expect(t, scrape(t, metrics), map[string]string{
		`gavel_batcher_rows_total{model="ctr"}`:                            "2",
		`gavel_batcher_row_outcomes_total{model="ctr",outcome="answered"}`: "2",
		`gavel_batcher_batch_rows_bucket{model="ctr",le="+Inf"}`:           "1",
		`gavel_batcher_batch_rows_sum{model="ctr"}`:                        "2",
		`gavel_batcher_queue_capacity_rows{model="ctr"}`:                   "4096",
		`gavel_batcher_runners{pool="(shared)"}`:                           "1",
	})
}

// In protobuf, every histogram has native and classic buckets.
func TestScrapeInProtobuf(t *testing.T) {
	metrics, queues, pool := prometheus.NewRegistry(), NewQueues(), batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	metrics.MustRegister(queues)
	queues.AddPool("(shared)", pool)
	queue := newQueue(t, queues, pool, "ctr", batcher.QueueOptions{CalibrationRuns: 3})
	for range 5 {
		score(t, queue, 3)
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
		// An interrupted run can take longer than the last classic bound times the prediction.
		beyond := name == "prediction_ratio" && last < wantCount
		if h.GetSchema() != 3 || h.GetSampleCount() != wantCount || uint64(native) != wantCount || last != wantCount && !beyond ||
			wantSum > 0 && h.GetSampleSum() != wantSum || len(h.PositiveSpan) == 0 {
			t.Errorf("%s: got %v; want schema 3, %d values in native and in classic buckets, sum %v", name, h, wantCount, wantSum)
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
			t.Errorf("the curve has the run time %v, want more than 0", m)
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

// scrapeProtobuf scrapes the metrics in protobuf. It returns the families by name.
func scrapeProtobuf(t *testing.T, metrics *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	body := scrapeAs(t, metrics, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	families := make(map[string]*dto.MetricFamily)
	for {
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
