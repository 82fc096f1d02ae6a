package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/batcher"
)

// scrape reads the metrics from an admin server, by name with its labels.
func scrape(t *testing.T, metrics *prometheus.Registry) map[string]string {
	t.Helper()
	admin, err := newAdmin("127.0.0.1:0", metrics, func() error { return nil }, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Shutdown(context.Background())
	response, err := http.Get("http://" + admin.Addr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		t.Fatalf("scrape: %s\n%s", response.Status, text)
	}
	values := map[string]string{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if series, value, ok := strings.Cut(lines.Text(), "} "); ok && !strings.HasPrefix(series, "#") {
			values[series+"}"] = value
		}
	}
	return values
}

func TestMetricsInOneScrape(t *testing.T) {
	metrics := prometheus.NewRegistry()
	book := newQueueBook()
	metrics.MustRegister(&batcherCollector{queues: book})
	if err := metrics.Register(&batcherCollector{queues: newQueueBook()}); err == nil {
		t.Error("a second collector of the same metrics was taken: the first named none")
	}
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	auctioneer, err := auction.NewAuctioneer(auction.AuctioneerOptions{Scorer: newScorer(none, nil, slog.Default()), Budget: ledger})
	if err != nil {
		t.Fatal(err)
	}
	metrics.MustRegister(&moneyCollector{ledger, auctioneer})
	booked := newCountedLedger(ledger, metrics)
	scrape(t, metrics) // before there is anything

	campaign := auction.Campaign{
		ID: "shoes", Advertiser: "Stride", Domain: "stride.example", DailyBudget: 5e6, Goal: auction.Goal{Kind: auction.CPM, Value: 1000},
		Creatives: []auction.Creative{{ID: "box", Kind: auction.BannerCreative, Size: auction.Size{W: 300, H: 250}, Markup: "<p>", ClickURL: "https://stride.example/"}},
	}
	set, err := auction.NewCampaignSet([]auction.Campaign{campaign}, auction.SetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	auctioneer.SetCampaigns(set)
	now := time.Now()
	ledger.SetPlans([]auction.Plan{auction.PlanFor(&campaign)}, now)
	ledger.Grant("shoes", auction.DayOf(now), 4e6)
	if !ledger.Reserve("shoes", "1", 700, now) || !ledger.Reserve("shoes", "2", 500, now) {
		t.Fatal("nothing was reserved")
	}
	booked.Book("shoes", "1", 600, now)
	booked.Book("shoes", "1", 600, now) // a repeat

	pool := newPool(t)
	v := newVersion(t, pool, 1, batcher.QueueOptions{}, new(engine))
	book.add("ctr", v.parts.queue)
	s := newScorer(v.acquire, nil, slog.Default())
	req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}, Deadline: now.Add(time.Minute)}
	if err := s.Score(context.Background(), req, candidatesOf("a", "b"), make([]auction.Prediction, 2), make([]bool, 2)); err != nil {
		t.Fatal(err)
	}

	got := scrape(t, metrics)
	for series, want := range map[string]string{
		`gavel_spend_micros_total{campaign="shoes"}`:                       "600",
		`gavel_spent_today_micros{campaign="shoes"}`:                       "600",
		`gavel_reserved_micros{campaign="shoes"}`:                          "500",
		`gavel_allowed_micros{campaign="shoes"}`:                           "4e+06",
		`gavel_budget_micros{campaign="shoes"}`:                            "5e+06",
		`gavel_ledger_total{outcome="repeated"}`:                           "1",
		`gavel_auction_total{step="bids"}`:                                 "0",
		`gavel_batcher_rows_total{model="ctr"}`:                            "2",
		`gavel_batcher_row_outcomes_total{model="ctr",outcome="answered"}`: "2",
		`gavel_batcher_batch_rows_bucket{model="ctr",le="+Inf"}`:           "1",
		`gavel_batcher_batch_rows_sum{model="ctr"}`:                        "2",
		`gavel_batcher_queue_capacity_rows{model="ctr"}`:                   "4096",
	} {
		if have := got[series]; have != want {
			t.Errorf("%s is %q, want %q", series, have, want)
		}
	}
	name := regexp.MustCompile(`^gavel_[a-z]+(_[a-z]+)*\{`)
	for series := range got {
		if !name.MatchString(series) {
			t.Errorf("%s is no good name", series)
		}
	}
}

// Every number that is exported is in the sum of two queues.
func TestSumsOfQueues(t *testing.T) {
	var a, b batcher.Stats
	n := 1
	for _, s := range []*batcher.Stats{&a, &b} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(*s)) {
			n += 7
			switch v := reflect.ValueOf(s).Elem().FieldByIndex(field.Index); v.Kind() {
			case reflect.Uint64:
				v.SetUint(uint64(n))
			case reflect.Int:
				v.SetInt(int64(n))
			case reflect.Float64:
				v.SetFloat(float64(n))
			}
		}
		for _, h := range []*batcher.Histogram{&s.BatchRows, &s.QueueTime, &s.RunTime, &s.PredictionRatio} {
			n++
			*h = batcher.Histogram{First: 1, Counts: []uint64{uint64(n), 2, 3}, Sum: float64(n), Count: uint64(n + 5)}
		}
		s.Settings.MaxRows = n
		s.Curve = []batcher.CurvePoint{{Rows: n}}
		s.Sizes = []batcher.SizeStats{{MaxRows: 4, Runs: 1, Rows: 3, Seconds: 0.5}, {MaxRows: n, Runs: 2, Rows: 2, Seconds: 0.25}}
	}
	before := a.BatchRows.Counts[0]
	sum := addStats(a, b)
	newer := map[string]float64{ // no sums
		describe("queue_high_rows", "The most rows that ever waited.").String():         float64(b.QueueHigh), // the greater one
		describe("batch_capacity_rows", "The most rows of a batch: max_rows.").String(): float64(b.Settings.MaxRows),
	}
	for _, m := range queueMetrics {
		want, ok := newer[m.desc.String()]
		if !ok {
			want = m.value(&a) + m.value(&b)
		}
		if got := m.value(&sum); got != want {
			t.Errorf("%s %s: got %v, want %v", m.desc, m.label, got, want)
		}
	}
	for _, d := range histogramDescs {
		x, y, h := d.value(&a), d.value(&b), d.value(&sum)
		want := batcher.Histogram{First: 1, Counts: []uint64{x.Counts[0] + y.Counts[0], 4, 6}, Sum: x.Sum + y.Sum, Count: x.Count + y.Count}
		if !reflect.DeepEqual(h, want) {
			t.Errorf("%s: got %+v, want %+v", d.desc, h, want)
		}
	}
	if a.BatchRows.Counts[0] != before {
		t.Error("the first queue's histogram was changed")
	}
	wantSizes := []batcher.SizeStats{{MaxRows: 4, Runs: 2, Rows: 6, Seconds: 1}, a.Sizes[1], b.Sizes[1]}
	if !reflect.DeepEqual(sum.Sizes, wantSizes) || sum.Curve[0] != b.Curve[0] {
		t.Errorf("sizes %v, curve %v; want %v and the newer version's curve", sum.Sizes, sum.Curve, wantSizes)
	}
}

// The next version begins with what that queue of its model has learnt which has seen most, canary or not.
func TestQueueBookBusiest(t *testing.T) {
	pool, book := newPool(t), newQueueBook()
	add := func(model string, claims int) *batcher.Queue {
		v := newVersion(t, pool, 1, batcher.QueueOptions{}, new(engine))
		book.add(model, v.parts.queue)
		for range claims {
			ticket, err := v.parts.queue.Claim(1, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			ticket.Abandon()
		}
		return v.parts.queue
	}
	if q := book.busiest("ctr"); q != nil {
		t.Errorf("an empty book has %v", q)
	}
	add("ctr", 0)
	add("cvr", 3)
	if q := book.busiest("ctr"); q != nil {
		t.Errorf("a queue that has seen nothing is the busiest: %v", q)
	}
	stable := add("ctr", 2)
	add("ctr", 1)
	if q := book.busiest("ctr"); q != stable {
		t.Error("the busiest is another than that of two claims")
	}
	o := (&versions{queues: book}).optionsOf("ctr", 7, 100, batcher.QueueOptions{MaxRows: 8})
	if want := (batcher.QueueOptions{Name: "ctr/7", MaxRows: 8, TableRows: 100, Predecessor: stable}); o != want {
		t.Errorf("the next version's options are %+v, want %+v", o, want)
	}
	book.retire(stable)
	if q := book.busiest("ctr"); q == nil || q == stable {
		t.Errorf("once it has gone, the busiest is %v", q)
	}
}

func TestQueueBookKeepsWhatHasGone(t *testing.T) {
	pool, book := newPool(t), newQueueBook()
	req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}}
	want := uint64(0)
	for version := range int64(3) {
		v := newVersion(t, pool, version, batcher.QueueOptions{}, new(engine))
		book.add("ctr", v.parts.queue)
		s := newScorer(v.acquire, nil, slog.Default())
		for range version + 1 {
			if err := s.Score(context.Background(), req, candidatesOf("a", "b"), make([]auction.Prediction, 2), make([]bool, 2)); err != nil {
				t.Fatal(err)
			}
			want += 2
		}
		if got := book.byModel()["ctr"]; got.RunRows != want || got.BatchRows.Sum != float64(want) {
			t.Errorf("version %d: %d rows, %v in the histogram, want %d", version, got.RunRows, got.BatchRows.Sum, want)
		}
		if version == 2 {
			break // stays
		}
		if err := v.parts.queue.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		book.retire(v.parts.queue)
		book.retire(v.parts.queue) // once is enough
		got := book.byModel()["ctr"]
		if got.RunRows != want || got.Answered != want || got.QueueTime.Count != want {
			t.Errorf("after version %d had gone: %d rows, %d answered, %d timed; want %d", version, got.RunRows, got.Answered, got.QueueTime.Count, want)
		}
		if got.QueueCapacity != 0 || got.Settings.MaxRows != 0 || got.Curve != nil {
			t.Errorf("a queue that has gone has room for %d rows, batches of %d, a curve %v", got.QueueCapacity, got.Settings.MaxRows, got.Curve)
		}
	}
	if n := len(book.live); n != 1 {
		t.Errorf("%d live queues, want 1", n)
	}
}
