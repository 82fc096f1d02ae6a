package auctionhouse

import (
	"fmt"

	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/prebid/openrtb/v20/openrtb3"

	"gavel/internal/auction"
	"gavel/internal/exchange/lot"
)

// Bids returns the bids of an answer and marks the invalid ones, which lose with the reason in Loss. The rules are
// Prebid Server's bid validation: an id, a known impid, a crid, an allowed currency, a price above 0. A clearing house
// also needs the request's own id, markup in adm (this exchange does not call nurl for it), and distinct ids. problems
// has one sentence a fault; it is empty for a valid answer. The bids keep pointers into resp.
func Bids(l *lot.Lot, resp *openrtb2.BidResponse, bids []Bid) (all []Bid, problems []string) {
	fault := func(b *Bid, reason openrtb3.LossReason, format string, args ...any) {
		if b.Loss == 0 {
			b.Loss = reason
		}
		problems = append(problems, fmt.Sprintf("lot %s: bid %q: ", l.ID, b.ID)+fmt.Sprintf(format, args...))
	}
	for s := range resp.SeatBid {
		seat := &resp.SeatBid[s]
		for i := range seat.Bid {
			bids = append(bids, Bid{Bid: &seat.Bid[i], Seat: seat.Seat, Imp: impOf(l, seat.Bid[i].ImpID)})
			b := &bids[len(bids)-1]
			offer, ok := auction.MicrosFromCPM(b.Bid.Price)
			b.Offer = offer
			if resp.ID != l.ID {
				fault(b, openrtb3.LossInvalidAuctionID, "answer is for auction %q", resp.ID)
			}
			if resp.Cur != "" && resp.Cur != "USD" {
				fault(b, openrtb3.LossInvalidResponse, "currency %q is not allowed", resp.Cur)
			}
			if b.ID == "" {
				fault(b, openrtb3.LossInvalidResponse, "no id")
			}
			if b.Imp < 0 {
				fault(b, openrtb3.LossInvalidResponse, "impid %q is not in the request", b.ImpID)
			}
			if b.CrID == "" {
				fault(b, openrtb3.LossMissingCreativeID, "no crid")
			}
			if !ok || offer <= 0 {
				fault(b, openrtb3.LossMissingBidPrice, "price %v is not above 0", b.Bid.Price)
			}
			if b.AdM == "" {
				fault(b, openrtb3.LossMissingMarkup, "no adm")
			}
			for j := range bids[:len(bids)-1] {
				if bids[j].ID == b.ID {
					fault(b, openrtb3.LossInvalidResponse, "id is used twice")
				}
			}
		}
	}
	return bids, problems
}

func impOf(l *lot.Lot, id string) int {
	for i := range l.Imps {
		if l.Imps[i].ID == id {
			return i
		}
	}
	return -1
}
