package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/notices"
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

// noticeDesk implements openrtb.Notices over notices.Handler.
type noticeDesk struct{ *notices.Handler }

// Notice implements openrtb.Notices.
func (n noticeDesk) Notice(ctx context.Context, in *openrtb.Notice) (openrtb.NoticeResult, error) {
	redirect, err := n.Handle(ctx, &notices.Notice{
		Kind: events.Type(in.Kind), Token: in.Token, Price: in.Price,
		Reason: in.Reason, ConversionID: in.ConversionID, Value: in.Value,
	})
	for from, to := range map[error]error{
		notices.ErrBadToken:      openrtb.ErrBadToken,
		notices.ErrBadNotice:     openrtb.ErrBadNotice,
		notices.ErrUnknownNotice: openrtb.ErrUnknownNotice,
	} {
		if errors.Is(err, from) {
			err = fmt.Errorf("%w: %w", to, err)
		}
	}
	return openrtb.NoticeResult{Redirect: redirect}, err
}

// linker implements openrtb.Linker over notices.Linker.
type linker struct{ *notices.Linker }

// Links implements openrtb.Linker.
func (l linker) Links(req *auction.Request, bid *auction.Bid, dst *openrtb.Links) {
	*dst = openrtb.Links(l.Linker.Links(req, bid))
}
