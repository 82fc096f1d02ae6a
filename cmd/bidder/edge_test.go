package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/notices"
	"gavel/internal/openrtb"
)

// outbox is a publisher that keeps what it is given, or fails.
type outbox struct {
	events []events.Event
	err    error
}

func (o *outbox) Publish(ev *events.Event) error {
	if o.err == nil {
		o.events = append(o.events, *ev)
	}
	return o.err
}

func (o *outbox) PublishDurable(_ context.Context, ev *events.Event) error { return o.Publish(ev) }
func (o *outbox) Close(context.Context) error                              { return nil }

// The links that the edge hands out are taken by the edge, and each error has the answer that the edge knows it by.
func TestNoticesAndLinksMeet(t *testing.T) {
	keys, err := notices.OpenKeyring(t.TempDir() + "/token.keys")
	if err != nil {
		t.Fatal(err)
	}
	links, err := notices.NewLinker("http://127.0.0.1:8090", keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	landing, out := true, new(outbox)
	taken, err := notices.New(notices.Options{
		Keys: keys, Ledger: ledger, Publisher: out, Registerer: prometheus.NewRegistry(),
		Landing: func(_, creative string) (string, bool) { return "https://stride.example/", landing && creative == "x" },
	})
	if err != nil {
		t.Fatal(err)
	}
	bid := &auction.Bid{ID: "b1", Candidate: candidate(), Price: 1200}
	var l openrtb.Links
	linker{links}.Links(&auction.Request{Exchange: "sim"}, bid, &l)
	tell := func(kind openrtb.NoticeKind, link, price string) (openrtb.NoticeResult, error) {
		_, token, _ := strings.Cut(link, "?t=")
		token, _, _ = strings.Cut(token, "&")
		return noticeDesk{taken}.Notice(context.Background(), &openrtb.Notice{Kind: kind, Token: token, Price: price})
	}
	f := func(name string, kind openrtb.NoticeKind, link, price string, want error) {
		t.Helper()
		if _, err := tell(kind, link, price); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	f("billing", openrtb.Billing, l.Billing, "1.1", nil)
	f("billing by the click's token", openrtb.Billing, l.Click, "1.1", openrtb.ErrBadToken)
	f("a price above the bid", openrtb.Win, l.Win, "1.201", openrtb.ErrBadNotice)
	result, err := tell(openrtb.Click, l.Click, "")
	if err != nil || !strings.HasPrefix(result.Redirect, "https://stride.example/?") {
		t.Errorf("click: %+v, %v", result, err)
	}
	landing = false
	f("a click on a creative that is gone", openrtb.Click, l.Click, "", openrtb.ErrUnknownNotice)
	if spent := ledger.Spent("a", auction.DayOf(time.Now())); spent != 1100 {
		t.Errorf("spent %d, want 1100", spent)
	}
	out.err = notices.ErrUnavailable
	_, err = tell(openrtb.Impression, l.Impression, "")
	for _, known := range []error{openrtb.ErrBadToken, openrtb.ErrBadNotice, openrtb.ErrUnknownNotice} {
		if err == nil || errors.Is(err, known) {
			t.Errorf("a stream that is away: got %v, want another error than %v", err, known)
		}
	}
}

// A bid that cannot be recorded is said once a second, and the ledger frees what is withdrawn.
func TestAuctionsTellOfBids(t *testing.T) {
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ledger.SetPlans([]auction.Plan{{Campaign: "a", Daily: 1e6}}, now)
	ledger.Grant("a", auction.DayOf(now), 1e6)
	var log bytes.Buffer
	out := new(outbox)
	a := &auctions{ledger: ledger, publisher: out, log: slog.New(slog.NewTextHandler(&log, nil))}
	req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}}
	bid := &auction.Bid{ID: "b1", Candidate: candidate(), Price: 1200}
	if !ledger.Reserve("a", bid.ID, bid.Price, now) {
		t.Fatal("nothing was reserved")
	}
	a.Sent(req, bid)
	if len(out.events) != 1 || out.events[0].Key != "b1" {
		t.Errorf("events %+v", out.events)
	}
	a.Withdraw(req, bid, auction.NoBidExpired)
	if left := ledger.Left("a", now); left != 1e6 {
		t.Errorf("%d left after the bid was withdrawn, want all", left)
	}
	out.err = fmt.Errorf("full")
	for range 50 {
		a.Sent(req, bid)
	}
	if n := strings.Count(log.String(), "bid not recorded"); n < 1 || n > 3 {
		t.Errorf("%d lines of log for 50 bids in a moment, want one a second", n)
	}
}

// candidate is one of a campaign "a" that pays by click.
func candidate() auction.Candidate {
	c := &auction.Campaign{ID: "a", Goal: auction.Goal{Kind: auction.CPC, Value: 1e6}}
	c.Creatives = []auction.Creative{{ID: "x", Kind: auction.BannerCreative}}
	return auction.Candidate{Campaign: c, Creative: &c.Creatives[0]}
}
