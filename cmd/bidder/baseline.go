package main

import (
	"context"
	"log/slog"

	"gavel/internal/auction"
	"gavel/internal/openrtb"
)

// baseline serves the edge alone: every request is read and decoded as ever, then answered with a no-bid. What an auction
// costs beyond this is the bidder's own doing, and benchmarks hold it against this in the same run.
func baseline(ctx context.Context, config Config, log *slog.Logger) error {
	b := newBidder(config, log)
	return b.run(ctx, []startStep{
		{"admin", b.startAdmin},
		{"edge", func(context.Context) error { return b.listen(nobody{}, nobody{}, nobody{}) }},
	})
}

// nobody bids on nothing and knows no notice.
type nobody struct{}

// Run implements openrtb.Auctions.
func (nobody) Run(context.Context, *auction.Request, []auction.Bid) auction.Result {
	return auction.Result{Reason: auction.NoBidNoCampaign}
}

// Sent implements openrtb.Auctions.
func (nobody) Sent(*auction.Request, *auction.Bid) {}

// Withdraw implements openrtb.Auctions.
func (nobody) Withdraw(*auction.Request, *auction.Bid, auction.NoBidReason) {}

// Links implements openrtb.Linker.
func (nobody) Links(*auction.Request, *auction.Bid, *openrtb.Links) {}

// Notice implements openrtb.Notices.
func (nobody) Notice(context.Context, *openrtb.Notice) (openrtb.NoticeResult, error) {
	return openrtb.NoticeResult{}, openrtb.ErrUnknownNotice
}
