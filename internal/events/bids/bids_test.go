package bids

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
)

// outbox is a publisher that keeps the events, or fails with err.
type outbox struct {
	events []events.Event
	err    error
}

func (o *outbox) Publish(event *events.Event) error {
	if o.err == nil {
		o.events = append(o.events, *event)
	}
	return o.err
}

func (o *outbox) PublishDurable(_ context.Context, event *events.Event) error {
	return o.Publish(event)
}

// newRecorder returns a Recorder with a reserved bid of a campaign "a", whose budget is 1e6.
func newRecorder(t *testing.T, out *outbox, log *bytes.Buffer) (*Recorder, *auction.Request, *auction.Bid) {
	t.Helper()
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ledger.SetPlans([]auction.Plan{{Campaign: "a", Daily: 1e6}}, now)
	ledger.Grant("a", auction.DayOf(now), 1e6)
	campaign := &auction.Campaign{ID: "a", Goal: auction.Goal{Kind: auction.CPC, Value: 1e6}}
	campaign.Creatives = []auction.Creative{{ID: "x", Kind: auction.BannerCreative}}
	bid := &auction.Bid{ID: "b1", Price: 1200, Candidate: auction.Candidate{Campaign: campaign, Creative: &campaign.Creatives[0]}}
	if !ledger.Reserve("a", bid.ID, bid.Price, now) {
		t.Fatal("nothing was reserved")
	}
	r := &Recorder{Ledger: ledger, Publisher: out, Logger: slog.New(slog.NewTextHandler(log, nil))}
	return r, &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}}, bid
}

func TestSentPublishes(t *testing.T) {
	out := new(outbox)
	r, req, bid := newRecorder(t, out, new(bytes.Buffer))
	r.Sent(req, bid)
	if len(out.events) != 1 || out.events[0].Type != events.TypeBid || out.events[0].Key != "b1" {
		t.Errorf("events %+v", out.events)
	}
	if left := r.Ledger.Left("a", time.Now()); left != 1e6-1200 {
		t.Errorf("%d left, want the bid's price still reserved", left)
	}
}

func TestWithdrawFreesTheMoney(t *testing.T) {
	r, req, bid := newRecorder(t, new(outbox), new(bytes.Buffer))
	r.Withdraw(req, bid, auction.NoBidExpired)
	if left := r.Ledger.Left("a", time.Now()); left != 1e6 {
		t.Errorf("%d left, want all", left)
	}
}

func TestBidsThatAreNotRecordedAreLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r, req, bid := newRecorder(t, &outbox{err: fmt.Errorf("full")}, &log)
		for range 50 {
			r.Sent(req, bid)
		}
		time.Sleep(time.Second)
		r.Sent(req, bid)
		if n := strings.Count(log.String(), "bid not recorded"); n != 2 || !strings.Contains(log.String(), "not_logged=49") {
			t.Errorf("%d lines, want 2 in two seconds:\n%s", n, &log)
		}
	})
}
