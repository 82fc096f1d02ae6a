package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gavel/internal/auction"
	"gavel/internal/openrtb"
	"gavel/internal/predict"
	"gavel/internal/process"
)

// startPredict serves predictions of the models, if predict.listen is set.
func (b *bidder) startPredict(context.Context) error {
	c, limits := b.config.Predict, b.config.Limits
	if c.Listen == "" {
		return nil
	}
	server, err := predict.NewServer(predict.Served(b.models), predict.Options{
		Timeout: c.Timeout, MaxBody: c.BodyBytes, MaxRows: c.Rows, MaxConnections: c.Connections, MaxUnderWay: limits.UnderWayBytes,
		ReadTimeout: limits.ReadTimeout, WriteTimeout: limits.WriteTimeout, IdleTimeout: limits.IdleTimeout,
		Auctions: requested{b}, Version: build().Version, Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	listener, err := process.Listen("predict.listen", c.Listen)
	if err != nil {
		return err
	}
	go func() { // ends with Shutdown
		if err := server.Serve(listener); err != nil {
			b.parts.Fail(fmt.Errorf("bidder: the prediction server ended: %w", err))
		}
	}()
	b.parts.OnStop("predict", drainTimeout, server.Shutdown)
	b.drained = append(b.drained, server)
	b.log.Info("serving predictions", "listen", c.Listen)
	return nil
}

// requested implements predict.Auctions: bid requests are read as at the edge, and candidates are those of the campaigns in
// use.
type requested struct{ *bidder }

// Decode implements predict.Auctions.
func (b requested) Decode(body []byte, exchange string, received time.Time, raw *auction.Raw) (*auction.Request, error) {
	c := b.config.Auction
	_, err := openrtb.Decode(body, raw, &openrtb.DecodeOptions{
		Exchange: exchange, Received: received, Timing: openrtb.Timing{Default: c.TmaxDefault, Margin: c.TmaxMargin},
	})
	if err != nil {
		return nil, err
	}
	req, reason := b.law.Apply(raw)
	if reason != auction.NoBidNone {
		return nil, errors.New("the privacy rules refuse a bid on this request, and so its prediction")
	}
	return req, nil
}

// Candidate implements predict.Auctions.
func (b requested) Candidate(req *auction.Request, impression, campaign, creative string) (auction.Candidate, error) {
	return b.campaigns.Set().Pair(req, impression, campaign, creative)
}
