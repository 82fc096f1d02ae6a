package notices

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/eventstest"
	"gavel/internal/sellers"
)

// The keys and the prices that Google's scheme is commonly tested with.
const (
	googleKeys  = "skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o=\narO23ykdNqUQ5LEoQ0FVmPkBd7xB5CO89PDZlSjpFxo=\n"
	googlePrice = "YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCAWJRxOgA" // 1900 millionths
)

// testSellers are sellers of each kind. "default", the one of testClaims, has all defaults.
func testSellers(t testing.TB) *sellers.Set {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(googleKeys), 0o600); err != nil {
		t.Fatal(err)
	}
	known := sellers.Settings{Addresses: []string{"192.0.2.1"}}
	set, err := sellers.New(map[string]sellers.Settings{
		"default": known,
		"euro":    {Secret: "secret-of-the-euro", Price: sellers.PriceSettings{Currency: "EUR", Rate: 1.25}},
		"nurl":    {Secret: "secret-of-the-nurl", Billing: sellers.WinURL},
		"pixel":   {Secret: "secret-of-the-pixel", Billing: sellers.Impression},
		"short":   {Secret: "secret-of-the-short", NoticeTime: time.Minute},
		"long":    {Secret: "secret-of-the-long", NoticeTime: 5 * time.Hour},
		"openx":   {Secret: "secret-of-the-openx", Price: sellers.PriceSettings{Form: sellers.OpenX, KeysFile: keys}},
		"google":  {Secret: "secret-of-the-google", Price: sellers.PriceSettings{Form: sellers.Google, KeysFile: keys}, Macros: sellers.Macros{Price: "%%WINNING_PRICE%%"}},
	}, "USD")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A signed bill is booked, whatever its price looks like: the bid is at 1.234 CPM.
func TestBilling(t *testing.T) {
	f := func(seller, price string, want auction.Micros, outcome string) {
		t.Helper()
		t.Run(seller+" "+price[:min(len(price), 20)], func(t *testing.T) {
			w := newNoticeWorld(t)
			c := testClaims
			c.Exchange = seller
			if _, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeBilling, Token: w.token(events.TypeBilling, c), Price: price}); err != nil {
				t.Error(err)
			}
			stored := 1
			if outcome == outcomeAudit {
				stored = 0
			}
			if w.spent() != want || len(w.out.events) != stored {
				t.Errorf("spent %d with %d events, want %d with %d", w.spent(), len(w.out.events), want, stored)
			}
			if w.outcome(events.TypeBilling, outcome) != 1 {
				t.Errorf("outcome %s not counted", outcome)
			}
			if stored == 1 && (w.out.events[0].Price != want || w.out.events[0].BidTime != c.Issued.UnixMilli()) {
				t.Errorf("event %+v", w.out.events[0])
			}
		})
	}
	const bid = 1234
	f("default", "1.1", 1100, outcomeAccepted)
	f("default", "1.234", bid, outcomeAccepted)
	f("default", "1.2344", bid, outcomeAccepted)
	f("default", "1.1E0", 1100, outcomeAccepted)
	f("default", "0", 0, outcomeAccepted)
	f("default", "1e-400", 0, outcomeAccepted)
	f("default", "AUDIT", 0, outcomeAudit)
	for _, above := range []string{"1.235", "1.24", "1.4808", "2", "1e30"} {
		f("default", above, bid, outcomeAboveBid)
	}
	for _, unreadable := range []string{
		"", "${AUCTION_PRICE}", "%24%7BAUCTION_PRICE%7D", "-1", "NaN", "Inf", "0x1p-2", "1_0", "1,5", "$1.1", "1e999", "abc", "audit", "+1", ".", googlePrice, strings.Repeat("1", 40),
	} {
		f("default", unreadable, bid, outcomeUnreadable)
	}
	f("euro", "0.8", 1000, outcomeAccepted)
	f("euro", "1.1", bid, outcomeAboveBid)
	f("google", googlePrice, 2, outcomeAccepted) // 0.0019 CPM
	f("google", googlePrice+"=", 2, outcomeAccepted)
	f("google", "1.1", bid, outcomeUnreadable)
	f("google", googlePrice[:30]+"B"+googlePrice[31:], bid, outcomeUnreadable)
	f("google", "B"+googlePrice[1:], bid, outcomeUnreadable)
	f("openx", googlePrice, bid, outcomeAboveBid) // 1900 millionths for one impression
	f("openx", "YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCce_6msaw", 100, outcomeAccepted)
	f("gone since", "1.1", 1100, outcomeAccepted)
}

// Of several bills of one bid, the largest counts, and each that adds something is on the stream.
func TestLargestBill(t *testing.T) {
	w := newNoticeWorld(t)
	token := w.token(events.TypeBilling, testClaims)
	f := func(price string, want auction.Micros, stored int) {
		t.Helper()
		_, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeBilling, Token: token, Price: price})
		if err != nil || w.spent() != want || len(w.out.events) != stored {
			t.Errorf("%q: spent %d with %d events (%v), want %d with %d", price, w.spent(), len(w.out.events), err, want, stored)
		}
	}
	f("0", 0, 1)
	f("1.1", 1100, 2)
	f("1.1", 1100, 2)
	f("0", 1100, 2)
	w.out.fail = events.ErrFull
	if _, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeBilling, Token: token, Price: "1.2"}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	w.out.fail = nil
	f("0", 1200, 2)
	f("1.2", 1200, 3) // the repeat of what could not be stored
	f("${AUCTION_PRICE}", 1234, 4)
	if last := w.out.events[3]; last.ID != w.out.events[0].ID || last.Price != 1234 {
		t.Errorf("event %+v", last)
	}
}

// What bills is the seller's setting. A burl always does.
func TestTrigger(t *testing.T) {
	f := func(seller string, kind events.Type, tail, price string, want auction.Micros, wantEvents string) {
		t.Helper()
		w := newNoticeWorld(t)
		c := testClaims
		c.Exchange = seller
		for range 2 {
			if _, err := w.n.Handle(t.Context(), &Notice{Kind: kind, Token: w.token(kind, c) + tail, Price: price}); err != nil {
				t.Errorf("%s %s: %v", seller, kind, err)
			}
		}
		var stored []string
		for _, e := range w.out.events {
			stored = append(stored, string(e.Type))
		}
		if got := strings.Join(stored, " "); w.spent() != want || got != wantEvents {
			t.Errorf("%s %s: spent %d with events %q, want %d with %q", seller, kind, w.spent(), got, want, wantEvents)
		}
		if w.outcome(kind, outcomeReplayed) != 1 && wantEvents != "" {
			t.Errorf("%s %s: the repeat was not counted as one", seller, kind)
		}
	}
	f("default", events.TypeWin, "", "1.1", 0, "win")
	f("default", events.TypeWin, "", "${AUCTION_PRICE}", 0, "win")
	f("default", events.TypeImpression, "", "", 0, "impression")
	f("default", events.TypeImpression, "~1.1", "", 0, "impression")
	f("nurl", events.TypeWin, "", "1.1", 1100, "billing win")
	f("nurl", events.TypeWin, "", "", 1234, "billing win")
	f("nurl", events.TypeWin, "", "AUDIT", 0, "")
	f("nurl", events.TypeBilling, "", "1.1", 1100, "billing")
	f("pixel", events.TypeImpression, "~1.1", "", 1100, "billing impression")
	f("pixel", events.TypeImpression, "~${AUCTION_PRICE}", "", 1234, "billing impression")
	f("pixel", events.TypeImpression, "~", "", 1234, "billing impression")
	f("pixel", events.TypeImpression, "", "", 1234, "billing impression")
	f("pixel", events.TypeImpression, "~AUDIT", "", 0, "impression")
	f("pixel", events.TypeWin, "", "1.1", 0, "win")
}

// How long notices are taken is the seller's setting, three hours by default. A bill counts on the day of the bid.
func TestNoticeTime(t *testing.T) {
	f := func(seller string, after time.Duration, taken bool) {
		t.Helper()
		w := newNoticeWorld(t)
		c := testClaims
		c.Exchange = seller
		c.Issued = auction.DayOf(c.Issued).Start().Add(-time.Second)
		w.now = c.Issued.Add(after)
		for _, kind := range []events.Type{events.TypeBilling, events.TypeWin, events.TypeLoss, events.TypeImpression} {
			if _, err := w.n.Handle(t.Context(), &Notice{Kind: kind, Token: w.token(kind, c), Price: "1.1"}); (err == nil) != taken {
				t.Errorf("%s, %s after %v: %v", seller, kind, after, err)
			}
		}
		if spent := w.ledger.Spent("c-1", auction.DayOf(c.Issued)); (spent == 1100) != taken {
			t.Errorf("%s after %v: spent %d on the day of the bid", seller, after, spent)
		}
	}
	f("default", time.Second, true)
	f("default", 3*time.Hour, true)
	f("default", 3*time.Hour+time.Second, false)
	f("short", time.Minute, true)
	f("short", 2*time.Minute, false)
	f("long", 5*time.Hour, true)
	f("long", 6*time.Hour, false)
}

// A test's notices are answered, and nothing else comes of them.
func TestTestIsNotBooked(t *testing.T) {
	w := newNoticeWorld(t)
	c := testClaims
	c.Test = true
	for _, kind := range []events.Type{events.TypeWin, events.TypeBilling, events.TypeLoss, events.TypeImpression, events.TypeClick, events.TypeConversion} {
		to, err := w.n.Handle(t.Context(), &Notice{Kind: kind, Token: w.token(kind, c), Price: "1.1"})
		if err != nil || (to != "") != (kind == events.TypeClick) {
			t.Errorf("%s: %q, %v", kind, to, err)
		}
		if w.outcome(kind, outcomeTest) != 1 {
			t.Errorf("%s: not counted as a test", kind)
		}
	}
	if w.spent() != 0 || len(w.out.events) != 0 {
		t.Errorf("spent %d, %d events", w.spent(), len(w.out.events))
	}
}

// A display that counts for many impressions is billed for all of them.
func TestQuantity(t *testing.T) {
	f := func(price, quantity string, want auction.Micros, outcome string) {
		t.Helper()
		w := newNoticeWorld(t)
		c := testClaims
		c.Quantity = 30.3
		if _, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeBilling, Token: w.token(events.TypeBilling, c), Price: price, Quantity: quantity}); err != nil {
			t.Error(err)
		}
		if w.spent() != want || w.outcome(events.TypeBilling, outcome) != 1 {
			t.Errorf("%q × %q: spent %d, want %d as %s", price, quantity, w.spent(), want, outcome)
		}
	}
	const most = 37391 // 1234 × 30.3, rounded up
	f("1", "30.3", 30300, outcomeAccepted)
	f("1", "10", 10000, outcomeAccepted)
	f("1", "${AUCTION_MULTIPLIER}", 30300, outcomeAccepted)
	f("1", "", 30300, outcomeAccepted)
	f("1", "0", 30300, outcomeAccepted)
	f("1.234", "30.3", most, outcomeAccepted)
	f("1.234", "31", most, outcomeAboveBid)
	f("1.3", "1", most, outcomeAboveBid)
	f("", "", most, outcomeUnreadable)
}

// A flood of strange bills is logged once a second at most, with a bounded price.
func TestStrangeBillsAreLoggedSeldom(t *testing.T) {
	w := newNoticeWorld(t)
	var log bytes.Buffer
	w.n.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	began := time.Now()
	for i := range 200 {
		c := testClaims
		c.Bid += string(rune('a'+i%26)) + string(rune('a'+i/26))
		if _, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeBilling, Token: w.token(events.TypeBilling, c), Price: strings.Repeat("9", 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Count(log.String(), "level=WARN")
	if most := 1 + int(time.Since(began)/time.Second); lines < 1 || lines > most || strings.Contains(log.String(), strings.Repeat("9", 50)) {
		t.Errorf("%d lines, want 1 to %d:\n%s", lines, most, &log)
	}
}

// The links carry what the seller fills in, in its own words.
func TestLinksOfSellers(t *testing.T) {
	k := testKeys(t)
	l, err := NewLinker("https://b.test", k, testSellers(t))
	if err != nil {
		t.Fatal(err)
	}
	f := func(seller string, quantity float64, win, billing, loss, impression string) {
		t.Helper()
		req := eventstest.Request()
		req.Exchange = seller
		bid := eventstest.Bid(req)
		bid.Quantity = quantity
		links := l.Links(req, bid)
		for _, c := range []struct{ name, link, want string }{
			{"win", links.Win, win}, {"billing", links.Billing, billing}, {"loss", links.Loss, loss},
			{"impression", links.Impression, impression}, {"click", links.Click, ""},
		} {
			_, token, found := strings.Cut(c.link, "?t=")
			end := strings.IndexAny(token+"&", "&~")
			if got := (token + "&")[end:]; c.want != "none" && got != c.want+"&" || found == (c.want == "none") {
				t.Errorf("%s: %s ends with %q, want %q", seller, c.name, got, c.want)
			}
		}
	}
	f("default", 0, "&p=${AUCTION_PRICE}", "&p=${AUCTION_PRICE}", "&p=${AUCTION_PRICE}&r=${AUCTION_LOSS}", "")
	f("default", 30.3, "&p=${AUCTION_PRICE}&m=${AUCTION_MULTIPLIER}", "&p=${AUCTION_PRICE}&m=${AUCTION_MULTIPLIER}", "&p=${AUCTION_PRICE}&r=${AUCTION_LOSS}", "")
	f("google", 0, "&p=%%WINNING_PRICE%%", "&p=%%WINNING_PRICE%%", "&p=%%WINNING_PRICE%%&r=${AUCTION_LOSS}", "")
	f("nurl", 0, "&p=${AUCTION_PRICE}", "none", "&p=${AUCTION_PRICE}&r=${AUCTION_LOSS}", "")
	f("pixel", 2, "&p=${AUCTION_PRICE}&m=${AUCTION_MULTIPLIER}", "none", "&p=${AUCTION_PRICE}&r=${AUCTION_LOSS}", "~${AUCTION_PRICE}~${AUCTION_MULTIPLIER}")
	f("openx", 0, "&p=${AUCTION_PRICE:OXCRYPT}", "&p=${AUCTION_PRICE:OXCRYPT}", "&p=${AUCTION_PRICE:OXCRYPT}&r=${AUCTION_LOSS}", "")
}
