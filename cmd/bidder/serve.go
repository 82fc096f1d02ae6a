package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gavel/internal/auction"
	"gavel/internal/batcher"
	"gavel/internal/campaigns"
	"gavel/internal/events"
	"gavel/internal/features"
	"gavel/internal/leases"
	"gavel/internal/modelstore"
	"gavel/internal/openrtb"
	"gavel/internal/servable"
)

const (
	drainTimeout  = 6 * time.Second  // for accepted auctions and open notices; fasthttp closes connections never asked on after 5 s
	flushTimeout  = 10 * time.Second // for events
	closeTimeout  = 10 * time.Second // for batches and versions
	streamTimeout = 15 * time.Second // for the stream at the start
	spendTimeout  = 5 * time.Minute  // to read today's spend back from it: a day of events, at worst

	// billingSlack is for how long after a bid's exp its money is still held: a billing notice sent at the last moment
	// must find it.
	billingSlack = 10 * time.Second
	// rememberBooked is how many billed bids are known, so that a repeated notice counts once: 580 a second for the
	// hour in which notices are believed. They take about 150 bytes each.
	rememberBooked = 1 << 21
)

// bidder is a running process: its parts in the order in which they start. stop runs the other way.
type bidder struct {
	config  Config
	log     *slog.Logger
	metrics *prometheus.Registry
	stops   []stopStep

	stream     *events.Stream
	publisher  *events.StreamPublisher
	keys       *events.Keyring
	ledger     *auction.Ledger
	booked     countedLedger
	leases     *leases.Manager
	click      *servable.Manager
	conversion *servable.Manager // nil: none configured
	page       *batcherPage
	auctioneer *auction.Auctioneer
	campaigns  *campaigns.Watcher
	landings   landings
	server     *openrtb.Server
	serving    atomic.Bool // the edge listens and is not stopping
	failed     chan error  // why the edge ended by itself; room for the one there can be
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
	b.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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

// run takes the steps, serves until ctx ends or the edge fails, and stops what was started.
func (b *bidder) run(ctx context.Context, steps []startStep) error {
	for _, step := range steps {
		began := time.Now()
		if err := step.start(ctx); err != nil {
			return errors.Join(fmt.Errorf("bidder: cannot start %s: %w", step.name, err), b.stop())
		}
		b.log.Debug("started", "part", step.name, "took_ms", time.Since(began).Milliseconds())
	}
	b.log.Info("serving", "listen", b.config.Listen, "admin_listen", b.config.AdminListen, "tensorflow", servable.TensorFlowVersion(),
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

func (b *bidder) startState(context.Context) (err error) {
	if err := os.MkdirAll(b.config.StateDir, 0o700); err != nil {
		return fmt.Errorf("cannot make state_dir: %w", err)
	}
	b.keys, err = events.OpenKeyring(filepath.Join(b.config.StateDir, "token.keys"))
	return err
}

func (b *bidder) startStream(ctx context.Context) (err error) {
	c := b.config.Events
	options := events.StreamOptions{
		URL: c.URL, TokenFile: c.TokenFile, Name: b.config.Name, MaxAge: c.MaxAge, MaxBytes: c.MaxBytes, Logger: b.log,
	}
	if c.URL == "" {
		host, port, err := splitPort(c.EmbeddedListen)
		if err != nil {
			return err
		}
		options.Embedded, err = events.StartEmbedded(events.EmbedOptions{
			Dir: c.EmbeddedDir, Host: host, Port: port, TokenFile: c.TokenFile, SyncAlways: c.SyncAlways, Logger: b.log,
			MaxStoreBytes: 2 * c.MaxBytes,
		})
		if err != nil {
			return fmt.Errorf("%w (events.embedded_listen %s, events.embedded_dir %s: does another process use them?)", err, c.EmbeddedListen, c.EmbeddedDir)
		}
		b.onStop("embedded stream", closeTimeout, func(context.Context) error { options.Embedded.Close(); return nil })
	}
	if b.stream, err = events.Connect(options); err != nil {
		return err
	}
	b.onStop("stream", closeTimeout, func(context.Context) error { b.stream.Close(); return nil })
	b.publisher, err = events.NewPublisher(events.PublisherOptions{
		Stream: b.stream, Source: b.config.Name, Logger: b.log, Registerer: b.metrics,
		SpillFile: filepath.Join(b.config.StateDir, "events.spill"), SpillMaxBytes: c.SpillMaxBytes,
	})
	if err != nil {
		return err
	}
	b.onStop("events", flushTimeout, b.publisher.Close)
	return nil
}

func (b *bidder) startBudget(ctx context.Context) (err error) {
	b.ledger, err = auction.NewLedger(auction.LedgerOptions{
		Expiry: b.config.Budget.Reservation + billingSlack, MaxBooked: rememberBooked,
	})
	if err != nil {
		return err
	}
	b.booked = newCountedLedger(b.ledger, b.metrics)
	up, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	if err := b.stream.WaitUp(up); err != nil {
		if u, bad := url.Parse(b.config.Events.URL); bad == nil && u.Host != "" {
			return fmt.Errorf("%w (events.url %s: does it run, and is its token in %s?)", err, u.Redacted(), b.config.Events.TokenFile)
		}
		return err
	}
	read, cancel := context.WithTimeout(ctx, spendTimeout)
	defer cancel()
	if err := b.publisher.WaitCaughtUp(read); err != nil {
		return err
	}
	rebuilt, err := events.RebuildSpend(read, b.stream, b.config.Name, time.Now(), b.ledger)
	if err != nil {
		return err
	}
	if rebuilt.Bookings > 0 {
		b.log.Info("today's spend restored from the stream", "bookings", rebuilt.Bookings, "spend", rebuilt.Spend.String())
	}
	b.leases, err = leases.New(leases.Options{
		JetStream: b.stream.JetStream(), Bidder: b.config.Name, Ledger: b.ledger, Share: b.config.Budget.LeaseShare,
		SpentOf: func(ctx context.Context, bidder string, day auction.Day) (map[string]auction.Micros, error) {
			return events.SpendOf(ctx, b.stream, bidder, day)
		},
		Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	b.onStop("budget leases", closeTimeout, b.leases.Close)
	return nil
}

func (b *bidder) startModels(ctx context.Context) error {
	var runners pools
	batched := make(map[string]batching)
	for _, model := range b.config.served() {
		batched[model] = b.config.batching(model)
		if err := b.startRunners(&runners, model, batched[model].own); err != nil {
			return err
		}
	}
	book := newQueueBook()
	b.metrics.MustRegister(&batcherCollector{queues: book, pools: runners}, servable.NewUsageCollector())
	b.page = &batcherPage{bidder: b.config.Name, threading: b.config.TensorFlow.Threading, pools: runners, queues: book}
	v := &versions{queues: book, log: b.log, load: servable.LoadOptions{Threading: servable.Threading(b.config.TensorFlow.Threading)}}
	store := modelstore.New(b.config.Models.Store)
	start := func(model string) (*servable.Manager, error) {
		m, err := v.manage(store, model, runners.of(model), batched[model].queue, b.metrics)
		if err == nil {
			b.page.statuses = append(b.page.statuses, m.Status)
			b.onStop("model "+model, closeTimeout, m.Close)
		}
		return m, err
	}
	var err error
	if b.click, err = start(b.config.Models.Click); err != nil {
		return err
	}
	if b.config.Models.Conversion != "" {
		b.conversion, err = start(b.config.Models.Conversion)
	}
	return err
}

// startRunners starts the pool that runs a model's batches: its own, or once the one that models share.
func (b *bidder) startRunners(runners *pools, model string, own *batcher.PoolOptions) error {
	name, part, options := sharedPool, "batcher", batcher.PoolOptions{Runners: b.config.Batcher.Runners}
	if own != nil {
		name, part, options = model, "batcher of "+model, *own
	} else if runners.named(name) != nil {
		return nil
	}
	options.Logger = b.log
	pool, err := batcher.NewPool(options)
	if err != nil {
		return err
	}
	*runners = append(*runners, namedPool{name, pool})
	b.onStop(part, closeTimeout, pool.Close)
	return nil
}

func (b *bidder) startCampaigns(ctx context.Context) (err error) {
	b.auctioneer, err = auction.NewAuctioneer(auction.AuctioneerOptions{
		Scorer:  newScorer(managed(b.click), managed(b.conversion), b.log),
		Budget:  b.ledger,
		Shading: auction.Shading{Bidders: b.config.Auction.FirstPriceBidders},
	})
	if err != nil {
		return err
	}
	b.metrics.MustRegister(&moneyCollector{b.ledger, b.auctioneer})
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
	b.landings.learn(set)
	b.ledger.SetPlans(plans, now)
	b.leases.SetBudgets(budgets)
	b.auctioneer.SetCampaigns(set)
}

// setOptions are what campaigns are compiled with.
func setOptions(c Config) auction.SetOptions {
	return auction.SetOptions{
		Currency: c.Auction.Currency, DefaultSeat: c.Auction.Seat, Limit: c.Auction.MaxCandidates,
		LocalHour: features.LocalHourOfWeek,
	}
}

func (b *bidder) startAdmin(context.Context) error {
	admin, err := newAdminServer(b.config.AdminListen, b.metrics, b.ready, b.page, b.log)
	if err != nil {
		return err
	}
	go admin.serveLoop(b.log)
	b.onStop("admin", drainTimeout, admin.shutdown)
	return nil
}

// ready returns nil when the bidder can bid: the models that campaigns need are warm, and it is not stopping.
func (b *bidder) ready() error {
	switch {
	case !b.serving.Load():
		return errors.New("starting or stopping")
	case b.click == nil: // baseline
	case !b.click.Ready():
		return b.unready(b.config.Models.Click)
	case b.conversion != nil && !b.conversion.Ready():
		return b.unready(b.config.Models.Conversion)
	}
	return nil
}

// unready says why a model keeps the bidder from being ready, and what to do.
func (b *bidder) unready(model string) error {
	return fmt.Errorf("no warm version of %s: it is loading, was refused (the log says why), or %s holds none "+
		"(python -m pytrain init --recipe RECIPE --store %[2]s makes a first one)", model, b.config.Models.Store)
}

func (b *bidder) startEdge(context.Context) error {
	links, err := events.NewLinker(b.config.PublicURL, b.keys, nil)
	if err != nil {
		return err
	}
	taken, err := events.NewNotices(events.NoticeOptions{
		Keys: b.keys, Ledger: b.booked, Publisher: b.publisher, Landing: b.landings.page, Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	return b.listen(&auctions{auctioneer: b.auctioneer, ledger: b.ledger, publisher: b.publisher, log: b.log}, linker{links}, notices{taken})
}

// listen answers bid requests and notices until stop.
func (b *bidder) listen(auctions openrtb.Auctions, links openrtb.Linker, notices openrtb.Notices) (err error) {
	c := b.config
	limit, err := b.startLimiter()
	if err != nil {
		return err
	}
	b.server, err = openrtb.NewServer(auctions, links, notices, openrtb.Options{
		Timing: openrtb.Timing{Default: c.Auction.TmaxDefault, Margin: c.Auction.TmaxMargin},
		Encoder: openrtb.EncoderOptions{
			Currency: c.Auction.Currency, DefaultSeat: c.Auction.Seat, Expire: c.Budget.Reservation,
			AllowInsecure: strings.HasPrefix(c.PublicURL, "http:"),
		},
		NoBidStatus: c.Auction.NoBidStatus, MaxBody: c.Limits.BodyBytes, Limit: limit,
		MaxConnections: c.Limits.Connections, ReadTimeout: c.Limits.ReadTimeout, WriteTimeout: c.Limits.WriteTimeout,
		IdleTimeout: c.Limits.IdleTimeout, Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on listen %s: %w", c.Listen, err)
	}
	go func() { // ends with Shutdown
		if err := b.server.Serve(listener); err != nil {
			b.failed <- fmt.Errorf("bidder: the edge ended: %w", err)
		}
	}()
	b.onStop("edge", drainTimeout, b.server.Shutdown)
	b.serving.Store(true)
	return nil
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
