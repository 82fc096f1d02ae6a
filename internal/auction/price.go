package auction

import (
	"fmt"
	"math"
)

// OpenRTB auction types (at), of auctions and of deals.
const (
	FirstPrice  = 1
	SecondPrice = 2
	FixedPrice  = 3 // deals only: the floor is the price
)

// Value is what an impression is worth to the campaign, rounded down. It is the goal's value for CPM, times P(click)
// for CPC, times P(click) and P(conversion | click) for CPA. A probability below 0 counts as 0, above 1 as 1, and NaN
// as 0.
func Value(g Goal, p Prediction) Micros {
	switch g.Kind {
	case CPM:
		return g.Value
	case CPC:
		return Micros(float64(g.Value) * probability(p.Click))
	case CPA:
		return Micros(float64(g.Value) * probability(p.Click) * probability(p.Conversion))
	default:
		return 0
	}
}

func probability(p float32) float64 {
	if !(p > 0) { // NaN too
		return 0
	}
	return math.Min(float64(p), 1)
}

// Shading says how far below its value a first-price bid is.
//
// It is the equilibrium bid of n bidders whose values are independent and uniform, with reserve price r (Vickrey 1961;
// Krishna, Auction Theory, 2nd ed., section 2.5):
//
//	b(v) = v − ∫ᵣᵛ (x/v)ⁿ⁻¹ dx = v · ((n−1) + (r/v)ⁿ) / n
//
// Without a floor, the bid is (n−1)/n of the value. The nearer the floor is to the value, the smaller is the
// difference: b(r) = r. The bid rises with v and always lies in [r, v].
type Shading struct {
	// Bidders is n, the number of bidders for the same impressions, Gavel included; it need not be whole. With 1, Gavel
	// bids the floor; with a large number, the value. 0 means 5: without a floor, 80 % of the value.
	Bidders float64
}

func (s *Shading) fill() error {
	if s.Bidders == 0 {
		s.Bidders = 5
	}
	if !(s.Bidders >= 1) || math.IsInf(s.Bidders, 1) {
		return fmt.Errorf("auction: shading for %v bidders: give a number of at least 1", s.Bidders)
	}
	return nil
}

// Price returns the price to offer for a candidate, in an auction of type at. The price is never above value, never
// below the floor, and at least one micro. If that is impossible, Price returns false.
//
//   - Fixed-price deal: the floor, which is the price.
//   - First price: the value, shaded (see Shading).
//   - Anything else counts as second price: the value itself, because to bid the true value is then optimal.
func (s Shading) Price(value, floor Micros, at int) (Micros, bool) {
	floor = max(floor, 1)
	if value < floor {
		return 0, false
	}
	switch at {
	case FixedPrice:
		return floor, true
	case FirstPrice:
		v, r := float64(value), float64(floor)
		bid := Micros(math.Round(v * ((s.Bidders - 1) + math.Pow(r/v, s.Bidders)) / s.Bidders))
		return min(max(bid, floor), value), true
	default:
		return value, true
	}
}

// auctionType returns the auction type of a candidate: the deal's if it has one, else the request's.
func auctionType(req *Request, deal *Deal) int {
	if deal != nil && deal.Type >= FirstPrice && deal.Type <= FixedPrice {
		return deal.Type
	}
	if req.Type == FirstPrice {
		return FirstPrice
	}
	return SecondPrice
}
