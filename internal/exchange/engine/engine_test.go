package engine

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"gavel/internal/auction"
	"gavel/internal/exchange/clickmodel"
	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/lot"
	"gavel/internal/exchange/report"
	"gavel/internal/exchange/sim"
)

func quick(b *bidder) Options {
	o := Defaults()
	o.Bidder, o.Rate, o.Limit, o.Connections, o.NoticeWorkers, o.NoticeAttempts = b.base, 2000, 1000, 32, 8, 10
	o.GzipShare, o.NoticeBackoff = 0.1, 5*time.Millisecond
	short := dice.Delay{Min: time.Millisecond, Mean: 2 * time.Millisecond, Max: 5 * time.Millisecond}
	o.RenderDelay, o.ClickDelay, o.ConversionDelay = short, short, short
	return o
}

func runEngine(t *testing.T, ctx context.Context, o Options, source lot.Source, out io.Writer) (report.Report, *bytes.Buffer) {
	t.Helper()
	var logs bytes.Buffer
	start := time.Now()
	traffic := sim.Defaults()
	traffic.Seed, traffic.Start, traffic.Users, traffic.QuirkShare = 1, start, 500, 0
	traffic.TMaxMin, traffic.TMaxMax = 10_000, 10_000 // so that no answer is late on a busy machine, unless a test makes it late
	s, err := sim.New(traffic)
	if err != nil {
		t.Fatal(err)
	}
	clicks := clickmodel.New(clickmodel.Options{Seed: 1, BaseRate: 0.2, LogitStd: 1, Start: start})
	clicks.Calibrate(s.Samples(1000))
	conversions := clickmodel.New(clickmodel.Options{Seed: 2, BaseRate: 0.5, LogitStd: 0.5, Start: start})
	conversions.Calibrate(s.Samples(1000))
	if source == nil {
		source = s
	}
	e, err := New(o, Parts{Source: source, Clicks: clicks, Conversions: conversions, Outcomes: report.NewOutcomes(out),
		Log: slog.New(slog.NewTextHandler(&logs, nil)), Validate: func(r *openrtb2.BidRequest, resp *openrtb2.BidResponse) (faults []error) {
			if r.ID != resp.ID {
				faults = append(faults, errors.New("ids differ"))
			}
			if resp.CustomData != "" {
				faults = append(faults, errors.New("custom data is not wanted here"))
			}
			return faults
		}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s := e.Status(); s.State != "done" || s.Pending != 0 || s.Auctions != r.Auctions {
		t.Errorf("status after the run: %+v", s)
	}
	return r, &logs
}

// TestBooksAgree runs a thousand auctions with retries, duplicates and reordering. It compares the exchange's books
// with what the bidder received and with the outcomes file.
func TestBooksAgree(t *testing.T) {
	b := startBidder(t)
	defer goleak.VerifyNone(t, append(fasthttpOwn, goleak.IgnoreCurrent())...)
	b.fail = 20
	o := quick(b)
	o.DuplicateShare, o.ReorderShare = 0.1, 0.05
	var out bytes.Buffer
	r, logs := runEngine(t, t.Context(), o, nil, &out)
	if r.Auctions != 1000 || b.requests != 1000 || r.Errors != 0 || r.Invalid != 0 || b.gzipped < 60 || b.gzipped > 140 {
		t.Fatalf("report %+v, bidder saw %d requests, %d gzipped\n%s", r, b.requests, b.gzipped, logs)
	}
	if r.NoticeRetries < 20 || r.NoticeTwins == 0 {
		t.Errorf("%d retries, %d duplicates; want at least 20 and some", r.NoticeRetries, r.NoticeTwins)
	}
	unique := func(path string) int {
		ids := map[string]bool{}
		for _, id := range b.notices[path] {
			ids[id] = true
		}
		return len(ids)
	}
	var spend auction.Micros
	for _, p := range b.spend {
		spend += p
	}
	if int64(spend) != r.SpendMicros || int64(len(b.spend)) != r.Billed {
		t.Errorf("the bidder booked %d micros of %d impressions, the exchange %d of %d", spend, len(b.spend), r.SpendMicros, r.Billed)
	}
	for path, want := range map[string]int64{"/n/win": r.Wins, "/n/loss": r.Losses, "/n/impression": r.Billed, "/n/click": r.Clicks, "/n/conversion": r.Conversions} {
		if got := unique(path); int64(got) != want || want == 0 {
			t.Errorf("%s: the bidder heard of %d, the books say %d", path, got, want)
		}
	}
	if r.Wins+r.Losses != r.Bids || r.Billed > r.Wins || r.Billed < r.Wins*9/10 {
		t.Errorf("%d wins + %d losses of %d bids, %d billed", r.Wins, r.Losses, r.Bids, r.Billed)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || int64(len(rows)) != r.Billed+1 {
		t.Fatalf("%d rows of outcomes for %d billed: %v", len(rows), r.Billed, err)
	}
	var expected, clicks, price float64
	for _, row := range rows[1:] {
		p, _ := strconv.ParseFloat(row[4], 64)
		c, _ := strconv.ParseFloat(row[5], 64)
		micros, _ := strconv.ParseFloat(row[8], 64)
		expected, clicks, price = expected+p, clicks+c, price+micros
		if row[7] == "1" && row[5] != "1" {
			t.Fatalf("a conversion without a click: %v", row)
		}
	}
	if int64(clicks) != r.Clicks || int64(price) != r.SpendMicros || math.Abs(expected-r.TeacherClickSum) > 1e-6 {
		t.Errorf("outcomes: %v clicks, %v micros, %v expected; report %d, %d, %v", clicks, price, expected, r.Clicks, r.SpendMicros, r.TeacherClickSum)
	}
	if math.Abs(clicks-expected) > 4*math.Sqrt(expected) {
		t.Errorf("%v clicks where %.1f were to be expected", clicks, expected)
	}
}

func TestSameSeedSameOutcomes(t *testing.T) {
	b := startBidder(t)
	o := quick(b)
	o.Limit = 300
	run := func() string {
		r, _ := runEngine(t, t.Context(), o, nil, io.Discard)
		return fmt.Sprint(r.Bids, r.Wins, r.Billed, r.SpendMicros)
	}
	if x, y := run(), run(); x != y {
		t.Errorf("bids, wins, billed, spend: %s, then %s", x, y)
	}
}

func TestAnswersAreJudged(t *testing.T) {
	f := func(name string, answer func(b *bidder) func(*fasthttp.RequestCtx, *openrtb2.BidRequest), check func(report.Report) bool) {
		t.Helper()
		b := startBidder(t)
		b.answer = answer(b)
		o := quick(b)
		o.Limit, o.Rate = 40, 1000
		if r, logs := runEngine(t, t.Context(), o, nil, io.Discard); !check(r) {
			t.Errorf("%s: report %+v\n%s", name, r, logs)
		}
	}
	type handler = func(*fasthttp.RequestCtx, *openrtb2.BidRequest)
	status := func(code int, body string) func(*bidder) handler {
		return func(*bidder) handler {
			return func(c *fasthttp.RequestCtx, _ *openrtb2.BidRequest) { c.SetStatusCode(code); c.SetBodyString(body) }
		}
	}
	f("204", status(204, ""), func(r report.Report) bool { return r.NoBids == 40 && r.Answered == 40 && r.Errors == 0 })
	f("200 without bids", status(200, `{"id":"x","nbr":2}`), func(r report.Report) bool { return r.NoBids == 40 && r.Errors == 0 })
	f("400 to well-formed requests", status(400, ""), func(r report.Report) bool { return r.HTTPErrors == 40 && r.Answered == 0 })
	f("500", status(500, ""), func(r report.Report) bool { return r.HTTPErrors == 40 })
	f("not JSON", status(200, `{"id":`), func(r report.Report) bool { return r.HTTPErrors == 40 })
	f("invalid bids lose", status(200, `{"id":"other","seatbid":[{"bid":[{"id":"1","impid":"1","price":9,"crid":"c","adm":"<a>"}]}]}`),
		func(r report.Report) bool {
			return r.Invalid == 40 && r.Wins == 0 && r.LossReasons["5"] == 40 && r.Errors == 0
		})
	f("what the validator refuses loses", func(*bidder) handler {
		return func(c *fasthttp.RequestCtx, r *openrtb2.BidRequest) {
			c.SetBodyString(`{"id":"` + r.ID + `","customdata":"x","seatbid":[{"bid":[{"id":"1","impid":"1","price":9,"crid":"c","adm":"<a>"}]}]}`)
		}
	}, func(r report.Report) bool { return r.Invalid == 40 && r.LossReasons["3"] == 40 })
	f("bids below every floor", func(b *bidder) handler {
		return func(c *fasthttp.RequestCtx, r *openrtb2.BidRequest) { b.bid(c, r, 0.001) }
	}, func(r report.Report) bool {
		return r.LossReasons["100"] > 0 && r.LossReasons["102"] > 0 && r.Losses+r.Wins == r.Bids
	})
}

func TestLateAnswersLose(t *testing.T) {
	b := startBidder(t)
	one := func(tmax time.Duration) *list {
		return &list{{ID: "a", TMax: tmax, Due: 0, Body: []byte(`{"id":"a","imp":[{"id":"1"}]}`), Imps: []lot.Imp{{ID: "1"}}}}
	}
	b.answer = func(c *fasthttp.RequestCtx, r *openrtb2.BidRequest) {
		<-time.After(100 * time.Millisecond) // longer than the bidder may take
		b.bid(c, r, 9)
	}
	o := quick(b)
	o.Rate, o.Grace = 0, 10*time.Second
	r, _ := runEngine(t, t.Context(), o, one(50*time.Millisecond), io.Discard)
	if r.Late != 1 || r.LateFromSend != 1 || r.Timeouts != 0 || r.Wins != 0 || r.LossReasons["2"] != 1 {
		t.Errorf("report %+v", r)
	}
	stuck := make(chan struct{})
	b.answer = func(c *fasthttp.RequestCtx, _ *openrtb2.BidRequest) { <-stuck; c.SetStatusCode(204) }
	o.Grace = 10 * time.Millisecond
	r, _ = runEngine(t, t.Context(), o, one(20*time.Millisecond), io.Discard)
	close(stuck)
	if r.Late != 1 || r.Timeouts != 1 || r.Answered != 0 {
		t.Errorf("report %+v", r)
	}
}

func TestSignalEndsCleanly(t *testing.T) {
	b := startBidder(t)
	o := quick(b)
	o.Limit, o.Rate = 0, 500
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	var mu sync.Mutex
	b.answer = func(c *fasthttp.RequestCtx, r *openrtb2.BidRequest) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n == 100 {
			cancel()
		}
		b.bid(c, r, 5)
	}
	r, _ := runEngine(t, ctx, o, nil, io.Discard)
	if r.Auctions < 100 || r.Auctions > 200 || r.Errors != 0 || int64(b.count("/n/win")) != r.Wins {
		t.Errorf("report %+v, %d wins told", r, b.count("/n/win"))
	}
}

// list is a source of fixed lots.
type list []lot.Lot

func (s *list) Next(l *lot.Lot) error {
	if len(*s) == 0 {
		return io.EOF
	}
	*l = (*s)[0]
	*s = (*s)[1:]
	return nil
}

func TestLabelsOfALogDecide(t *testing.T) {
	b := startBidder(t)
	var lots list
	for i, label := range []lot.Label{lot.LabelYes, lot.LabelNo, lot.LabelYes} {
		id := fmt.Sprint("r", i)
		lots = append(lots, lot.Lot{Seq: int64(i), ID: id, TMax: time.Second, Due: time.Duration(i) * time.Millisecond,
			Body: []byte(`{"id":"` + id + `","imp":[{"id":"1"}]}`), Imps: []lot.Imp{{ID: "1", Rival: 700, Label: label, Teacher: float32(i) / 4}}})
	}
	lots[2].Imps[0].Rival = 9000 // above the bid: no click can follow
	o := quick(b)
	o.Rate, o.Limit, o.RenderShare = 0, 0, 1
	var out bytes.Buffer
	r, _ := runEngine(t, t.Context(), o, &lots, &out)
	if r.Auctions != 3 || r.Wins != 2 || r.Clicks != 1 || r.Conversions != 0 || r.SpendMicros != 1400 {
		t.Errorf("report %+v", r)
	}
	rows := strings.Split(strings.TrimSpace(out.String()), "\n")
	byBid := map[string][]string{}
	for _, row := range rows[1:] {
		c := strings.Split(row, ",")
		byBid[c[0]] = c
	}
	if c := byBid["r0.1"]; c == nil || c[4] != "" || c[5] != "1" || c[6] != "" {
		t.Errorf("row of r0: %v", c)
	}
	if c := byBid["r1.1"]; c == nil || c[4] != "0.25" || c[5] != "0" {
		t.Errorf("row of r1: %v", c)
	}
}

func TestNoBidder(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Defaults()
	o.Bidder, o.WaitBidder = "http://"+listener.Addr().String(), 150*time.Millisecond
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := New(o, Parts{Source: &list{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--bidder") {
		t.Errorf("error %v, want one that names --bidder", err)
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	o := Defaults()
	o.Bidder, o.Arrivals, o.GzipShare = "ftp://x", "bursts", 3
	o.ClickDelay.Max = 0
	if faults := o.Validate(); len(faults) != 4 {
		t.Errorf("faults %v, want 4", faults)
	}
	d := Defaults()
	if faults := d.Validate(); len(faults) != 0 {
		t.Errorf("the defaults have faults: %v", faults)
	}
}
