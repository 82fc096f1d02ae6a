package auction

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// AuctioneerOptions are an Auctioneer's parts. Scorer and Budget are required.
type AuctioneerOptions struct {
	Scorer  Scorer
	Budget  Budget
	Shading Shading
	// Refuse is called first. If it returns a reason (privacy, draining), the auction ends with it. nil refuses nothing.
	Refuse func(*Request) NoBidReason
	// PerCampaign is how many impressions of one auction a campaign may bid on at most; 0 means 1.
	PerCampaign int
	// NewID makes bid ids; nil means NewID of this package. Rand breaks ties between equal offers; nil means
	// math/rand/v2. Now is the clock; nil means time.Now. All three must be safe for concurrent use.
	NewID func() string
	Rand  func() uint32
	Now   func() time.Time
}

// Auctioneer runs auctions: candidates, admission, one call to the scorer, prices, choice, reservation. It is safe for
// concurrent use. SetCampaigns replaces the whole set; a running auction finishes with the set that it began with.
type Auctioneer struct {
	options   AuctioneerOptions
	campaigns atomic.Pointer[CampaignSet]
	work      sync.Pool // *work
	stats     auctionCounters
}

// AuctionStats counts since start.
type AuctionStats struct {
	Auctions   uint64 // calls of Run
	Candidates uint64 // sent to the scorer
	Refused    uint64 // rows the model refused
	BelowFloor uint64 // candidates worth less than the floor
	Paced      uint64 // campaigns held back by pacing; counted once an auction
	Spent      uint64 // campaigns held back because no money was left; counted once an auction
	Unreserved uint64 // winners that could not reserve their price
	Bids       uint64
}

type auctionCounters struct {
	auctions, candidates, refused, belowFloor, paced, spent, unreserved, bids atomic.Uint64
}

// NewAuctioneer returns an auctioneer without campaigns: until SetCampaigns it answers NoBidNoCampaign.
func NewAuctioneer(o AuctioneerOptions) (*Auctioneer, error) {
	if o.Scorer == nil || o.Budget == nil {
		return nil, errors.New("auction: cannot make an auctioneer without a scorer and a budget")
	}
	if err := o.Shading.fill(); err != nil {
		return nil, err
	}
	if o.PerCampaign <= 0 {
		o.PerCampaign = 1
	}
	if o.NewID == nil {
		o.NewID = NewID
	}
	if o.Rand == nil {
		o.Rand = rand.Uint32
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Auctioneer{options: o}
	a.work.New = func() any { return new(work) }
	return a, nil
}

// SetCampaigns makes the next auctions use set.
func (a *Auctioneer) SetCampaigns(set *CampaignSet) { a.campaigns.Store(set) }

// Campaigns returns the set in use, or nil.
func (a *Auctioneer) Campaigns() *CampaignSet { return a.campaigns.Load() }

// Stats returns the counts so far.
func (a *Auctioneer) Stats() AuctionStats {
	c := &a.stats
	return AuctionStats{
		Auctions: c.auctions.Load(), Candidates: c.candidates.Load(), Refused: c.refused.Load(),
		BelowFloor: c.belowFloor.Load(), Paced: c.paced.Load(), Spent: c.spent.Load(),
		Unreserved: c.unreserved.Load(), Bids: c.bids.Load(),
	}
}

// work is the memory of one running auction. It is pooled.
type work struct {
	candidates  []Candidate
	predictions []Prediction
	ok          []bool
	offers      []offer
	taken       []bool // by impression
	admission   admission
}

// offer is a priced candidate.
type offer struct {
	candidate    int
	value, price Micros
	tie          uint32 // random: breaks ties between equal offers
}

// admission asks the budget about each campaign once an auction, even if the campaign matches many impressions.
type admission struct {
	budget  Budget
	now     time.Time
	asked   []uint64 // bit per ordinal
	reasons map[int]NoBidReason
	paced   uint64
	spent   uint64
	test    bool // admits every campaign
}

func (m *admission) start(budget Budget, now time.Time, campaigns int, test bool) {
	m.budget, m.now, m.paced, m.spent, m.test = budget, now, 0, 0, test
	words := (campaigns + 63) / 64
	m.asked = slices.Grow(m.asked[:0], words)[:words]
	clear(m.asked)
	if m.reasons == nil {
		m.reasons = make(map[int]NoBidReason)
	}
	clear(m.reasons)
}

func (m *admission) admit(ordinal int, c *Campaign) NoBidReason {
	if m.test {
		return NoBidNone
	}
	word, bit := &m.asked[ordinal/64], uint64(1)<<(ordinal%64)
	if *word&bit != 0 {
		return m.reasons[ordinal] // NoBidNone if it was admitted
	}
	*word |= bit
	reason := m.budget.Admit(c.ID, m.now)
	switch reason {
	case NoBidNone:
		return NoBidNone
	case NoBidPacing:
		m.paced++
	default:
		m.spent++
	}
	m.reasons[ordinal] = reason
	return reason
}

// Run holds one auction. For each impression, the candidate of highest value that can reserve its price bids, but a
// campaign bids at most PerCampaign times. Bids are appended to dst[:0], which may be nil; the caller owns them. Their
// campaigns and creatives stay valid after the auction, but a bid's Deal points into req.
//
// Every bid holds its cost in the budget until it is booked, released or expires, except in a test, which needs no money.
// A caller that does not send a bid must Release it. Faults are returned as reasons, never as panics or errors. If the scorer has no model, campaigns
// that pay per impression still bid, because their value does not depend on a model.
func (a *Auctioneer) Run(ctx context.Context, req *Request, dst []Bid) Result {
	a.stats.auctions.Add(1)
	if a.options.Refuse != nil {
		if reason := a.options.Refuse(req); reason != NoBidNone {
			return Result{Reason: reason}
		}
	}
	set, now := a.campaigns.Load(), a.options.Now()
	if set == nil {
		return Result{Reason: NoBidNoCampaign}
	}
	if late(req, now) || ctx.Err() != nil {
		return Result{Reason: NoBidExpired}
	}
	w := a.work.Get().(*work)
	defer a.work.Put(w)
	defer w.forget()

	w.admission.start(a.options.Budget, now, set.Len(), req.Test)
	var reason NoBidReason
	w.candidates, reason = set.candidates(req, w.candidates[:0], &w.admission)
	a.stats.paced.Add(w.admission.paced)
	a.stats.spent.Add(w.admission.spent)
	if len(w.candidates) == 0 {
		return Result{Reason: reason}
	}
	if reason = a.score(ctx, req, w); reason != NoBidNone {
		return Result{Reason: reason}
	}
	reason = a.price(req, w)
	if len(w.offers) == 0 {
		return Result{Reason: reason}
	}
	now = a.options.Now()
	if late(req, now) {
		return Result{Reason: NoBidExpired}
	}
	bids, r := a.pick(req, w, dst[:0], now)
	if len(bids) == 0 {
		return Result{Reason: further(reason, r)}
	}
	a.stats.bids.Add(uint64(len(bids)))
	return Result{Bids: bids}
}

// forget drops the pointers into the request and the campaign set, so that pooled memory keeps neither alive.
func (w *work) forget() {
	clear(w.candidates)
	w.admission.budget = nil
}

func late(req *Request, now time.Time) bool {
	return !req.Deadline.IsZero() && !now.Before(req.Deadline)
}

// score fills the predictions of all candidates in one call. Without a model, it keeps only CPM candidates.
func (a *Auctioneer) score(ctx context.Context, req *Request, w *work) NoBidReason {
	n := len(w.candidates)
	w.predictions = slices.Grow(w.predictions[:0], n)[:n]
	w.ok = slices.Grow(w.ok[:0], n)[:n]
	clear(w.predictions)
	clear(w.ok)
	a.stats.candidates.Add(uint64(n))
	err := a.options.Scorer.Score(ctx, req, w.candidates, w.predictions, w.ok)
	if err == nil {
		return NoBidNone
	}
	reason := ReasonFor(err)
	if reason != NoBidNoModel {
		return reason
	}
	clear(w.predictions)
	for i := range w.candidates {
		w.ok[i] = w.candidates[i].Campaign.Goal.Kind == CPM
		if w.ok[i] {
			reason = NoBidNone
		}
	}
	return reason
}

// price fills w.offers with the candidates that can win, and returns the furthest reason among the others.
func (a *Auctioneer) price(req *Request, w *work) (reason NoBidReason) {
	w.offers = w.offers[:0]
	var refused, below uint64
	for i := range w.candidates {
		c := &w.candidates[i]
		if !w.ok[i] {
			refused++
			reason = further(reason, NoBidRow)
			continue
		}
		value := Value(c.Campaign.Goal, w.predictions[i])
		price, ok := a.options.Shading.Price(value, c.Floor, auctionType(req, c.Deal))
		if !ok {
			below++
			reason = further(reason, NoBidFloor)
			continue
		}
		w.offers = append(w.offers, offer{i, value, price, a.options.Rand()})
	}
	a.stats.refused.Add(refused)
	a.stats.belowFloor.Add(below)
	return reason
}

// pick assigns impressions to offers, the highest value first, and reserves the price of each.
func (a *Auctioneer) pick(req *Request, w *work, bids []Bid, now time.Time) ([]Bid, NoBidReason) {
	slices.SortFunc(w.offers, func(x, y offer) int {
		return cmp.Or(cmp.Compare(y.value, x.value), cmp.Compare(y.price, x.price), cmp.Compare(x.tie, y.tie))
	})
	n := len(req.Impressions)
	w.taken = slices.Grow(w.taken[:0], n)[:n]
	clear(w.taken)
	reason := NoBidNone
	for i := range w.offers {
		o := &w.offers[i]
		c := &w.candidates[o.candidate]
		if w.taken[c.Impression] || uses(bids, c.Campaign) >= a.options.PerCampaign {
			continue
		}
		id := a.options.NewID()
		bid := Bid{
			ID: id, Candidate: *c, Price: o.price, Quantity: req.Impressions[c.Impression].Quantity, Made: now,
			Value: o.value, Prediction: w.predictions[o.candidate],
		}
		if !req.Test && !a.options.Budget.Reserve(c.Campaign.ID, id, bid.Cost(), now) {
			a.stats.unreserved.Add(1)
			reason = NoBidBudget
			continue
		}
		w.taken[c.Impression] = true
		bids = append(bids, bid)
	}
	return bids, reason
}

func uses(bids []Bid, c *Campaign) (n int) {
	for i := range bids {
		if bids[i].Candidate.Campaign == c {
			n++
		}
	}
	return n
}
