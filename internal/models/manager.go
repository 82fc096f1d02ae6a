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
var ErrNotServing = errors.New("models: the store holds none, or it is loading, or it was refused; the model's status tells")

// ErrOtherVersion is returned by AcquireVersion for a version that does not serve now.
var ErrOtherVersion = errors.New("models: the version does not serve")

// Manager keeps one model serving. It follows the store's pointer, loads the versions that the pointer names, swaps them in
// and frees those that they replace. It has no goroutine of its own: its group calls it.
//
// Ownership: the holder of `turn` loads, swaps and refuses. Auctions see `current`: an immutable pair of servables. The manager
// holds one reference to each. When a servable leaves `current`, the manager releases its reference. When the auctions that
// acquired it have released theirs too, a goroutine calls Retire and closes the engine. So a version lives exactly as
// long as it can be acquired or is in use.
type Manager struct {
	group   *Group
	opts    Options
	log     *slog.Logger
	metrics *metrics
	current atomic.Pointer[serving]
	ready   chan struct{}   // closed by the first swap
	uses    atomic.Uint64   // of a model that is loaded on use: how often it was asked for, since the group last counted
	waiting atomic.Int64    // callers of Await that have not returned
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	retired sync.WaitGroup // counts loaded versions that are not freed yet

	turn sync.Mutex // held while versions are loaded and swapped; before mu

	mu      sync.Mutex // guards what follows
	state   State
	seen    bool // a state was observed
	refused map[int64]*refusal
	swaps   int64
	live    int
	served  bool          // there was a first swap
	asleep  bool          // nothing may be loaded
	settled chan struct{} // closed and replaced when a load has ended, or a version serves
}

// serving is what auctions see. It never changes.
type serving struct {
	stable *Servable
	canary *Servable // nil: none
	share  float64
	below  uint64 // keys whose hash is below it go to the canary
}

// refusal is a version that must not be tried again until its files change, or a time has come.
type refusal struct {
	RefusedVersion
	stamp uint64
	again time.Time // zero: not before the files change
}

func newManager(g *Group, opts Options) (*Manager, error) {
	m := &Manager{
		group: g, opts: opts, log: g.opts.Logger.With("model", opts.Model), ready: make(chan struct{}), refused: map[int64]*refusal{},
		asleep: opts.OnUse, settled: make(chan struct{}),
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

// Acquire returns the version that serves key. The caller must call Release when it has its answer. While the pointer does
// not change, equal keys get the same version. If there is a canary, it gets its share of the keys. If no version is
// loaded, Acquire returns ErrNotServing. It takes no lock and does not allocate.
func (m *Manager) Acquire(key uint64) (*Servable, error) {
	if m.opts.OnUse {
		m.uses.Add(1)
	}
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
		// The servable was swapped out and freed after Load, so current has changed.
	}
}

// AcquireVersion is like Acquire, but returns the version with that number, or the stable one if number is 0. If other
// versions serve, but not that one, it returns ErrOtherVersion.
func (m *Manager) AcquireVersion(number int64) (*Servable, error) {
	if m.opts.OnUse {
		m.uses.Add(1)
	}
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

// Ready reports whether a warm version serves.
func (m *Manager) Ready() bool { return m.current.Load() != nil }

// WaitReady waits for a warm version. If ctx ends first, the error says which versions were refused, and why.
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

// Status returns the state for an operator's page; it takes a lock.
func (m *Manager) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := Status{Model: m.opts.Model, Pointer: m.state.Pointer, Swaps: m.swaps, Live: m.live, Asleep: m.asleep}
	if c := m.current.Load(); c != nil {
		st.Bytes = c.memory()
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

// Close takes the model out of service and waits until users have released every version and it is freed. If ctx ends
// first, the error says how many versions are left. Acquire returns ErrNotServing from then on.
func (m *Manager) Close(ctx context.Context) error {
	m.cancel()
	m.group.leave(m)
	m.turn.Lock() // waits for a load under way, which stops at its next step
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

// swap makes next current and releases the manager's references to servables that are not in next.
func (m *Manager) swap(next *serving) {
	old := m.current.Swap(next)
	m.mu.Lock()
	if next != nil && (old == nil || old.stable != next.stable) {
		m.swaps++
		m.metrics.swaps.Inc()
	}
	if next != nil && !m.served {
		m.served = true
		close(m.ready)
	}
	m.announce()
	m.mu.Unlock()
	if next != nil && old == nil {
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

// retire frees a version whose last reference was released.
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

// newServing pairs a stable version with a canary; nil means none.
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
