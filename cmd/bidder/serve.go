package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gavel/internal/auction"
	"gavel/internal/campaigns"
	"gavel/internal/console"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/events/notices"
	"gavel/internal/events/publish"
	"gavel/internal/features"
	"gavel/internal/host"
	"gavel/internal/leases"
	"gavel/internal/limit"
	"gavel/internal/openrtb"
	"gavel/internal/process"
	"gavel/internal/scoring"
	"gavel/internal/stream/nats"
)

const (
	drainTimeout  = 6 * time.Second  // for accepted auctions and open notices; connections never asked on are closed after 5 s
	flushTimeout  = 10 * time.Second // for events
	closeTimeout  = 10 * time.Second // for batches and versions
	streamTimeout = 15 * time.Second // for the stream at the start
	spendTimeout  = 5 * time.Minute  // to read today's spend back from it: a day of events, at worst

	// billingSlack is for how long after a bid's exp its money is still held: a billing notice sent at the last moment
	// must find it.
	billingSlack = 10 * time.Second
	// rememberBooked is how many billed bids are known, so that a repeated notice counts once: 580 a second for the
	// hour in which notices are believed. They take some 90 bytes each.
	rememberBooked = 1 << 21
)

// bidder is a running process: its parts in the order in which they start. stop runs the other way.
type bidder struct {
	config  Config
	log     *slog.Logger
	metrics *prometheus.Registry
	stops   []stopStep

	stream     *nats.Stream
	publisher  *publish.Publisher
	keys       *notices.Keyring
	ledger     *auction.Ledger
	booked     console.CountedLedger
	leases     *leases.Manager
	models     *scoring.Models // nil: none, when only the edge is served
	queues     *console.Queues // what metrics and the page know of the batcher
	page       *console.Page   // nil: none
	auctioneer *auction.Auctioneer
	campaigns  *campaigns.Watcher
	landings   campaigns.Landings
	server     *openrtb.Server
	serving    atomic.Bool // the edge listens and is not stopping
	failed     chan error  // why a port ended by itself; room for the first, which ends the process
}

// startStep is one part to start.
type startStep struct {
	name  string
	start func(context.Context) error
}

// stopStep is one thing to end, bounded in time.
type stopStep struct {
	name    string
	timeout time.Duration
	stop    func(context.Context) error
}

func newBidder(config Config, log *slog.Logger) *bidder {
	b := &bidder{config: config, log: log, metrics: prometheus.NewRegistry(), failed: make(chan error, 1)}
	b.metrics.MustRegister(build().Metric(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return b
}

// serve runs a bidder until ctx ends, then drains it.
func serve(ctx context.Context, config Config, log *slog.Logger) error {
	b := newBidder(config, log)
	return b.run(ctx, []startStep{
		{"state", b.startState},
		{"stream", b.startStream},
		{"budget", b.startBudget},
		{"models", b.startModels},
		{"campaigns", b.startCampaigns},
		{"admin", b.startAdmin},
		{"predict", b.startPredict},
		{"edge", b.startEdge},
	})
}

// run takes the steps, serves until ctx ends or a port fails, and stops what was started.
func (b *bidder) run(ctx context.Context, steps []startStep) error {
	for _, step := range steps {
		began := time.Now()
		if err := step.start(ctx); err != nil {
			return errors.Join(fmt.Errorf("bidder: cannot start %s: %w", step.name, err), b.stop())
		}
		b.log.Debug("started", "part", step.name, "took_ms", time.Since(began).Milliseconds())
	}
	b.log.Info("serving", "listen", b.config.Listen, "admin_listen", b.config.AdminListen, "tensorflow", tensorflow.LibraryVersion(),
		"threading", b.config.TensorFlow.Threading)
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-b.failed:
	}
	b.serving.Store(false)
	b.log.Info("stopping", "in_flight", b.server.InFlight())
	return errors.Join(failure, b.stop())
}

// onStop adds a step that stop will run before those added earlier.
func (b *bidder) onStop(name string, timeout time.Duration, stop func(context.Context) error) {
	b.stops = append(b.stops, stopStep{name, timeout, stop})
}

// stop ends what was started, the last first: the edge answers accepted auctions and notices, the models run what is
// queued, events are flushed, the stream closes.
func (b *bidder) stop() error {
	var faults []error
	for i := len(b.stops) - 1; i >= 0; i-- {
		step := b.stops[i]
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), step.timeout)
		err := step.stop(ctx)
		cancel()
		b.log.Info("stopped", "part", step.name, "took_ms", time.Since(began).Milliseconds())
		if err != nil {
			faults = append(faults, fmt.Errorf("bidder: cannot stop %s cleanly: %w", step.name, err))
		}
	}
	b.stops = nil
	return errors.Join(faults...)
}

func (b *bidder) startCampaigns(ctx context.Context) (err error) {
	b.auctioneer, err = auction.NewAuctioneer(auction.AuctioneerOptions{
		Scorer:  scoring.NewScorer(b.models, b.config.Auction.Click, b.config.Auction.Conversion, b.log),
		Budget:  b.ledger,
		Shading: auction.Shading{Bidders: b.config.Auction.FirstPriceBidders},
	})
	if err != nil {
		return err
	}
	b.metrics.MustRegister(console.NewMoney(b.ledger, b.auctioneer))
	b.campaigns, err = campaigns.Open(campaigns.Options{
		Path: b.config.Campaigns, Set: setOptions(b.config), Log: b.log, Registerer: b.metrics,
		OnLoad: b.useCampaigns,
	})
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	if err := b.leases.Renew(ctx); err != nil {
		return err
	}
	b.leases.Start()
	b.loop("campaign watch", b.campaigns.Run)
	return nil
}

// useCampaigns makes a set serve: plans and budgets before bids.
func (b *bidder) useCampaigns(set *auction.CampaignSet) {
	now := time.Now()
	plans := make([]auction.Plan, 0, set.Len())
	budgets := make([]leases.Budget, 0, set.Len())
	for _, c := range set.All() {
		plans = append(plans, auction.PlanFor(c))
		budgets = append(budgets, leases.Budget{Campaign: c.ID, Daily: c.DailyBudget})
	}
	if warning := unscorable(b.config, set); warning != "" {
		b.log.Warn(warning)
	}
	b.landings.Learn(set)
	b.ledger.SetPlans(plans, now)
	b.leases.SetBudgets(budgets)
	b.auctioneer.SetCampaigns(set)
}

// setOptions are what campaigns are compiled with.
func setOptions(c Config) auction.SetOptions {
	return auction.SetOptions{
		Currency: c.Auction.Currency, DefaultSeat: c.Auction.Seat, Limit: c.Auction.MaxCandidates,
		LocalHour: features.LocalHourOfWeek, Models: c.served(),
	}
}

func (b *bidder) startEdge(context.Context) error {
	links, err := notices.NewLinker(b.config.PublicURL, b.keys, nil)
	if err != nil {
		return err
	}
	taken, err := notices.New(notices.Options{
		Keys: b.keys, Ledger: b.booked, Publisher: b.publisher, Landing: b.landings.Page, Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	return b.listen(&auctions{auctioneer: b.auctioneer, ledger: b.ledger, publisher: b.publisher, log: b.log}, linker{links}, noticeDesk{taken})
}

// listen answers bid requests and notices until stop.
func (b *bidder) listen(auctions openrtb.Auctions, links openrtb.Linker, taken openrtb.Notices) (err error) {
	c := b.config
	limiter, err := limit.New(limit.Options{Most: c.Limits.Auctions, Processors: host.Processors(), Target: c.Limits.CPUWait})
	if err != nil {
		return err
	}
	b.metrics.MustRegister(console.NewLimiter(limiter))
	b.loop("limiter", limiter.Run)
	b.server, err = openrtb.NewServer(auctions, links, taken, openrtb.Options{
		Timing: openrtb.Timing{Default: c.Auction.TmaxDefault, Margin: c.Auction.TmaxMargin},
		Encoder: openrtb.EncoderOptions{
			Currency: c.Auction.Currency, DefaultSeat: c.Auction.Seat, Expire: c.Budget.Reservation,
			AllowInsecure: strings.HasPrefix(c.PublicURL, "http:"),
		},
		NoBidStatus: c.Auction.NoBidStatus, MaxBody: c.Limits.BodyBytes, Limit: limiter,
		MaxConnections: c.Limits.Connections, ReadTimeout: c.Limits.ReadTimeout, WriteTimeout: c.Limits.WriteTimeout,
		IdleTimeout: c.Limits.IdleTimeout, Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	listener, err := process.Listen("listen", c.Listen)
	if err != nil {
		return err
	}
	go func() { // ends with Shutdown
		if err := b.server.Serve(listener); err != nil {
			b.fail(fmt.Errorf("bidder: the edge ended: %w", err))
		}
	}()
	b.onStop("edge", drainTimeout, b.server.Shutdown)
	b.serving.Store(true)
	return nil
}

// fail has run end with err, unless another failure came first.
func (b *bidder) fail(err error) {
	select {
	case b.failed <- err:
	default:
	}
}

// loop runs f until stop, which waits for it.
func (b *bidder) loop(name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1) // one result
	go func() { done <- f(ctx) }()
	b.onStop(name, closeTimeout, func(stopCtx context.Context) error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-stopCtx.Done():
			return stopCtx.Err()
		}
	})
}
