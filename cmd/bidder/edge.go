package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/openrtb"
	"gavel/internal/throttle"
)

// The rooms do not know each other: these small types stand between the edge (openrtb) and what it is served by.

// auctions implements openrtb.Auctions over the auctioneer, the budget and the event stream.
type auctions struct {
	auctioneer *auction.Auctioneer
	ledger     *auction.Ledger
	publisher  events.Publisher
	log        *slog.Logger
	lost       throttle.Line
}

// Run implements openrtb.Auctions.
func (a *auctions) Run(ctx context.Context, req *auction.Request, dst []auction.Bid) auction.Result {
	return a.auctioneer.Run(ctx, req, dst)
}

// Sent implements openrtb.Auctions: the bid becomes an event. Bidding goes on if the stream's buffer is full, since
// what spends money is recorded by the notices, which do not come this way.
func (a *auctions) Sent(req *auction.Request, bid *auction.Bid) {
	ev := events.NewBid(req, bid, time.Now())
	if err := a.publisher.Publish(&ev); err != nil {
		a.lost.Warn(a.log, "bid not recorded: it will be missing from training", "error", err)
	}
}

// Withdraw implements openrtb.Auctions.
func (a *auctions) Withdraw(_ *auction.Request, bid *auction.Bid, _ auction.NoBidReason) {
	a.ledger.Release(bid.ID)
}

// notices implements openrtb.Notices over events.Notices.
type notices struct{ *events.Notices }

// Notice implements openrtb.Notices.
func (n notices) Notice(ctx context.Context, in *openrtb.Notice) (openrtb.NoticeResult, error) {
	redirect, err := n.Handle(ctx, &events.Notice{
		Kind: events.Type(in.Kind), Token: in.Token, Price: in.Price,
		Reason: in.Reason, ConversionID: in.ConversionID, Value: in.Value,
	})
	for from, to := range map[error]error{
		events.ErrBadToken:      openrtb.ErrBadToken,
		events.ErrBadNotice:     openrtb.ErrBadNotice,
		events.ErrUnknownNotice: openrtb.ErrUnknownNotice,
	} {
		if errors.Is(err, from) {
			err = fmt.Errorf("%w: %w", to, err)
		}
	}
	return openrtb.NoticeResult{Redirect: redirect}, err
}

// linker implements openrtb.Linker over events.Linker.
type linker struct{ *events.Linker }

// Links implements openrtb.Linker.
func (l linker) Links(req *auction.Request, bid *auction.Bid, dst *openrtb.Links) {
	*dst = openrtb.Links(l.Linker.Links(req, bid))
}
