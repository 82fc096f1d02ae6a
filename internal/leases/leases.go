// Package leases shares the daily budget of campaigns between bidders. Each bidder leases a part of what is left,
// spends it from memory, and comes back for more before it is gone: no auction ever waits for another machine.
//
// The truth is one entry a campaign and UTC day in a stream.Bucket, changed by compare-and-swap alone:
//
//	2026-01-31.<campaign, base64url>   {"leases": {"bidder-a": {"granted": …, "spent": …}, …}}
//	bidder.<name, base64url>           {"run": …, "expires": …}    heartbeat, once a Renew
//
// Two rules keep Σ granted ≤ daily budget, whoever dies when:
//
//   - money goes from the entry to the ledger in this order, and from the ledger back to the entry in the other: a
//     bidder never holds more than the entry says, and after a write of unknown outcome it reads what became of it;
//   - a bidder that has not renewed its heartbeat for TTL stops spending what it leased, and what it had not spent goes
//     back only Grace after that, when no notice of its last bids can come any more.
//
// A lease belongs to a name. A process that starts under the name of one that died takes its leases over: what was
// spent stays covered, the rest is frozen for Grace, because bids of the one before may still be billed.
//
// leases.go is the interface, entry.go the arithmetic on an entry, manager.go one round of renewal, bucket.go the store.
package leases

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/stream"
)

// Ledger is what spends the leases; *auction.Ledger is one.
type Ledger interface {
	// Grant adds amount to what the campaign may spend on the day, or takes back up to -amount of what is left; it
	// returns what was added (negative: taken).
	Grant(campaign string, day auction.Day, amount auction.Micros) auction.Micros
	// Snapshot is every campaign and day that the ledger knows.
	Snapshot(now time.Time) []auction.AccountState
}

// Budget is what a campaign may spend a day, over all bidders.
type Budget struct {
	Campaign string
	Daily    auction.Micros
}

// Options set a manager up.
type Options struct {
	Buckets  stream.Buckets
	Bucket   string // "": GAVEL_BUDGETS
	Replicas int    // of the bucket; 0: 1
	Bidder   string // name of this bidder, unique in the fleet
	Ledger   Ledger

	// Every is how often leases are renewed. 0: 5 s.
	Every time.Duration
	// TTL is how long a bidder goes on with what it holds when the bucket is away. 0: 10 min.
	TTL time.Duration
	// Grace is how long after that, and after its end, a bidder's unspent money goes back: no less than the time
	// in which bids may still be billed (notices.Options.ExchangeTTL), and the skew of clocks. 0: 1 h 5 min.
	Grace time.Duration
	// Share is the most of what is left of a budget that one lease takes. 0: 0.1.
	Share float64
	// Least is the least part leased, as a share of the daily budget. 0: 0.02.
	Least float64
	// Ahead is for how long of spending at the present rate a lease should last. 0: 6 × Every.
	Ahead time.Duration

	// SpentOf returns what a bidder that is gone has really spent on a day, by campaign, as the event stream knows
	// it (spend.Of). nil: its last report is believed, which may miss up to Every of spend.
	SpentOf func(ctx context.Context, bidder string, day auction.Day) (map[string]auction.Micros, error)

	Now        func() time.Time // nil: time.Now
	Logger     *slog.Logger     // nil: none
	Registerer prometheus.Registerer
}

// Manager leases for one bidder. Safe for concurrent use.
type Manager struct {
	o   Options
	run string // of this process: who took a name over is known by it
	log *slog.Logger
	m   *metrics

	mu      sync.Mutex    // guards what follows; held during a round, never on the serving path
	bucket  stream.Bucket // nil until it could be opened
	budgets []Budget
	held    map[holding]*lease
	alive   time.Time // until when others count us alive
	beats   map[string]heartbeat
	away    bool
	stopped bool // gave back what was left, because the heartbeat ran out
	fenced  bool // another process runs under our name

	started, closed bool
	stop            chan struct{} // closed by Close; ends renewLoop
	ended           chan struct{} // closed when renewLoop has ended
}

type holding struct {
	campaign string
	day      auction.Day
}

// ErrFenced means that another process leases under the same name: this one leases nothing any more.
var ErrFenced = errors.New("leases: another process took this bidder's name over (bidder.name must be unique)")

// New returns a manager that holds nothing yet. Every fault of the options is reported.
func New(o Options) (*Manager, error) {
	var errs []error
	if o.Buckets == nil {
		errs = append(errs, errors.New("Buckets is missing"))
	}
	if o.Ledger == nil {
		errs = append(errs, errors.New("Ledger is missing"))
	}
	if o.Registerer == nil {
		errs = append(errs, errors.New("Registerer is missing"))
	}
	if o.Bidder == "" || len(o.Bidder) > 64 {
		errs = append(errs, fmt.Errorf("bidder %q: want 1 to 64 characters (bidder.name)", o.Bidder))
	}
	o.Bucket = cmp.Or(o.Bucket, "GAVEL_BUDGETS")
	o.Every = cmp.Or(o.Every, 5*time.Second)
	o.TTL = cmp.Or(o.TTL, 10*time.Minute)
	o.Grace = cmp.Or(o.Grace, time.Hour+5*time.Minute)
	o.Share = cmp.Or(o.Share, 0.1)
	o.Least = cmp.Or(o.Least, 0.02)
	o.Ahead = cmp.Or(o.Ahead, 6*o.Every)
	if o.Every <= 0 || o.TTL < 2*o.Every || o.Grace <= 0 || o.Ahead < o.Every {
		errs = append(errs, fmt.Errorf("every %v, ttl %v, grace %v, ahead %v: want more than 0, ttl at least twice every, ahead at least every", o.Every, o.TTL, o.Grace, o.Ahead))
	}
	if o.Share <= 0 || o.Share > 1 || o.Least <= 0 || o.Least > 1 {
		errs = append(errs, fmt.Errorf("share %v, least %v: want above 0, at most 1", o.Share, o.Least))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("leases: cannot lease: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	run := make([]byte, 8)
	rand.Read(run)
	m := &Manager{
		o:     o,
		run:   hex.EncodeToString(run),
		log:   o.Logger,
		held:  make(map[holding]*lease),
		beats: make(map[string]heartbeat),
		stop:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	var err error
	if m.m, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("leases: cannot lease: %w", err)
	}
	return m, nil
}

// SetBudgets replaces the campaigns that are leased for; the next round follows it. A lower budget takes back what is
// left of leases beyond it.
func (m *Manager) SetBudgets(budgets []Budget) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.budgets = append([]Budget(nil), budgets...)
}

// Start renews every Options.Every until Close. Call Renew before it to begin with money, and spend.Rebuild
// before that, so that the ledger knows what was spent.
func (m *Manager) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.started && !m.closed {
		m.started = true
		go m.renewLoop()
	}
}

// renewLoop ends with Close.
func (m *Manager) renewLoop() {
	defer close(m.ended)
	t := time.NewTicker(m.o.Every)
	defer t.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-t.C:
			ctx, cancel := context.WithTimeout(context.Background(), max(m.o.Every, 5*time.Second))
			_ = m.Renew(ctx) // said once, and counted, by itself
			cancel()
		}
	}
}

// Close gives back what is neither spent nor held by open bids, and ends the manager. If the bucket is away the rest
// goes back by itself, TTL + Grace later.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	started := m.started
	m.mu.Unlock()
	close(m.stop)
	if started {
		<-m.ended
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.m.unregister()
	if m.fenced {
		return nil
	}
	return m.giveBack(ctx)
}
