// Package auctionhouse clears auctions: which bid wins each impression, what it pays, and why the others lost.
//
// # Rules
//
// All prices are micros for one impression. So 0.001 CPM is the smallest step, and the books of both sides agree
// exactly. For each impression:
//
//   - A bid without a deal must reach the impression's floor. It loses if only deals may bid (private_auction). A bid on a deal
//     must name a deal of the impression and reach that deal's floor.
//   - A bid on a fixed-price deal (deal.at = 3) takes precedence over the open auction. The highest such bid wins and pays the
//     deal's floor.
//   - Otherwise the highest bid wins. The rival represents all other bidders. It takes part if it reaches the floor and the
//     auction is not private. At equal prices the bidder under test wins against the rival, and the first bid of an answer
//     against later ones.
//   - First price (deal.at, or else at, is 1): the winner pays its bid. Second price (everything else): it pays the highest of
//     the other bids, the rival and its own floor, at least MinPrice, and never more than its bid.
package auctionhouse

import (
	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/prebid/openrtb/v20/openrtb3"

	"gavel/internal/auction"
	"gavel/internal/exchange/lot"
)

// MinPrice is what a second-price winner without rival or floor pays: 0.001 CPM. It is not 0, because in a notice 0
// means that the price is not known.
const MinPrice auction.Micros = 1

// Bid is one bid of an answer, with its result.
type Bid struct {
	*openrtb2.Bid
	Seat  string
	Imp   int // index into Lot.Imps; -1 if the bid has another impid
	Offer auction.Micros

	Won      bool
	Price    auction.Micros      // clearing price of the impression; 0 if it was not sold or the price is not reported
	Loss     openrtb3.LossReason // why it lost
	MinToWin auction.Micros      // the lowest price that would have won
}

// Clear runs the auctions of a lot with the bids of one answer and fills in their results. Bids that Bids marked
// invalid take no part and keep their Loss.
func Clear(l *lot.Lot, bids []Bid) {
	for i := range l.Imps {
		clearImp(l, i, bids)
	}
}

func clearImp(l *lot.Lot, index int, bids []Bid) {
	imp := &l.Imps[index]
	winner, fixed := -1, false
	for i := range bids {
		b := &bids[i]
		if b.Imp != index || b.Loss != 0 {
			continue
		}
		deal, ok := dealOf(imp, b)
		switch reserve := reserveOf(imp, deal); {
		case !ok, deal == nil && imp.Private:
			b.Loss = openrtb3.LossInvalidDealID
			continue
		case b.Offer < reserve && deal != nil:
			b.Loss, b.MinToWin = openrtb3.LossBelowDealFloor, reserve
			continue
		case b.Offer < reserve:
			b.Loss, b.MinToWin = openrtb3.LossBelowAuctionFloor, max(reserve, rivalOf(imp))
			continue
		}
		isFixed := deal != nil && deal.Type == 3
		if winner < 0 || isFixed && !fixed || isFixed == fixed && b.Offer > bids[winner].Offer {
			winner, fixed = i, isFixed
		}
	}
	rival := rivalOf(imp)
	if winner >= 0 && !fixed && rival > bids[winner].Offer {
		winner = -1
	}
	price := rival // the clearing price if the rival won
	if winner >= 0 {
		price = priceOf(l, imp, bids, winner, rival)
	}
	for i := range bids {
		b := &bids[i]
		switch {
		case b.Imp != index || b.Loss != 0:
		case i == winner:
			b.Won, b.Price, b.MinToWin = true, price, minToWin(imp, bids, i, rival)
		case fixed:
			b.Loss, b.Price = openrtb3.LossLostToDealBid, price
		default:
			b.Loss, b.Price, b.MinToWin = openrtb3.LossLostToHigherBid, price, minToWin(imp, bids, i, rival)
		}
	}
}

// priceOf returns what the winner pays.
func priceOf(l *lot.Lot, imp *lot.Imp, bids []Bid, winner int, rival auction.Micros) auction.Micros {
	b := &bids[winner]
	deal, _ := dealOf(imp, b)
	first := l.FirstBid
	if deal != nil && deal.Type != 0 {
		first = deal.Type == 1
		if deal.Type == 3 {
			return max(deal.Floor, min(MinPrice, b.Offer))
		}
	}
	if first {
		return b.Offer
	}
	return min(b.Offer, max(minToWin(imp, bids, winner, rival), MinPrice))
}

// minToWin returns the highest price that bid i must reach: the other bids that take part, the rival, its own floor.
func minToWin(imp *lot.Imp, bids []Bid, i int, rival auction.Micros) auction.Micros {
	deal, _ := dealOf(imp, &bids[i])
	best := max(rival, reserveOf(imp, deal))
	for j := range bids {
		o := &bids[j]
		if j != i && o.Imp == bids[i].Imp && (o.Loss == 0 || o.Loss == openrtb3.LossLostToHigherBid) {
			best = max(best, o.Offer)
		}
	}
	return best
}

// dealOf returns the deal that a bid names, nil for the open auction. It returns false if the impression has no such deal.
func dealOf(imp *lot.Imp, b *Bid) (*lot.Deal, bool) {
	if b.DealID == "" {
		return nil, true
	}
	for i := range imp.Deals {
		if imp.Deals[i].ID == b.DealID {
			return &imp.Deals[i], true
		}
	}
	return nil, false
}

func reserveOf(imp *lot.Imp, deal *lot.Deal) auction.Micros {
	if deal != nil {
		return deal.Floor
	}
	return imp.Floor
}

// rivalOf returns the rival's bid if it takes part, else 0.
func rivalOf(imp *lot.Imp) auction.Micros {
	if imp.Private || imp.Rival < imp.Floor {
		return 0
	}
	return imp.Rival
}
