package auction

import (
	"context"
	"time"
)

// Candidate is an impression with a campaign and the creative that would fill it: what gets a probability.
type Candidate struct {
	Impression int // index into Request.Impressions
	Campaign   *Campaign
	Creative   *Creative
	Deal       *Deal  // nil: open auction; points into the request
	Floor      Micros // the least price that can win: the deal's floor or the impression's, in campaign currency
}

// Prediction is what the models say of one candidate, each in [0, 1]. Versions are 0 where no model was asked.
type Prediction struct {
	Click             float32 // P(click | impression)
	Conversion        float32 // P(conversion | click), 1 where the goal does not need it
	ClickVersion      int64
	ConversionVersion int64
}

// Scorer predicts for candidates. Implementations live outside the domain.
type Scorer interface {
	// Score fills out[i] for candidates[i]; len(out) == len(candidates). It returns ErrNoModel if a model that a
	// goal needs is not loaded, ErrShed if an answer by req.Deadline could not be expected, ErrExpired if the
	// deadline passed first. A row the model refuses gets Prediction{} and ok[i] = false, without failing others.
	Score(ctx context.Context, req *Request, candidates []Candidate, out []Prediction, ok []bool) error
}

// Budget answers what may still be spent. All methods are safe for concurrent use and do not block on I/O.
type Budget interface {
	// Reserve holds price of the campaign's budget for bid id until Book, Release or expiry. It returns false if
	// less than price is left; nothing is held then.
	Reserve(campaign, id string, price Micros, now time.Time) bool
	// Release frees what Reserve held for id; unknown ids are ignored.
	Release(id string)
	// Admit says whether the campaign may take part in an auction now: NoBidNone if so, NoBidPacing if it is held
	// back to spend evenly, NoBidBudget if nothing is left or it has no plan.
	Admit(campaign string, now time.Time) NoBidReason
}

// Bid is one candidate that bids.
type Bid struct {
	ID         string // unique; the key of every later notice
	Candidate  Candidate
	Price      Micros // what we offer
	Value      Micros // what an impression is worth to the campaign: goal value × probability
	Prediction Prediction
}

// Result is the outcome of an auction on our side: bids, or the reason there are none.
type Result struct {
	Bids   []Bid
	Reason NoBidReason // set when Bids is empty
}

// NoBidReason says why an auction got no bid. The wire's nbr (OpenRTB list 5.24) is derived from it.
type NoBidReason string

const (
	NoBidNone       NoBidReason = ""
	NoBidInvalid    NoBidReason = "invalid_request"
	NoBidNoCampaign NoBidReason = "no_campaign" // nothing targets this
	NoBidBlocked    NoBidReason = "blocked"     // bcat, badv, bseat, wseat left nothing
	NoBidFormat     NoBidReason = "no_creative" // no creative fits
	NoBidCurrency   NoBidReason = "currency"    // the exchange does not take ours
	NoBidFloor      NoBidReason = "below_floor" // worth less than the floor
	NoBidBudget     NoBidReason = "budget"      // spent or reserved
	NoBidPacing     NoBidReason = "pacing"      // held back to spend evenly
	NoBidNoModel    NoBidReason = "no_model"    // no warm version
	NoBidShed       NoBidReason = "shed"        // could not have been answered in time
	NoBidExpired    NoBidReason = "expired"     // the deadline passed
	NoBidRow        NoBidReason = "row_refused" // the model refused every row
	NoBidPrivacy    NoBidReason = "privacy"     // consent forbids it
	NoBidInternal   NoBidReason = "internal"    // a fault of ours, logged
	NoBidDraining   NoBidReason = "draining"    // shutting down
)
