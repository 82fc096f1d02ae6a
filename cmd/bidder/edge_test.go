package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/notices"
	"gavel/internal/openrtb"
	"gavel/internal/sellers"
)

// outbox is a publisher that loses the events, and returns err.
type outbox struct{ err error }

func (o *outbox) Publish(*events.Event) error                         { return o.err }
func (o *outbox) PublishDurable(context.Context, *events.Event) error { return o.err }

// The edge accepts the links that it makes, and each error of notices becomes the error that openrtb answers.
func TestLinksAndNotices(t *testing.T) {
	keys, err := notices.OpenKeyring(t.TempDir() + "/token.keys")
	if err != nil {
		t.Fatal(err)
	}
	known, err := sellers.New(map[string]sellers.Settings{"sim": {Addresses: []string{"127.0.0.1"}}}, "USD")
	if err != nil {
		t.Fatal(err)
	}
	links, err := notices.NewLinker("http://127.0.0.1:8089", keys, known)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	landing, out := true, new(outbox)
	handler, err := notices.New(notices.Options{
		Keys: keys, Ledger: ledger, Sellers: known, Publisher: out, Registerer: prometheus.NewRegistry(),
		Landing: func(_, creative string) (string, bool) { return "https://stride.example/", landing && creative == "x" },
	})
	if err != nil {
		t.Fatal(err)
	}
	bid := &auction.Bid{ID: "b1", Candidate: candidate(), Price: 1200, Made: time.Now()}
	var l openrtb.Links
	linker{links}.Links(&auction.Request{Exchange: "sim"}, bid, &l)
	notify := func(kind openrtb.NoticeKind, link, price string) (openrtb.NoticeResult, error) {
		_, token, _ := strings.Cut(link, "?t=")
		token, _, _ = strings.Cut(token, "&")
		return booking{handler}.Notice(context.Background(), &openrtb.Notice{Kind: kind, Token: token, Price: price})
	}
	f := func(name string, kind openrtb.NoticeKind, link, price string, want error) {
		t.Helper()
		if _, err := notify(kind, link, price); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	f("billing", openrtb.Billing, l.Billing, "1.1", nil)
	f("billing with the token of a click", openrtb.Billing, l.Click, "1.1", openrtb.ErrBadToken)
	f("a conversion of no amount", openrtb.Loss, l.Win, "1.201", openrtb.ErrBadToken)
	result, err := notify(openrtb.Click, l.Click, "")
	if err != nil || !strings.HasPrefix(result.Redirect, "https://stride.example/?") {
		t.Errorf("click: %+v, %v", result, err)
	}
	landing = false
	f("a click on a removed creative", openrtb.Click, l.Click, "", openrtb.ErrUnknownNotice)
	if spent := ledger.Spent("a", auction.DayOf(time.Now())); spent != 1100 {
		t.Errorf("spent %d, want 1100", spent)
	}
	out.err = notices.ErrUnavailable
	_, err = notify(openrtb.Impression, l.Impression, "")
	for _, known := range []error{openrtb.ErrBadToken, openrtb.ErrBadNotice, openrtb.ErrUnknownNotice} {
		if err == nil || errors.Is(err, known) {
			t.Errorf("the stream is down: got %v, which must not be %v", err, known)
		}
	}
}

// candidate returns a candidate of a campaign "a" that pays by click.
func candidate() auction.Candidate {
	c := &auction.Campaign{ID: "a", Goal: auction.Goal{Kind: auction.CPC, Value: 1e6}}
	c.Creatives = []auction.Creative{{ID: "x", Kind: auction.BannerCreative}}
	return auction.Candidate{Campaign: c, Creative: &c.Creatives[0]}
}
