package engine

import (
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"gavel/internal/exchange/clickmodel"
	"gavel/internal/exchange/sales"
	"gavel/internal/exchange/shoppers"
	"gavel/internal/exchange/sim"
)

// ranker answers clicks with the landing page of the first campaign, and takes sales.
type ranker struct {
	base           string
	byAd, straight atomic.Int64
	agents, sales  atomic.Int64
}

func startRanker(t *testing.T) *ranker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &ranker{base: "http://" + listener.Addr().String()}
	server := &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) {
		switch string(c.Path()) {
		case "/click":
			n := r.straight.Load() + r.byAd.Load()
			if string(c.QueryArgs().Peek("placement")) == "ad" {
				r.byAd.Add(1)
			} else {
				r.straight.Add(1)
			}
			if strings.HasPrefix(string(c.UserAgent()), "Mozilla/") && len(c.QueryArgs().Peek("zone")) == 6 {
				r.agents.Add(1)
			}
			c.Redirect("https://campaign-00000.shop.example/?click=token-"+strconv.FormatInt(n, 10), 302)
			return
		case "/sale":
			r.sales.Add(1)
		}
		c.SetStatusCode(204)
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return r
}

// A click whose redirect leads to the ranker goes there with the user's browser, and may end in a sale; other clicks come to the
// ranker straight. All books agree.
func TestAdsLeadToTheRanker(t *testing.T) {
	b, r := startBidder(t), startRanker(t)
	b.landing = r.base + "/click?placement=ad&gavel_click="
	o := quick(b)
	start := time.Now()
	traffic := sim.Defaults()
	traffic.Seed, traffic.Start, traffic.Users, traffic.QuirkShare = 1, start, 500, 0
	traffic.TMaxMin, traffic.TMaxMax = 10_000, 10_000
	source, err := sim.New(traffic)
	if err != nil {
		t.Fatal(err)
	}
	clicks := clickmodel.New(clickmodel.Options{Seed: 1, BaseRate: 0.2, LogitStd: 1, Start: start})
	clicks.Calibrate(source.Samples(1000))
	users := shoppers.Defaults()
	users.Ranker, users.CampaignFile, users.Rate, users.Seed, users.Start = r.base, "campaigns.yaml", 400, 1, start
	users.Campaigns, users.RateMin, users.RateMax, users.Every, users.SaleDelay = 3, 0.2, 0.5, 0, o.ClickDelay
	truth, err := sales.New(users.Options)
	if err != nil {
		t.Fatal(err)
	}
	crowd, err := shoppers.New(users, truth, func(string, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(o, Parts{Source: source, Clicks: clicks, Conversions: clicks, Shoppers: crowd, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	books := got.Ranking
	if got.Errors != 0 || books == nil || books.Astray != 0 {
		t.Fatalf("%d errors, the ranking's books %+v", got.Errors, books)
	}
	if books.FromAuctions == 0 || books.FromAuctions != r.byAd.Load() || books.FromAuctions != got.Clicks || got.Conversions != 0 {
		t.Errorf("of %d clicks on ads, %d reached the ranker, %d are in the books; %d conversions", got.Clicks, r.byAd.Load(), books.FromAuctions, got.Conversions)
	}
	if r.straight.Load() == 0 || books.Clicks != r.byAd.Load()+r.straight.Load() || r.agents.Load() != books.Clicks {
		t.Errorf("%d straight and %d clicks by ads, %d with a browser and a zone; the books have %d", r.straight.Load(), r.byAd.Load(), r.agents.Load(), books.Clicks)
	}
	if books.Sales == 0 || books.Sales != r.sales.Load() {
		t.Errorf("%d sales were reported, %d are in the books", r.sales.Load(), books.Sales)
	}
	if status := e.Status().Ranking; status == nil || status.Clicks != books.Clicks {
		t.Errorf("the status has the ranking %+v", status)
	}
}
