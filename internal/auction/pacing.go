package auction

import (
	"math"
	"time"
)

// pacer spreads a campaign's daily money evenly over what is left of the day.
//
// Money left is planned at the rate
//
//	r(t) = (daily − spent) / (end − t)
//
// where end is midnight UTC or the campaign's end, whichever is first: whatever earlier hours left over, for want of
// traffic or because the bidder started late, is spread over the rest and never spent in a burst. The rate fills a credit
// that bids use up, and a campaign is admitted with probability
//
//	p = credit / full, within [0, 1], full = max(r · min(smoothing, end − t), 20 bids)
//
// Credit is capped at full, so a pause saves up that much spending at most; a few bids of room keep chance alone from
// running into the cap. Where demand could spend D a second, p
// settles at r/D: the probabilistic throttling of LinkedIn's pacing (Agarwal, Ghosh, Wei, You: Budget Pacing for
// Targeted Online Advertisements at LinkedIn, KDD 2014), with the pass-through rate set by proportional feedback instead of
// steps of 10 % a minute.
//
// A bid is charged when it is made, since notices come seconds later: by price × the share of what was bid of late
// that was billed in the end (an exponential mean over about 50 bids, from 1 so that it errs on the side of too slow), and
// settled against what it cost when its outcome is known. So delayed notices make the loop neither overshoot nor swing.
//
// A pacer starts with no credit. It is guarded by its account's lock.
type pacer struct {
	planned    bool
	asap       bool // any auction is admitted while there is money
	daily      Micros
	start, end int64 // Unix ns; 0: open
	credit     float64
	last       int64   // Unix ns up to which credit was filled; 0: never
	bid        float64 // mean price of bids
	billed     float64 // share of what is bid that is billed, in [0, 1]
}

// memory is the weight of the newest bid in pacer.bid and pacer.billed; roomBids is the least credit that may be saved.
const (
	memory   = 0.02
	roomBids = 20
)

func newPacer() pacer { return pacer{billed: 1} }

// plan sets what is paced from now on; credit of an earlier plan is kept and capped by the new rate.
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

// probability fills credit up to now and returns the chance to be admitted. spent is what was booked today.
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
		p.last, p.credit = at, 0 // nothing is saved up for a plan that paces again
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

// charge takes the expected cost of a bid and returns it, to be settled later.
func (p *pacer) charge(price Micros) Micros {
	charged := Micros(math.Round(float64(price) * p.billed))
	p.credit -= float64(charged)
	if p.bid == 0 {
		p.bid = float64(price)
	}
	p.bid += memory * (float64(price) - p.bid)
	return charged
}

// settle replaces what a bid was charged by what it cost.
func (p *pacer) settle(charged, cost Micros) { p.credit += float64(charged - cost) }

// outcome learns from a bid that held some money and cost some, 0 if it was not billed.
func (p *pacer) outcome(held, cost Micros) {
	share := math.Min(1, float64(cost)/float64(held))
	p.billed += memory * (share - p.billed)
}
