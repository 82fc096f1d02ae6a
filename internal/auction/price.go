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

// Value is what an impression is worth to the campaign, rounded down: the goal's value × P(click) for CPC,
// × P(conversion | click) as well for CPA. Probabilities outside [0, 1] count as the nearer bound, NaN as 0.
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

// Shading says how far below its value a first-price bid goes.
//
// It is the equilibrium bid of n bidders whose values are independent and uniform, with reserve price r (Vickrey 1961;
// Krishna, Auction Theory, 2nd ed., section 2.5):
//
//	b(v) = v − ∫ᵣᵛ (x/v)ⁿ⁻¹ dx = v · ((n−1) + (r/v)ⁿ) / n
//
// so that without a floor one bids (n−1)/n of the value, and the nearer the floor is to the value, the less is shaved
// off: b(r) = r. The bid rises with v and lies in [r, v] always.
type Shading struct {
	// Bidders is n, how many bid for the same impressions, oneself included; it need not be whole. 1 bids the floor,
	// a large number the value. 0 is 5: without a floor, 80 % of the value.
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

// Price is what to offer for a candidate worth value, in an auction of type at: never above value, never under the
// floor, and at least one micro; false if that cannot be.
//
//   - Fixed-price deal: the floor, which is the price.
//   - First price: the value, shaded (see Shading).
//   - Anything else is second price: the value itself, since bidding the truth is then the best one can do.
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

// auctionType is the at that holds for a candidate: the deal's where it says one.
func auctionType(req *Request, deal *Deal) int {
	if deal != nil && deal.Type >= FirstPrice && deal.Type <= FixedPrice {
		return deal.Type
	}
	if req.Type == FirstPrice {
		return FirstPrice
	}
	return SecondPrice
}
