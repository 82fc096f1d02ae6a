package notices

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/events"
)

// kept is a Publisher that keeps what it is given, and fails when told to.
type kept struct {
	mu     sync.Mutex
	events []events.Event
	fail   error
}

func (p *kept) Publish(e *events.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail == nil {
		p.events = append(p.events, *e)
	}
	return p.fail
}

func (p *kept) PublishDurable(_ context.Context, e *events.Event) error { return p.Publish(e) }

type noticeWorld struct {
	t       *testing.T
	n       *Handler
	keys    *Keyring
	ledger  *auction.Ledger
	out     *kept
	reg     *prometheus.Registry
	now     time.Time
	landing string
}

func newNoticeWorld(t *testing.T) *noticeWorld {
	t.Helper()
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := &noticeWorld{t: t, keys: testKeys(t), ledger: ledger, out: &kept{}, reg: prometheus.NewRegistry(),
		now: testClaims.Issued.Add(time.Second), landing: "https://shop.example/p?a=1&c=${CAMPAIGN_ID}#top"}
	w.restart()
	return w
}

// restart makes Handler anew, as a new process has them, over the ledger there is.
func (w *noticeWorld) restart() {
	w.reg = prometheus.NewRegistry()
	n, err := New(Options{
		Keys: w.keys, Ledger: w.ledger, Sellers: testSellers(w.t), Publisher: w.out, Registerer: w.reg,
		Landing: func(campaign, creative string) (string, bool) {
			return w.landing, campaign == "c-1" && creative == "cr-1"
		},
		Now: func() time.Time { return w.now },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.n = n
}

func (w *noticeWorld) token(kind events.Type, c Claims) string {
	w.t.Helper()
	s, err := w.keys.Token(kind, &c)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *noticeWorld) spent() auction.Micros { return w.ledger.Spent("c-1", auction.DayOf(w.now)) }

// outcome is how often a kind ended so.
func (w *noticeWorld) outcome(kind events.Type, outcome string) float64 {
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["kind"] == string(kind) && labels["outcome"] == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestBillingReplayed(t *testing.T) {
	w := newNoticeWorld(t)
	n := &Notice{Kind: events.TypeBilling, Token: w.token(events.TypeBilling, testClaims), Price: "1.1"}
	for range 3 {
		if _, err := w.n.Handle(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if w.spent() != 1100 || len(w.out.events) != 1 || w.outcome(events.TypeBilling, outcomeReplayed) != 2 {
		t.Errorf("spent %d, %d events", w.spent(), len(w.out.events))
	}
	// Nor does a lower price, or a process that has forgotten all but the ledger, book again.
	w.restart()
	for _, price := range []string{"1.1", "1.0", "0"} {
		n.Price = price
		if _, err := w.n.Handle(t.Context(), n); err != nil || w.spent() != 1100 {
			t.Errorf("after a restart, %s: spent %d, %v", price, w.spent(), err)
		}
	}
	// Nor do many at once.
	w = newNoticeWorld(t)
	var wg sync.WaitGroup
	token := w.token(events.TypeBilling, testClaims)
	for range 50 {
		wg.Go(func() {
			_, _ = w.n.Handle(t.Context(), &Notice{Kind: events.TypeBilling, Token: token, Price: "1"})
		})
	}
	wg.Wait()
	if w.spent() != 1000 || len(w.out.events) != 1 {
		t.Errorf("50 at once: spent %d, %d events", w.spent(), len(w.out.events))
	}
}

// A notice whose event cannot be stored is refused; the same one later is taken, and booked once in all.
func TestNoticeUnavailable(t *testing.T) {
	w := newNoticeWorld(t)
	n := &Notice{Kind: events.TypeBilling, Token: w.token(events.TypeBilling, testClaims), Price: "1"}
	w.out.fail = events.ErrFull
	if _, err := w.n.Handle(t.Context(), n); !errors.Is(err, ErrUnavailable) || !errors.Is(err, events.ErrFull) {
		t.Errorf("got %v", err)
	}
	w.out.fail = nil
	if _, err := w.n.Handle(t.Context(), n); err != nil || w.spent() != 1000 || len(w.out.events) != 1 {
		t.Errorf("spent %d, %d events, %v", w.spent(), len(w.out.events), err)
	}
	w.out.fail = events.ErrFull
	to, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeClick, Token: w.token(events.TypeClick, testClaims)})
	if err != nil || to == "" {
		t.Errorf("a click that cannot be stored: %q, %v", to, err)
	}
}

func TestNoticeRefused(t *testing.T) {
	w := newNoticeWorld(t)
	f := func(name string, n Notice, want error, kind events.Type, outcome string) {
		t.Helper()
		before := w.outcome(kind, outcome)
		if _, err := w.n.Handle(t.Context(), &n); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if w.outcome(kind, outcome) != before+1 {
			t.Errorf("%s: outcome %s not counted", name, outcome)
		}
	}
	old := testClaims
	old.Issued = w.now.Add(-4 * time.Hour)
	gone := testClaims
	gone.Creative = "cr-2"
	f("another kind's token", Notice{Kind: events.TypeBilling, Token: w.token(events.TypeClick, testClaims), Price: "1"}, ErrBadToken, events.TypeBilling, outcomeForged)
	f("no token", Notice{Kind: events.TypeWin, Price: "1"}, ErrBadToken, events.TypeWin, outcomeBroken)
	f("an old token", Notice{Kind: events.TypeBilling, Token: w.token(events.TypeBilling, old), Price: "1"}, ErrBadToken, events.TypeBilling, outcomeExpired)
	f("no such kind", Notice{Kind: events.TypeBid, Token: "x"}, ErrBadNotice, "unknown", outcomeBadField)
	f("no such creative", Notice{Kind: events.TypeClick, Token: w.token(events.TypeClick, gone)}, ErrUnknownNotice, events.TypeClick, outcomeNoLanding)
	f("a value that is none", Notice{Kind: events.TypeConversion, Token: w.token(events.TypeConversion, testClaims), Value: "lots"}, ErrBadNotice, events.TypeConversion, outcomeBadField)
	if w.spent() != 0 || len(w.out.events) != 0 {
		t.Errorf("spent %d, %d events", w.spent(), len(w.out.events))
	}
	if _, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeClick, Token: w.token(events.TypeClick, old)}); err != nil {
		t.Errorf("a click after two hours: %v", err)
	}
}

func TestLoss(t *testing.T) {
	w := newNoticeWorld(t)
	w.ledger.SetPlans([]auction.Plan{{Campaign: "c-1", Daily: 10_000}}, w.now)
	w.ledger.Grant("c-1", auction.DayOf(w.now), 10_000)
	if !w.ledger.Reserve("c-1", testClaims.Bid, 1234, w.now) {
		t.Fatal("cannot reserve")
	}
	for range 2 {
		if _, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeLoss, Token: w.token(events.TypeLoss, testClaims), Price: "2.5", Reason: "102"}); err != nil {
			t.Fatal(err)
		}
	}
	if left := w.ledger.Left("c-1", w.now); left != 10_000 {
		t.Errorf("left %d", left)
	}
	if e := w.out.events; len(e) != 1 || e[0].Reason != 102 || e[0].Price != 2500 || e[0].Campaign != "c-1" {
		t.Errorf("events %+v", e)
	}
}

// From the click to the conversion: the landing page carries what the advertiser sends back.
func TestClickAndConversion(t *testing.T) {
	w := newNoticeWorld(t)
	to, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeClick, Token: w.token(events.TypeClick, testClaims)})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil || u.Host != "shop.example" || u.Query().Get("a") != "1" || u.Query().Get("c") != "c-1" || u.Fragment != "top" {
		t.Fatalf("redirected to %q", to)
	}
	click := u.Query().Get(ClickParam)
	w.now = w.now.Add(20 * 24 * time.Hour)
	for range 2 {
		for _, order := range []string{"o-1", "o-2", strings.Repeat("long", 100)} {
			if _, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeConversion, Token: click, ConversionID: order, Value: "19.99"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if e := w.out.events; len(e) != 4 || e[0].Type != events.TypeClick || e[1].ID != "conversion:"+testClaims.Bid+":o-1" || e[1].Price != 19_990_000 || e[1].Key != testClaims.Bid || len(e[3].ID) > 120 {
		t.Errorf("events %+v", e)
	}
	w.now = w.now.Add(11 * 24 * time.Hour)
	if _, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeConversion, Token: click, ConversionID: "o-9"}); !errors.Is(err, ErrBadToken) {
		t.Errorf("after 31 days: %v", err)
	}
	f := func(page, want string) {
		t.Helper()
		w.landing = page
		to, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeClick, Token: w.token(events.TypeClick, testClaims)})
		if want == "" {
			if !errors.Is(err, ErrUnknownNotice) {
				t.Errorf("%q: redirected to %q, %v", page, to, err)
			}
			return
		}
		if i := strings.Index(want, "*"); err != nil || !strings.HasPrefix(to, want[:i]) || !strings.HasSuffix(to, want[i+1:]) {
			t.Errorf("%q: redirected to %q, %v", page, to, err)
		}
	}
	w.now = testClaims.Issued
	f("https://shop.example/", "https://shop.example/?"+ClickParam+"=*")
	f("https://shop.example/x?id=${CLICK_ID}&n=1", "https://shop.example/x?id=*&n=1")
	f("javascript:alert(1)", "")
	f("//evil.example/", "")
	f("/relative", "")
}

func TestSeen(t *testing.T) {
	s := newSeen(time.Minute, 3)
	now := time.Unix(1000, 0)
	for _, id := range []string{"a", "b", "c"} {
		if !s.add(id, now) || s.add(id, now) {
			t.Errorf("%s is not new once", id)
		}
	}
	if !s.add("d", now) || s.add("a", now) {
		t.Error("the generation before is forgotten at once")
	}
	if s.remove("d"); !s.add("d", now) {
		t.Error("removed, but remembered")
	}
	now = now.Add(time.Minute)
	s.add("e", now)
	now = now.Add(time.Minute)
	if !s.add("f", now) || !s.add("a", now) {
		t.Error("remembered after two windows")
	}
	if len(s.young)+len(s.old) > 6 {
		t.Error("more than twice the limit")
	}
}

// A handler of sales takes sales alone, each once, and books nothing.
func TestSales(t *testing.T) {
	keys, out := testKeys(t), &kept{}
	now := testClaims.Issued
	n, err := New(Options{Keys: keys, Publisher: out, Sales: true, Registerer: prometheus.NewRegistry(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	claims := Claims{Bid: "click1", Campaign: "shoes", Issued: now}
	token := func(kind events.Type) string {
		text, err := keys.Token(kind, &claims)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	f := func(want error, sold int, notice Notice) {
		t.Helper()
		if _, err := n.Handle(t.Context(), &notice); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%+v: got %v, want %v", notice, err, want)
		}
		if len(out.events) != sold {
			t.Errorf("%+v: %d sales on the stream, want %d", notice, len(out.events), sold)
		}
	}
	sale := token(events.TypeSale)
	f(nil, 1, Notice{Kind: events.TypeSale, Token: sale, Value: "12.5"})
	if e := out.events[0]; e.ID != "sale:click1" || e.Type != events.TypeSale || e.Key != "click1" || e.Campaign != "shoes" || e.Price != 12_500_000 {
		t.Errorf("got %+v", e)
	}
	f(nil, 1, Notice{Kind: events.TypeSale, Token: sale, Value: "12.5"})
	f(nil, 2, Notice{Kind: events.TypeSale, Token: sale, ConversionID: "order 2"})
	f(ErrBadNotice, 2, Notice{Kind: events.TypeSale, Token: sale, ConversionID: "order 3", Value: "-1"})
	f(ErrBadToken, 2, Notice{Kind: events.TypeSale, Token: token(events.TypeConversion)})
	f(ErrBadToken, 2, Notice{Kind: events.TypeSale, Token: "x"})
	f(ErrBadNotice, 2, Notice{Kind: events.TypeConversion, Token: token(events.TypeConversion)})
	now = now.Add(31 * 24 * time.Hour)
	f(ErrBadToken, 2, Notice{Kind: events.TypeSale, Token: sale, ConversionID: "late"})

	w := newNoticeWorld(t) // a bidder's handler takes none
	if _, err := w.n.Handle(t.Context(), &Notice{Kind: events.TypeSale, Token: w.token(events.TypeSale, testClaims)}); !errors.Is(err, ErrBadNotice) {
		t.Errorf("a bidder took a sale: %v", err)
	}
}
