// Package engine runs an exchange: it offers a source's lots to the bidder in an open loop, clears the auctions, and
// sends the notices to the bidder.
//
// One goroutine (openloop.Run) takes lots from the source and fires them at their due times. Connections workers send
// them and wait for answers. The worker that got an answer clears the auction and hands every notice to the notifier,
// which delivers it at its time. Run ends in this order: no more lots, then the answers in flight, then the pending
// notices.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/exchange/clickmodel"
	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/lot"
	"gavel/internal/exchange/notify"
	"gavel/internal/exchange/openloop"
	"gavel/internal/exchange/report"
	"gavel/internal/exchange/shoppers"
	"gavel/internal/throttle"
)

// Parts are the parts of an engine.
type Parts struct {
	Source      lot.Source
	Clicks      *clickmodel.Model // of lots whose label is LabelModel
	Conversions *clickmodel.Model
	Outcomes    *report.Outcomes // nil: outcomes are not recorded
	Shoppers    *shoppers.Crowd  // the users of a ranker; nil: there is none
	// Validate returns every fault of an answer to a request. If there is one, all bids of the answer lose. It is not
	// called if the request does not decode strictly. nil: only the auction house's own checks.
	Validate func(*openrtb2.BidRequest, *openrtb2.BidResponse) []error
	Log      *slog.Logger
}

// Engine is one run of an exchange.
type Engine struct {
	o           Options
	source      lot.Source
	clicks      *clickmodel.Model
	conversions *clickmodel.Model
	outcomes    *report.Outcomes
	shoppers    *shoppers.Crowd
	validate    func(*openrtb2.BidRequest, *openrtb2.BidResponse) []error
	log         *slog.Logger

	key      dice.Key
	hosts    notify.Hosts
	client   *bidClient
	notifier *notify.Notifier
	caller   *notify.Client
	books    *report.Books
	state    atomic.Pointer[string]
	warned   throttle.Line
}

// New returns an engine and starts its notifier. Run or Close ends both.
func New(o Options, p Parts) (*Engine, error) {
	if faults := o.Validate(); len(faults) > 0 {
		return nil, fmt.Errorf("engine: cannot start: %w", errors.Join(faults...))
	}
	hosts, err := notify.NewHosts(o.Bidder, o.NoticeHosts)
	if err != nil {
		return nil, fmt.Errorf("engine: cannot start: %w", err)
	}
	client, err := newBidClient(&o)
	if err != nil {
		return nil, err
	}
	e := &Engine{o: o, source: p.Source, clicks: p.Clicks, conversions: p.Conversions, outcomes: p.Outcomes, shoppers: p.Shoppers, validate: p.Validate, log: p.Log,
		key: dice.New(o.Seed).With(0x75736572), hosts: hosts, client: client, books: report.NewBooks(time.Now())}
	e.caller = notify.NewClient(hosts, o.NoticeWorkers, o.NoticeTimeout)
	e.notifier = notify.New(e.caller, notify.Options{
		Workers: o.NoticeWorkers, Attempts: o.NoticeAttempts, Backoff: o.NoticeBackoff,
		Duplicate: o.DuplicateShare, Reorder: o.ReorderShare, Seed: o.Seed,
		Failed: func(n *notify.Notice, err error) {
			e.warned.Warn(p.Log, "notice failed", "kind", string(n.Kind), "error", err)
		},
	})
	if e.shoppers != nil {
		e.shoppers.Start(e.notifier.Send)
	}
	e.setState("waiting for the bidder")
	return e, nil
}

// Close ends an engine that will not run.
func (e *Engine) Close() error {
	e.notifier.Drain(context.Background(), 0)
	return nil
}

func (e *Engine) setState(s string) { e.state.Store(&s) }

// Status returns the state of the run.
func (e *Engine) Status() report.Status {
	s := e.books.Status()
	s.State = *e.state.Load()
	n := e.notifier.Stats()
	s.Errors += n.Failed
	s.Pending = n.Pending
	if e.shoppers != nil {
		s.Ranking = e.shoppers.Report(false)
		s.Errors += s.Ranking.Astray
	}
	return s
}

// job is a lot on its way to a worker.
type job struct {
	lot *lot.Lot
	due time.Time
}

// Run offers lots until the source ends, Duration or Limit is reached, or ctx ends; none of these is an error. It
// returns an error if the bidder cannot be reached at the start, the source fails, or outcomes cannot be written. Then
// the report covers the run until there.
func (e *Engine) Run(ctx context.Context) (report.Report, error) {
	defer e.caller.Close()
	defer e.client.close()
	if err := e.client.awaitBidder(ctx, e.o.WaitBidder); err != nil {
		e.notifier.Drain(ctx, 0)
		return report.Report{}, err
	}
	start := time.Now()
	e.books.Begin(start)
	e.setState("offering")
	// A burst waits in jobs. When jobs is full, the clock's goroutine blocks, and lots keep their due times.
	jobs := make(chan job, 4*e.o.Connections)
	pool := &sync.Pool{New: func() any { return new(lot.Lot) }}
	var workers sync.WaitGroup
	for range e.o.Connections {
		workers.Go(func() { e.workLoop(jobs, pool) })
	}
	shopping, shopped := e.shop(ctx, start)
	sourceErr := e.offer(shopping, start, jobs, pool)
	sourceErr = errors.Join(sourceErr, shopped())
	close(jobs)
	offered := time.Since(start)
	e.setState("draining")
	workers.Wait()
	// A context of its own, because ctx may have ended; draining has its own bound.
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.o.DrainBound)
	defer cancel()
	e.notifier.Drain(bound, e.o.DrainPatience)
	e.setState("done")

	r := e.books.Final(offered)
	n := e.notifier.Stats()
	r.Seed, r.RateOffered = e.o.Seed, e.o.Rate
	r.NoticesSent, r.NoticeRetries, r.NoticesFailed, r.NoticeTwins = n.Sent, n.Retries, n.Failed, n.Duplicates
	r.Errors += n.Failed
	if e.shoppers != nil {
		r.Ranking = e.shoppers.Report(true)
		r.Errors += r.Ranking.Astray
	}
	if e.outcomes != nil {
		return r, errors.Join(sourceErr, e.outcomes.Flush())
	}
	return r, sourceErr
}

// shop has the shoppers come until stop is called, which returns their error. The result ends with ctx, or if they fail.
func (e *Engine) shop(ctx context.Context, start time.Time) (shopping context.Context, stop func() error) {
	if e.shoppers == nil {
		return ctx, func() error { return nil }
	}
	shopping, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1) // the one result
	go func() {
		err := e.shoppers.Run(shopping, start)
		cancel()
		ended <- err
	}()
	return shopping, func() error { cancel(); return <-ended }
}

// offer sends lots into jobs until one of the ends described at Run.
func (e *Engine) offer(ctx context.Context, start time.Time, jobs chan<- job, pool *sync.Pool) error {
	var arrivals *openloop.Arrivals
	if e.o.Rate > 0 {
		var err error
		if arrivals, err = openloop.NewArrivals(e.o.Arrivals, e.o.Rate, e.o.Seed); err != nil {
			return fmt.Errorf("engine: cannot offer: %w", err)
		}
	}
	var failure error
	var next *lot.Lot
	var count int64
	openloop.Run(ctx, start, func() (time.Duration, bool) {
		if e.o.Limit > 0 && count >= e.o.Limit {
			return 0, false
		}
		next = pool.Get().(*lot.Lot)
		if err := e.source.Next(next); err != nil {
			if !errors.Is(err, io.EOF) {
				failure = fmt.Errorf("engine: cannot make lot %d: %w", count, err)
			}
			return 0, false
		}
		count++
		due := next.Due
		if arrivals != nil {
			due = arrivals.Next()
		} else if due < 0 {
			failure = errors.New("engine: the source has no clock of its own; set a rate")
			return 0, false
		}
		return due, e.o.Duration == 0 || due < e.o.Duration
	}, func(due time.Time) { jobs <- job{next, due} })
	return failure
}

// workLoop holds auctions, one at a time, until jobs is closed.
func (e *Engine) workLoop(jobs <-chan job, pool *sync.Pool) {
	call := e.client.newCall()
	defer call.release()
	for j := range jobs {
		e.hold(call, j.lot, j.due)
		pool.Put(j.lot)
	}
}

// awaitBidder tries to connect until it succeeds, for at most wait.
func (c *bidClient) awaitBidder(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var dialer net.Dialer
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "tcp", c.http.Addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("engine: no bidder at %s within %v: %w; start it, or name it with --bidder", c.http.Addr, wait, err)
		case <-tick.C:
		}
	}
}
