package models

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNotServing is returned by Acquire while no version serves: none is loaded yet, or the manager is closed.
var ErrNotServing = errors.New("models: no version is loaded")

// ErrOtherVersion is returned by AcquireVersion for a version that does not serve.
var ErrOtherVersion = errors.New("models: the version does not serve")

// Manager keeps one model serving: it follows the store's pointer, loads what that names, swaps it in and frees what it
// replaced. It has no goroutine of its own: its group calls it.
//
// Who owns what: whoever holds `turn` loads, swaps and refuses. `current` is what auctions see: an immutable pair of
// servables, each holding one reference of the manager's. A servable that leaves `current` loses that reference; when the
// auctions that acquired it have released theirs, a goroutine of its own calls Retire and closes its engine. A version
// therefore lives while it can be acquired or is in use, and no longer.
type Manager struct {
	group   *Group
	opts    Options
	log     *slog.Logger
	metrics *metrics
	current atomic.Pointer[serving]
	ready   chan struct{}   // closed by the first swap
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	retired sync.WaitGroup // one for each loaded version until it is freed

	turn sync.Mutex // held while versions are loaded and swapped; before mu

	mu      sync.Mutex // guards what follows
	state   State
	seen    bool // a state was observed
	refused map[int64]*refusal
	swaps   int64
	live    int
}

// serving is what auctions see. It never changes.
type serving struct {
	stable *Servable
	canary *Servable // nil: none
	share  float64
	below  uint64 // keys whose hash is below it go to the canary
}

// refusal remembers a version that must not be tried again until its files change, or the time has come.
type refusal struct {
	RefusedVersion
	stamp uint64
	again time.Time // zero: not before the files change
}

func newManager(g *Group, opts Options) (*Manager, error) {
	m := &Manager{
		group: g, opts: opts, log: g.opts.Logger.With("model", opts.Model), ready: make(chan struct{}), refused: map[int64]*refusal{},
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	var err error
	if m.metrics, err = newMetrics(m, g.opts.Registerer); err != nil {
		m.cancel()
		return nil, err
	}
	return m, nil
}

// Model is the model's name.
func (m *Manager) Model() string { return m.opts.Model }

// Acquire returns the version that serves key, for the caller to Release when it has its answer. Equal keys get the
// same version while the pointer stays as it is: a share of them the canary, if there is one. It returns ErrNotServing
// if none is loaded. It takes no lock and allocates nothing.
func (m *Manager) Acquire(key uint64) (*Servable, error) {
	for {
		c := m.current.Load()
		if c == nil {
			return nil, ErrNotServing
		}
		s := c.stable
		if c.canary != nil && mix(key^uint64(c.canary.Version())*0x9e3779b97f4a7c15) < c.below {
			s = c.canary
		}
		if s.acquire() {
			return s, nil
		}
		// Swapped out and freed since Load: current has changed.
	}
}

// AcquireVersion is Acquire of the version with that number, or of the stable one where number is 0, whoever asks. It
// returns ErrOtherVersion if versions serve but not that one.
func (m *Manager) AcquireVersion(number int64) (*Servable, error) {
	for {
		c := m.current.Load()
		if c == nil {
			return nil, ErrNotServing
		}
		s := c.stable
		switch {
		case number == 0 || s.Version() == number:
		case c.canary != nil && c.canary.Version() == number:
			s = c.canary
		default:
			return nil, fmt.Errorf("%w: %s does, not version %d", ErrOtherVersion, s, number)
		}
		if s.acquire() {
			return s, nil
		}
	}
}

// mix spreads keys evenly (the finaliser of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Ready says whether a warm version serves.
func (m *Manager) Ready() bool { return m.current.Load() != nil }

// WaitReady waits for a warm version. Its error says what was refused, if ctx ends first.
func (m *Manager) WaitReady(ctx context.Context) error {
	select {
	case <-m.ready:
		return nil
	case <-ctx.Done():
	}
	err := fmt.Errorf("models: no version of %s to serve in %s: %w", m.opts.Model, m.group.opts.Store, ctx.Err())
	st := m.Status()
	for _, r := range st.Refused {
		err = fmt.Errorf("%w; version %d: %s", err, r.Version, r.Error)
	}
	if st.StoreError != "" {
		err = fmt.Errorf("%w; %s", err, st.StoreError)
	}
	return err
}

// Status is for people; it takes a lock.
func (m *Manager) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := Status{Model: m.opts.Model, Pointer: m.state.Pointer, Swaps: m.swaps, Live: m.live}
	if c := m.current.Load(); c != nil {
		st.Stable, st.Canary, st.CanaryShare = c.stable.status(), c.canary.status(), c.share
	}
	if m.state.Err != nil {
		st.StoreError = m.state.Err.Error()
	}
	for _, v := range sortedKeys(m.refused) {
		st.Refused = append(st.Refused, m.refused[v].RefusedVersion)
	}
	return st
}

// Close takes the model out of service and waits until every version is freed, which needs their users to release
// them, or ctx to end: then it returns an error that says how many are left. Acquire returns ErrNotServing from then on.
func (m *Manager) Close(ctx context.Context) error {
	m.cancel()
	m.group.leave(m)
	m.turn.Lock() // a load under way ends first; it heeds the cancellation between its steps
	m.swap(nil)
	m.turn.Unlock()
	m.metrics.unregister()
	freed := make(chan struct{})
	go func() { m.retired.Wait(); close(freed) }()
	select {
	case <-freed:
		return nil
	case <-ctx.Done():
		m.mu.Lock()
		defer m.mu.Unlock()
		return fmt.Errorf("models: cannot free %d versions of %s, they are still in use: %w", m.live, m.opts.Model, ctx.Err())
	}
}

// swap makes next what auctions see and gives up the manager's references to what next does not hold.
func (m *Manager) swap(next *serving) {
	old := m.current.Swap(next)
	m.mu.Lock()
	if next != nil && (old == nil || old.stable != next.stable) {
		m.swaps++
		m.metrics.swaps.Inc()
	}
	m.mu.Unlock()
	if next != nil && old == nil {
		close(m.ready)
		m.group.serves(1)
	}
	if old == nil {
		return
	}
	if next == nil {
		m.group.serves(-1)
	}
	for _, s := range []*Servable{old.stable, old.canary} {
		if s != nil && (next == nil || s != next.stable && s != next.canary) {
			s.Release()
		}
	}
}

// retire ends a version whose last reference is gone.
func (m *Manager) retire(s *Servable) {
	go func() {
		defer m.retired.Done()
		m.opts.Retire(s)
		if err := s.engine.Close(); err != nil {
			m.log.Error("cannot free a version", "version", s.Version(), "error", err)
		}
		m.mu.Lock()
		m.live--
		m.mu.Unlock()
		m.log.Info("version freed", "version", s.Version())
	}()
}

// newServing pairs a stable version with a canary, if there is one.
func newServing(stable, canary *Servable, share float64) *serving {
	c := &serving{stable: stable, canary: canary}
	if canary != nil {
		c.share = share
		c.below = uint64(math.MaxUint64)
		if share < 1 {
			c.below = uint64(math.Ldexp(share, 64))
		}
	}
	return c
}
