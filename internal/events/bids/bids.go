// Package bids runs auctions and records their bids: a bid that is sent becomes an event, and a bid that is not sent
// frees its money.
package bids

import (
	"context"
	"log/slog"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/throttle"
)

// Recorder has the methods of openrtb.Auctions. All fields are required and must not change. Safe for concurrent use.
type Recorder struct {
	Auctioneer *auction.Auctioneer
	Ledger     *auction.Ledger
	Publisher  events.Publisher
	Logger     *slog.Logger

	lost throttle.Line
}

// Run runs the auction of req.
func (r *Recorder) Run(ctx context.Context, req *auction.Request, dst []auction.Bid) auction.Result {
	return r.Auctioneer.Run(ctx, req, dst)
}

// Sent publishes the bid as an event, except of a test. If the event cannot be published, Sent logs a warning, and bidding goes on: the
// event is needed for training, but spend is recorded by notices alone.
func (r *Recorder) Sent(req *auction.Request, bid *auction.Bid) {
	if req.Test {
		return
	}
	event := events.NewBid(req, bid, time.Now())
	if err := r.Publisher.Publish(&event); err != nil {
		r.lost.Warn(r.Logger, "bid not recorded: it will be missing from training", "error", err)
	}
}

// Withdraw frees the money that the bid reserved.
func (r *Recorder) Withdraw(_ *auction.Request, bid *auction.Bid, _ auction.NoBidReason) {
	r.Ledger.Release(bid.ID)
}
