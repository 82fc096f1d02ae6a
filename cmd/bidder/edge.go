package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"gavel/internal/auction"
	"gavel/internal/console"
	"gavel/internal/events"
	"gavel/internal/events/bids"
	"gavel/internal/events/notices"
	"gavel/internal/host"
	"gavel/internal/limit"
	"gavel/internal/openrtb"
	"gavel/internal/process"
	"gavel/internal/sellers"
)

// startSellers reads who may call.
func (b *bidder) startSellers(context.Context) (err error) {
	if b.sellers, err = sellers.New(b.config.Sellers, b.config.Auction.Currency); err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	if b.sellers.Len() == 0 {
		b.log.Warn("no sellers are configured: every bid request is refused")
	}
	return nil
}

// startEdge answers bid requests with auctions, and books notices.
func (b *bidder) startEdge(context.Context) error {
	links, err := notices.NewLinker(b.config.PublicURL, b.keys, b.sellers)
	if err != nil {
		return err
	}
	handler, err := notices.New(notices.Options{
		Keys: b.keys, Ledger: b.booked, Sellers: b.sellers, Publisher: b.outlet.Publisher, Landing: b.landings.Page, Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	auctions := &bids.Recorder{Auctioneer: b.auctioneer, Ledger: b.ledger, Publisher: b.outlet.Publisher, Logger: b.log}
	return b.listen(auctions, linker{links}, booking{handler})
}

// startEmptyEdge answers every bid request with a no-bid, for bidder baseline.
func (b *bidder) startEmptyEdge(context.Context) error {
	return b.listen(openrtb.NoBids{}, openrtb.NoBids{}, openrtb.NoBids{})
}

// listen starts the OpenRTB server and its limiter.
func (b *bidder) listen(auctions openrtb.Auctions, links openrtb.Linker, booking openrtb.Notices) (err error) {
	c := b.config
	limiter, err := limit.New(limit.Options{Most: c.Limits.Auctions, Processors: host.Processors(), Target: c.Limits.CPUWait})
	if err != nil {
		return err
	}
	b.metrics.MustRegister(console.NewLimiter(limiter))
	b.parts.Loop("limiter", closeTimeout, limiter.Run)
	b.server, err = openrtb.NewServer(auctions, links, booking, openrtb.Options{
		Law:     b.law,
		Sellers: b.sellers,
		Timing:  openrtb.Timing{Default: c.Auction.TmaxDefault, Margin: c.Auction.TmaxMargin},
		Encoder: openrtb.EncoderOptions{
			Currency: c.Auction.Currency, DefaultSeat: c.Auction.Seat, Expire: c.Budget.Reservation,
			AllowInsecure: strings.HasPrefix(c.PublicURL, "http:"),
		},
		NoBidStatus: c.Auction.NoBidStatus, MaxBody: c.Limits.BodyBytes, MaxUnderWay: c.Limits.UnderWayBytes, Limit: limiter,
		MaxConnections: c.Limits.Connections, ReadTimeout: c.Limits.ReadTimeout, WriteTimeout: c.Limits.WriteTimeout,
		IdleTimeout: c.Limits.IdleTimeout, Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	for _, port := range []struct {
		key, address string
		serve        func(net.Listener) error
	}{{"listen", c.Listen, b.server.Serve}, {"notices.listen", c.Notices.Listen, b.server.ServeNotices}} {
		listener, err := process.Listen(port.key, port.address)
		if err != nil {
			return err
		}
		go func() { // ends with Shutdown
			if err := port.serve(listener); err != nil {
				b.parts.Fail(fmt.Errorf("bidder: the edge ended: %w", err))
			}
		}()
	}
	b.parts.OnStop("edge", drainTimeout, b.server.Shutdown)
	b.drained = append(b.drained, b.server)
	b.serving.Store(true)
	return nil
}

// Packages openrtb and notices do not import each other. The following two types connect them.

// linker implements openrtb.Linker.
type linker struct{ *notices.Linker }

// Links implements openrtb.Linker.
func (l linker) Links(req *auction.Request, bid *auction.Bid, dst *openrtb.Links) {
	*dst = openrtb.Links(l.Linker.Links(req, bid))
}

// booking implements openrtb.Notices.
type booking struct{ *notices.Handler }

// Notice implements openrtb.Notices.
func (b booking) Notice(ctx context.Context, in *openrtb.Notice) (openrtb.NoticeResult, error) {
	redirect, err := b.Handle(ctx, &notices.Notice{
		Kind: events.Type(in.Kind), Token: in.Token, Price: in.Price, Quantity: in.Quantity,
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
