package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gavel/internal/auction"
	"gavel/internal/campaigns"
	"gavel/internal/console"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/events/notices"
	"gavel/internal/events/outlet"
	"gavel/internal/leases"
	"gavel/internal/openrtb"
	"gavel/internal/privacy"
	"gavel/internal/process"
	"gavel/internal/scoring"
	"gavel/internal/sellers"
)

// The time that each step of the stop may take.
const (
	drainTimeout = 6 * time.Second  // running auctions and notices; the server closes unused connections after 5 s
	closeTimeout = 10 * time.Second // everything else
)

// bidder is a process that serves. The steps of serve fill its fields, in this order.
type bidder struct {
	config  Config
	log     *slog.Logger
	metrics *prometheus.Registry
	parts   *process.Parts

	law        *privacy.Law
	sellers    *sellers.Set
	keys       *notices.Keyring
	outlet     *outlet.Outlet
	ledger     *auction.Ledger
	booked     console.CountedLedger
	leases     *leases.Manager
	queues     *console.Queues // the batcher's queues, for metrics and the page
	page       *console.Page   // nil in bidder baseline
	models     *scoring.Models // nil in bidder baseline
	auctioneer *auction.Auctioneer
	campaigns  *campaigns.Watcher
	landings   campaigns.Landings
	server     *openrtb.Server
	drained    []process.Drainer // the servers of requests
	serving    atomic.Bool       // the edge listens and is not stopping
}

func newBidder(config Config, log *slog.Logger) *bidder {
	b := &bidder{config: config, log: log, metrics: prometheus.NewRegistry(), parts: process.NewParts("bidder", log)}
	b.metrics.MustRegister(build().Metric(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return b
}

// serve runs a bidder until ctx ends.
func serve(ctx context.Context, config Config, log *slog.Logger) error {
	b := newBidder(config, log)
	return b.run(ctx, []process.Step{
		{Name: "law", Start: b.startLaw},
		{Name: "sellers", Start: b.startSellers},
		{Name: "state", Start: b.startState},
		{Name: "stream", Start: b.startStream},
		{Name: "budget", Start: b.startBudget},
		{Name: "models", Start: b.startModels},
		{Name: "campaigns", Start: b.startCampaigns},
		{Name: "admin", Start: b.startAdmin},
		{Name: "predict", Start: b.startPredict},
		{Name: "edge", Start: b.startEdge},
	})
}

// baseline runs the edge without auctions until ctx ends. It reads and decodes each bid request as serve does, and answers
// with a no-bid. Benchmarks compare serve with it.
func baseline(ctx context.Context, config Config, log *slog.Logger) error {
	b := newBidder(config, log)
	return b.run(ctx, []process.Step{
		{Name: "law", Start: b.startLaw},
		{Name: "sellers", Start: b.startSellers},
		{Name: "admin", Start: b.startAdmin},
		{Name: "edge", Start: b.startEmptyEdge},
	})
}

// run takes the steps, waits until ctx ends or a port fails, and stops in reverse order. So the edge answers the running
// auctions and notices first, then the models run what is queued, then events are flushed, and the stream closes last.
func (b *bidder) run(ctx context.Context, steps []process.Step) error {
	if err := b.parts.Start(ctx, steps); err != nil {
		return err
	}
	b.log.Info("serving", "listen", b.config.Listen, "notices_listen", b.config.Notices.Listen, "sellers", b.sellers.Len(), "admin_listen", b.config.AdminListen, "tensorflow", tensorflow.LibraryVersion(),
		"threading", b.config.TensorFlow.Threading)
	failure := b.parts.Wait(ctx)
	b.serving.Store(false)
	b.log.Info("stopping", "in_flight", b.server.InFlight())
	if failure == nil {
		process.Drain(b.config.Limits.DrainDelay, b.drained...)
	}
	return errors.Join(failure, b.parts.Stop())
}

// startLaw compiles the privacy rules, which every bid request passes by first.
func (b *bidder) startLaw(context.Context) (err error) {
	b.law, err = privacy.New(b.config.Privacy, b.metrics)
	return err
}
