package auction

import (
	"context"
	"time"
)

// Candidate is an impression with a campaign and the creative that would fill it. The models predict for candidates.
type Candidate struct {
	Impression int // index into Request.Impressions
	Campaign   *Campaign
	Creative   *Creative
	Deal       *Deal  // nil: open auction; points into the request
	Floor      Micros // the lowest price that can win, in campaign currency: the deal's floor, or the impression's
}

// Prediction is what the models predict for one candidate. A version is 0 if its model was not asked.
type Prediction struct {
	Click             float32 // P(click | impression), in [0, 1]
	Conversion        float32 // P(conversion | click), in [0, 1]; 1 if the goal does not need it
	ClickVersion      int64
	ConversionVersion int64
}

// Scorer predicts for candidates. Implementations live outside the domain.
type Scorer interface {
	// Score fills out[i] for candidates[i]; len(out) == len(ok) == len(candidates).
	//
	// If a model refuses a row of candidates[i], or fails, ok[i] is false and out[i] is not to be used; candidates that
	// do not need that model are not affected.
	//
	// Where no candidate is left because models failed, Score returns ErrNoModel if they are not loaded, ErrShed if an
	// answer by req.Deadline cannot be expected, and ErrExpired if the deadline passed first.
	Score(ctx context.Context, req *Request, candidates []Candidate, out []Prediction, ok []bool) error
}

// Budget knows what each campaign may still spend. All methods are safe for concurrent use and do not block on I/O.
type Budget interface {
	// Reserve holds price of the campaign's budget for the bid id, until Book, Release or expiry. If less than price is
	// left, Reserve returns false and holds nothing.
	Reserve(campaign, id string, price Micros, now time.Time) bool
	// Release frees what Reserve held for id; unknown ids are ignored.
	Release(id string)
	// Admit says whether the campaign may take part in an auction now; NoBidNone means that it may. NoBidPacing means
	// that it is held back to spend evenly, NoBidBudget that nothing is left or that it has no plan.
	Admit(campaign string, now time.Time) NoBidReason
}

// Bid is one candidate that bids.
type Bid struct {
	ID         string // unique; the key of every later notice
	Candidate  Candidate
	Price      Micros    // what the bidder offers for one impression
	Quantity   float64   // impressions that one display counts for; 0 means 1
	Made       time.Time // its day is charged
	Value      Micros    // what an impression is worth to the campaign: goal value × probability
	Prediction Prediction
}

// Cost is the most that the bid can cost: its price for the whole quantity.
func (b *Bid) Cost() Micros { return b.Price.Times(b.Quantity) }

// Result is the bidder's answer to an auction: bids, or the reason why there are none.
type Result struct {
	Bids   []Bid
	Reason NoBidReason // set when Bids is empty
}

// NoBidReason says why an auction got no bid. The wire's nbr (OpenRTB list 5.24) is derived from it.
type NoBidReason string

const (
	NoBidNone       NoBidReason = ""
	NoBidInvalid    NoBidReason = "invalid_request"
	NoBidNoCampaign NoBidReason = "no_campaign" // no campaign targets the request
	NoBidBlocked    NoBidReason = "blocked"     // bcat, badv, bapp, bseat or wseat excludes every campaign
	NoBidFormat     NoBidReason = "no_creative" // no creative fits
	NoBidCurrency   NoBidReason = "currency"    // the exchange does not accept the campaigns' currency
	NoBidFloor      NoBidReason = "below_floor" // the value is below the floor
	NoBidBudget     NoBidReason = "budget"      // all money is spent or reserved
	NoBidPacing     NoBidReason = "pacing"      // held back to spend evenly
	NoBidNoModel    NoBidReason = "no_model"    // no warm version
	NoBidShed       NoBidReason = "shed"        // refused at once: no answer could be expected in time
	NoBidExpired    NoBidReason = "expired"     // the deadline passed
	NoBidRow        NoBidReason = "row_refused" // the model refused every row
	NoBidPrivacy    NoBidReason = "privacy"     // the law forbids it, or every campaign that matches needs consent or transparency data
	NoBidInternal   NoBidReason = "internal"    // a fault of the bidder, which is logged
	NoBidDraining   NoBidReason = "draining"    // shutting down
)
