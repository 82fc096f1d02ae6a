package openrtb

import (
	"context"

	"gavel/internal/auction"
)

// NoBids answers every request with a no-bid, and every notice with ErrUnknownNotice. It implements Auctions, Linker and
// Notices. With it, benchmarks measure what the server costs without auctions.
type NoBids struct{}

// Run returns a no-bid.
func (NoBids) Run(context.Context, *auction.Request, []auction.Bid) auction.Result {
	return auction.Result{Reason: auction.NoBidNoCampaign}
}

// Sent is never called, because there are no bids.
func (NoBids) Sent(*auction.Request, *auction.Bid) {}

// Withdraw is never called, because there are no bids.
func (NoBids) Withdraw(*auction.Request, *auction.Bid, auction.NoBidReason) {}

// Links is never called, because there are no bids.
func (NoBids) Links(*auction.Request, *auction.Bid, *Links) {}

// Notice returns ErrUnknownNotice.
func (NoBids) Notice(context.Context, *Notice) (NoticeResult, error) {
	return NoticeResult{}, ErrUnknownNotice
}
