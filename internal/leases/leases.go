// Package leases shares the daily budget of campaigns between bidders. Each bidder leases a part of the remaining budget
// and spends it from memory. Before the part is spent, the bidder leases more. So no auction waits for another machine.
//
// The authority is one entry for each campaign and UTC day in a stream.Bucket. It is changed only by compare-and-swap:
//
//	2026-01-31.<campaign, base64url>   {"leases": {"bidder-a": {"granted": …, "spent": …}, …}}
//	bidder.<name, base64url>           {"run": …, "expires": …}    heartbeat, once a Renew
//
// Two rules keep Σ granted ≤ daily budget, whenever a bidder dies:
//
//   - To lease money, a bidder changes the entry first and the ledger second. To give money back, it changes the ledger
//     first. So a bidder never holds more than its entry says. If the outcome of a write is unknown, the bidder reads the entry.
//   - If a bidder has not renewed its heartbeat for TTL, it stops spending what it leased. Its unspent money goes back only
//     Grace later, when no notice of its last bids can arrive.
//
// A lease belongs to a bidder's name. If a process starts under the name of a dead one, it takes over the leases. Money that
// was spent stays covered. The rest is frozen for Grace, because bids of the dead process may still be billed. While the
// other one lives, Claim refuses the name.
//
// leases.go is the interface, claim.go the look for another process, entry.go the arithmetic on an entry, manager.go one round of renewal, bucket.go the store.
package leases

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/stream"
)

// Ledger spends the leases; *auction.Ledger is one.
type Ledger interface {
	// Grant adds amount to what the campaign may spend on the day. If amount is negative, Grant takes back at most -amount
	// of unspent money. It returns the amount added (negative: taken).
	Grant(campaign string, day auction.Day, amount auction.Micros) auction.Micros
	// Snapshot returns every campaign and day that the ledger knows.
	Snapshot(now time.Time) []auction.AccountState
}

// Budget is what all bidders together may spend on a campaign in a day.
type Budget struct {
	Campaign string
	Daily    auction.Micros
}

// Options configures a manager.
type Options struct {
	Buckets  stream.Buckets
	Bucket   string // "": GAVEL_BUDGETS
	Replicas int    // of the bucket; 0: 1
	Bidder   string // name of this bidder, unique in the fleet
	Ledger   Ledger

	// Every is how often leases are renewed. 0: 5 s.
	Every time.Duration
	// TTL is how long a bidder keeps spending its leases while the bucket is down. 0: 10 min.
	TTL time.Duration
	// Grace is how long after TTL, or after its end, a bidder's unspent money is given back. It must be at least the time in
	// which exchanges commonly bill a bid, plus the difference of clocks. Bills that come later are spent above it. 0: 1 h 5 min.
	Grace time.Duration
	// Share is the largest share of the remaining budget that one lease takes. 0: 0.1.
	Share float64
	// Least is the smallest lease, as a share of the daily budget. 0: 0.02.
	Least float64
	// Ahead is how long a lease should last at the present rate of spending. 0: 6 × Every.
	Ahead time.Duration

	// SpentOf returns what a dead bidder really spent on a day, by campaign, from the event stream (spend.Of). If it is nil,
	// the bidder's last report counts, which may miss the spend of up to Every.
	SpentOf func(ctx context.Context, bidder string, day auction.Day) (map[string]auction.Micros, error)

	Now        func() time.Time // nil: time.Now
	Logger     *slog.Logger     // nil: none
	Registerer prometheus.Registerer
}

// Manager leases for one bidder. Safe for concurrent use.
type Manager struct {
	o   Options
	run string // random id of this process; it shows which process holds a name

	host string
	pid  int

	log *slog.Logger
	m   *metrics

	mu      sync.Mutex    // guards what follows; held during a round, never on the serving path
	bucket  stream.Bucket // nil until it has been opened
	budgets []Budget
	held    map[holding]*lease
	alive   time.Time // until when others count us alive
	beats   map[string]heartbeat
	away    bool
	stopped bool // took unspent leases from the ledger, because the heartbeat expired
	fenced  bool // another process uses our name

	started, closed bool
	stop            chan struct{} // closed by Close; ends renewLoop
	ended           chan struct{} // closed when renewLoop has ended
}

type holding struct {
	campaign string
	day      auction.Day
}

// ErrFenced means that another process leases under the same name. This process no longer leases.
var ErrFenced = errors.New("leases: another process uses this bidder's name (the setting name must be unique)")

// New returns a manager without leases. Its error names every fault of the options.
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
		pid:   os.Getpid(),
		log:   o.Logger,
		held:  make(map[holding]*lease),
		beats: make(map[string]heartbeat),
		stop:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	var err error
	if m.host, err = os.Hostname(); err != nil {
		return nil, fmt.Errorf("leases: cannot lease: %w", err)
	}
	if m.m, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("leases: cannot lease: %w", err)
	}
	return m, nil
}

// SetBudgets replaces the campaigns and their budgets, from the next round on. If a budget is lower than what is leased,
// unspent money is given back.
func (m *Manager) SetBudgets(budgets []Budget) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.budgets = append([]Budget(nil), budgets...)
}

// Start renews every Options.Every until Close. Call Claim and spend.Rebuild first, so that nobody else has the name and the
// ledger knows what was spent. Then call Renew, so that there is money at the start, then Start.
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
			_ = m.Renew(ctx) // it logs and counts its own errors
			cancel()
		}
	}
}

// Close gives back money that is neither spent nor reserved by open bids, and ends the manager. If the bucket is down, other
// bidders take the money back TTL + Grace later.
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
	defer m.m.Unregister()
	if m.fenced {
		return nil
	}
	return m.giveBack(ctx)
}
