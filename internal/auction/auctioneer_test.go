package auction

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// flat gives every candidate the same prediction; scorerFunc is any other scorer.
func flat(p float32) Scorer {
	return scorerFunc(func(_ context.Context, _ *Request, cs []Candidate, out []Prediction, ok []bool) error {
		for i := range cs {
			out[i], ok[i] = Prediction{Click: p, Conversion: p}, true
		}
		return nil
	})
}

type scorerFunc func(ctx context.Context, req *Request, candidates []Candidate, out []Prediction, ok []bool) error

func (f scorerFunc) Score(ctx context.Context, req *Request, candidates []Candidate, out []Prediction, ok []bool) error {
	return f(ctx, req, candidates, out, ok)
}

// purse is a Budget with fixed answers, which records the calls.
type purse struct {
	admit   map[string]NoBidReason
	broke   map[string]bool
	held    map[string]Micros
	admits  int
	release []string
}

func (p *purse) Reserve(campaign, id string, price Micros, _ time.Time) bool {
	if p.broke[campaign] {
		return false
	}
	if p.held == nil {
		p.held = map[string]Micros{}
	}
	p.held[id] = price
	return true
}
func (p *purse) Release(id string) { p.release = append(p.release, id) }
func (p *purse) Admit(campaign string, _ time.Time) NoBidReason {
	p.admits++
	return p.admit[campaign]
}

func priced(id string, micros Micros) Campaign {
	return plainCampaign(id, func(c *Campaign) { c.Goal = Goal{CPM, micros} })
}

func TestRun(t *testing.T) {
	clicks := func(id string, micros Micros) Campaign {
		return plainCampaign(id, func(c *Campaign) { c.Goal = Goal{CPC, micros} })
	}
	type world struct {
		campaigns []Campaign
		request   func(*Request)
		scorer    Scorer
		purse     *purse
		ctx       context.Context
		refuse    func(*Request) NoBidReason
	}
	f := func(name string, w world, wantReason NoBidReason, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			if w.scorer == nil {
				w.scorer = flat(0.5)
			}
			if w.purse == nil {
				w.purse = &purse{}
			}
			if w.ctx == nil {
				w.ctx = t.Context()
			}
			if w.request == nil {
				w.request = func(*Request) {}
			}
			ids := 0
			a, err := NewAuctioneer(AuctioneerOptions{
				Scorer: w.scorer, Budget: w.purse, Refuse: w.refuse, Now: func() time.Time { return noon },
				NewID: func() string { ids++; return fmt.Sprint("b", ids) }, Rand: func() uint32 { return 1 },
			})
			if err != nil {
				t.Fatal(err)
			}
			if w.campaigns != nil {
				a.SetCampaigns(mustSet(t, w.campaigns, SetOptions{}))
			}
			req := plainRequest(w.request)
			got := a.Run(w.ctx, req, nil)
			var bids []string
			for _, b := range got.Bids {
				bids = append(bids, fmt.Sprintf("%s imp %s at %d of %d", b.Candidate.Campaign.ID, req.Impressions[b.Candidate.Impression].ID, b.Price, b.Value))
				if w.purse.held[b.ID] != b.Price {
					t.Errorf("bid %s at %d holds %d", b.ID, b.Price, w.purse.held[b.ID])
				}
			}
			if got.Reason != wantReason || !slices.Equal(bids, want) {
				t.Errorf("got %q, reason %q; want %q, reason %q", bids, got.Reason, want, wantReason)
			}
			if len(w.purse.held) != len(got.Bids) {
				t.Errorf("%d reservations for %d bids", len(w.purse.held), len(got.Bids))
			}
		})
	}
	two := func(r *Request) {
		r.Impressions = append(r.Impressions, r.Impressions[0])
		r.Impressions[1].ID = "2"
	}
	f("the highest value wins, at its value", world{campaigns: []Campaign{priced("a", 2000), priced("b", 3000)}}, NoBidNone, "b imp 1 at 3000 of 3000")
	f("a click is worth its probability", world{campaigns: []Campaign{priced("a", 2000), clicks("b", 3000)}}, NoBidNone, "a imp 1 at 2000 of 2000")
	f("first price is shaded", world{campaigns: []Campaign{priced("a", 2000)}, request: func(r *Request) { r.Type = FirstPrice }}, NoBidNone,
		"a imp 1 at 1600 of 2000")
	f("a fixed-price deal is paid as asked", world{campaigns: []Campaign{priced("a", 2000)}, request: func(r *Request) {
		r.Impressions[0].PrivateAuction = true
		r.Impressions[0].Deals = []Deal{{ID: "d", Floor: 1200, FloorCurrency: "USD", Type: FixedPrice}}
	}}, NoBidNone, "a imp 1 at 1200 of 2000")
	f("the type of a deal overrides the auction's", world{campaigns: []Campaign{priced("a", 2000)}, request: func(r *Request) {
		r.Impressions[0].Deals = []Deal{{ID: "d", FloorCurrency: "USD", Type: FirstPrice}}
	}}, NoBidNone, "a imp 1 at 1600 of 2000")
	f("two impressions, two campaigns", world{campaigns: []Campaign{priced("a", 2000), priced("b", 3000)}, request: two}, NoBidNone,
		"b imp 1 at 3000 of 3000", "a imp 2 at 2000 of 2000")
	f("one campaign takes one impression", world{campaigns: []Campaign{priced("a", 2000)}, request: two}, NoBidNone, "a imp 1 at 2000 of 2000")
	f("the next best bids if the best has no money", world{campaigns: []Campaign{priced("a", 2000), priced("b", 3000)},
		purse: &purse{broke: map[string]bool{"b": true}}}, NoBidNone, "a imp 1 at 2000 of 2000")
	f("nobody has money", world{campaigns: []Campaign{priced("a", 2000)}, purse: &purse{broke: map[string]bool{"a": true}}}, NoBidBudget)
	f("a campaign held back makes room", world{campaigns: []Campaign{priced("a", 2000), priced("b", 3000)},
		purse: &purse{admit: map[string]NoBidReason{"b": NoBidPacing}}}, NoBidNone, "a imp 1 at 2000 of 2000")
	f("all are held back", world{campaigns: []Campaign{priced("a", 2000), priced("b", 3000)},
		purse: &purse{admit: map[string]NoBidReason{"a": NoBidBudget, "b": NoBidPacing}}}, NoBidPacing)
	f("worth less than the floor", world{campaigns: []Campaign{clicks("a", 2000)}, request: func(r *Request) { r.Impressions[0].Floor = 1001 }}, NoBidFloor)
	f("nothing matches", world{campaigns: []Campaign{priced("a", 1)}, request: func(r *Request) { r.Impressions[0].Banner = nil }}, NoBidFormat)
	f("no campaigns yet", world{}, NoBidNoCampaign)
	f("refused at the door", world{campaigns: []Campaign{priced("a", 1)}, refuse: func(*Request) NoBidReason { return NoBidPrivacy }}, NoBidPrivacy)
	f("too late", world{campaigns: []Campaign{priced("a", 1)}, request: func(r *Request) { r.Deadline = noon }}, NoBidExpired)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	f("given up", world{campaigns: []Campaign{priced("a", 1)}, ctx: cancelled}, NoBidExpired)

	failing := func(err error) Scorer {
		return scorerFunc(func(_ context.Context, _ *Request, cs []Candidate, out []Prediction, ok []bool) error {
			for i := range cs {
				out[i], ok[i] = Prediction{Click: 1}, true // written before the error, so it must not be used
			}
			return err
		})
	}
	both := []Campaign{priced("a", 2000), clicks("b", 9000)}
	f("shed", world{campaigns: both, scorer: failing(fmt.Errorf("batch: %w", ErrShed))}, NoBidShed)
	f("expired in the batch", world{campaigns: both, scorer: failing(ErrExpired)}, NoBidExpired)
	f("an unknown fault", world{campaigns: both, scorer: failing(errors.New("disk"))}, NoBidInternal)
	f("without a model, who pays per impression still bids", world{campaigns: both, scorer: failing(ErrNoModel)}, NoBidNone, "a imp 1 at 2000 of 2000")
	f("without a model, clicks cannot be valued", world{campaigns: both[1:], scorer: failing(ErrNoModel)}, NoBidNoModel)
	refusing := scorerFunc(func(_ context.Context, _ *Request, cs []Candidate, out []Prediction, ok []bool) error {
		for i := range cs {
			out[i], ok[i] = Prediction{Click: 1}, cs[i].Campaign.ID != "b"
		}
		return nil
	})
	f("a refused row fails no other", world{campaigns: both, scorer: refusing}, NoBidNone, "a imp 1 at 2000 of 2000")
	f("every row refused", world{campaigns: both[1:], scorer: refusing}, NoBidRow)
}

// TestAdmitOncePerAuction: the budget is asked once about a campaign that matches several impressions.
func TestAdmitOncePerAuction(t *testing.T) {
	p := &purse{admit: map[string]NoBidReason{"a": NoBidPacing}}
	a, err := NewAuctioneer(AuctioneerOptions{Scorer: flat(1), Budget: p})
	if err != nil {
		t.Fatal(err)
	}
	a.SetCampaigns(mustSet(t, []Campaign{priced("a", 2000), priced("b", 3000)}, SetOptions{}))
	got := a.Run(t.Context(), plainRequest(func(r *Request) {
		r.Deadline = time.Time{}
		r.Impressions = slices.Repeat(r.Impressions, 5)
	}), nil)
	if p.admits != 2 || len(got.Bids) != 1 {
		t.Errorf("%d admissions, %d bids; want 2 and 1", p.admits, len(got.Bids))
	}
	if s := a.Stats(); s.Auctions != 1 || s.Candidates != 5 || s.Paced != 1 || s.Bids != 1 {
		t.Errorf("%+v", s)
	}
}

// TestTiesAreShared: equal offers win equally often.
func TestTiesAreShared(t *testing.T) {
	a, err := NewAuctioneer(AuctioneerOptions{Scorer: flat(1), Budget: &purse{}})
	if err != nil {
		t.Fatal(err)
	}
	a.SetCampaigns(mustSet(t, []Campaign{priced("a", 2000), priced("b", 2000)}, SetOptions{}))
	wins := map[string]int{}
	req := plainRequest(func(r *Request) { r.Deadline = time.Time{} })
	for range 400 {
		wins[a.Run(t.Context(), req, nil).Bids[0].Candidate.Campaign.ID]++
	}
	if wins["a"] < 120 || wins["b"] < 120 {
		t.Errorf("wins %v, want about half each", wins)
	}
}

// TestReloadWhileRunning swaps sets during auctions: every bid belongs to one of the sets, and spend stays in budget.
func TestReloadWhileRunning(t *testing.T) {
	l, err := NewLedger(LedgerOptions{Rand: func() float64 { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	const granted = 1_000_000 // pacing does not matter: the plan is far larger
	l.SetPlans([]Plan{{Campaign: "a", Daily: maxDaily}, {Campaign: "b", Daily: maxDaily}}, noon.Add(-time.Minute))
	l.Grant("a", DayOf(noon), granted)
	l.Grant("b", DayOf(noon), granted)
	a, err := NewAuctioneer(AuctioneerOptions{Scorer: flat(1), Budget: l, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	sets := []*CampaignSet{
		mustSet(t, []Campaign{priced("a", 2000)}, SetOptions{}), mustSet(t, []Campaign{priced("a", 1500), priced("b", 3000)}, SetOptions{}),
	}
	a.SetCampaigns(sets[0])
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			req := plainRequest()
			var buffer []Bid
			for i := range 2000 {
				if w == 0 {
					a.SetCampaigns(sets[i%2])
				}
				result := a.Run(context.Background(), req, buffer)
				for _, b := range result.Bids {
					if b.Price > b.Value || b.Candidate.Campaign.ID == "b" && b.Price != 3000 {
						t.Errorf("bid %+v", b)
					}
					l.Book(b.Candidate.Campaign.ID, b.ID, b.Price, noon)
				}
				buffer = result.Bids
			}
		})
	}
	wg.Wait()
	for _, c := range []string{"a", "b"} {
		if spent := l.Spent(c, DayOf(noon)); spent > granted || spent == 0 {
			t.Errorf("%s spent %d of %d", c, spent, granted)
		}
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		id := NewID()
		if len(id) != 26 || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

// A test needs no money and takes none. A display for a quantity of impressions reserves the price of all.
func TestRunOfTestAndQuantity(t *testing.T) {
	f := func(name string, test bool, quantity float64, granted, wantLeft Micros, bids int) {
		t.Helper()
		l := newTestLedger(t, granted, LedgerOptions{})
		l.SetPlans([]Plan{{Campaign: "c", Daily: 1e9, Pacing: PaceASAP}}, noon)
		a, err := NewAuctioneer(AuctioneerOptions{Scorer: flat(0.01), Budget: l, Now: func() time.Time { return noon }})
		if err != nil {
			t.Fatal(err)
		}
		a.SetCampaigns(mustSet(t, []Campaign{priced("c", 3000)}, SetOptions{}))
		req := plainRequest()
		req.Test = test
		req.Type = SecondPrice
		req.Impressions[0].Quantity = quantity
		result := a.Run(t.Context(), req, nil)
		if len(result.Bids) != bids || l.Left("c", noon) != wantLeft {
			t.Errorf("%s: %d bids, %d left, want %d and %d", name, len(result.Bids), l.Left("c", noon), bids, wantLeft)
		}
		if bids == 1 && (result.Bids[0].Made != noon || result.Bids[0].Price != 3000) {
			t.Errorf("%s: %+v", name, result.Bids[0])
		}
	}
	f("one", false, 0, 10_000, 7_000, 1)
	f("many", false, 30.3, 100_000, 9_100, 1)
	f("more than there is", false, 30.3, 90_000, 90_000, 0)
	f("a test", true, 0, 10_000, 10_000, 1)
	f("a test without money", true, 30.3, 0, 0, 1)
}
