package auction

import (
	"math"
	"time"
)

// pacer spreads a campaign's daily money evenly over the rest of the day. The account's lock guards it.
//
// The money left is spent at the rate
//
//	r(t) = (daily − spent) / (end − t)
//
// Here end is midnight UTC or the campaign's end, whichever comes first. Earlier hours may leave money over, for lack
// of traffic or because the bidder started late. That money is spread over the rest of the day and never spent in a
// burst. The rate fills a credit that bids use up. A campaign is admitted with probability
//
//	p = credit / full, within [0, 1], full = max(r · min(smoothing, end − t), 20 bids)
//
// Credit is capped at full, so a pause saves up at most that much. The minimum of 20 bids keeps chance alone from
// reaching the cap. If demand could spend D a second, p settles at r/D. This is the probabilistic throttling of
// LinkedIn's pacing (Agarwal, Ghosh, Wei, You: Budget Pacing for Targeted Online Advertisements at LinkedIn, KDD 2014).
// There the pass-through rate changes in steps of 10 % a minute; here it follows by proportional feedback.
//
// A bid is charged when it is made, because notices come seconds later. The charge is its price times the share of bid
// money that was finally billed. That share is an exponential mean over about 50 bids; it starts at 1, so pacing is at
// first too slow rather than too fast. When the outcome of the bid is known, the charge is replaced by the cost. So
// delayed notices do not make the pacer overshoot or oscillate.
//
// A pacer starts with no credit.
type pacer struct {
	planned    bool
	asap       bool // the campaign is always admitted while money is left
	daily      Micros
	start, end int64 // Unix ns; 0: no bound
	credit     float64
	last       int64   // Unix ns until which credit was filled; 0: never
	bid        float64 // mean price of bids
	billed     float64 // share of bid money that is billed, in [0, 1]
}

// memory is the weight of the newest bid in pacer.bid and pacer.billed. roomBids is the lower bound of full, in bids.
const (
	memory   = 0.02
	roomBids = 20
)

func newPacer() pacer { return pacer{billed: 1} }

// plan replaces the plan. The credit is kept and capped by the new rate.
func (p *pacer) plan(plan Plan, now time.Time) {
	p.planned, p.asap, p.daily, p.start, p.end = true, plan.Pacing == PaceASAP, plan.Daily, 0, 0
	if !plan.Start.IsZero() {
		p.start = plan.Start.UnixNano()
	}
	if !plan.End.IsZero() {
		p.end = plan.End.UnixNano()
	}
	if p.last == 0 {
		p.last = now.UnixNano()
	}
}

// probability fills the credit until now and returns the probability of admission. spent is what was booked today.
func (p *pacer) probability(now time.Time, spent Micros, smoothing time.Duration) float64 {
	at := now.UnixNano()
	midnight := (DayOf(now) + 1).Start().UnixNano()
	end := midnight
	if p.end != 0 {
		end = min(end, p.end)
	}
	if at >= end || at < p.start || spent >= p.daily {
		p.last = max(p.last, at)
		return 0
	}
	if p.asap {
		p.last, p.credit = at, 0 // so that a later plan with even pacing starts without credit
		return 1
	}
	rate := float64(p.daily-spent) / float64(end-at) // micros a nanosecond
	full := math.Max(rate*float64(min(int64(smoothing), end-at)), roomBids*p.bid)
	if from := max(p.last, p.start); at > from {
		p.credit += rate * float64(at-from)
		p.last = at
	}
	p.credit = math.Min(p.credit, full)
	return math.Max(0, math.Min(1, p.credit/full))
}

// charge takes the expected cost of a bid from the credit and returns it, for settle.
func (p *pacer) charge(price Micros) Micros {
	charged := Micros(math.Round(float64(price) * p.billed))
	p.credit -= float64(charged)
	if p.bid == 0 {
		p.bid = float64(price)
	}
	p.bid += memory * (float64(price) - p.bid)
	return charged
}

// settle replaces the charge of a bid by its cost.
func (p *pacer) settle(charged, cost Micros) { p.credit += float64(charged - cost) }

// late takes a cost from the credit that no charge foresaw. Bills of other days, and those from before the first plan
// (they are restored at the start), take nothing.
func (p *pacer) late(cost Micros, day Day) {
	if p.planned && day == DayOf(time.Unix(0, p.last)) {
		p.settle(0, cost)
	}
}

// outcome updates billed by a bid that reserved held and cost cost (0 if it was not billed).
func (p *pacer) outcome(held, cost Micros) {
	share := math.Min(1, float64(cost)/float64(held))
	p.billed += memory * (share - p.billed)
}
