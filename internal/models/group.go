package models

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/engine"
)

// GroupOptions make a Group. Store and Loaders are required.
type GroupOptions struct {
	Store   Store
	Loaders engine.Loaders

	// Loads is how many versions are loaded at once at most; default 1. What else waits does so in turn.
	Loads int
	// Nice lowers the priority of the thread that loads and prepares a version while another serves, as nice(1): default
	// 5, at most 19; negative leaves it as it is.
	Nice int

	Watch WatchOptions
	// Registerer takes the metrics, those of each model labelled with it; nil: none. They are unregistered by Close.
	Registerer prometheus.Registerer
	Logger     *slog.Logger // default slog.Default
}

func (o *GroupOptions) fill() error {
	var faults []error
	if o.Store == nil {
		faults = append(faults, errors.New("Store is nil"))
	}
	if len(o.Loaders) == 0 {
		faults = append(faults, errors.New("Loaders is empty; name the loader of at least one format"))
	}
	if o.Loads < 0 {
		faults = append(faults, fmt.Errorf("Loads is %d, must be at least 1", o.Loads))
	}
	o.Loads = max(o.Loads, 1)
	if o.Nice == 0 {
		o.Nice = 5
	}
	o.Nice = min(o.Nice, 19)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if len(faults) > 0 {
		return fmt.Errorf("models: cannot follow a store: %w", errors.Join(faults...))
	}
	return nil
}

// Group follows the models of one store, each through a Manager. However many they are, one goroutine watches the store,
// and Loads goroutines load versions; a loading thread is of low priority while any version serves.
//
// The watching goroutine tells a manager what changed. What needs no loading (another share, the end of a canary, a
// version that is loaded already) happens there and then. A manager that has something to load waits in the queue; the one
// that waits longest is next, and goes to the end if its model changed again in the meantime. One model's slow load
// therefore delays the loads of others, and never what serves.
type Group struct {
	opts    GroupOptions
	watcher *watcher
	cancel  context.CancelFunc
	loops   sync.WaitGroup

	work *sync.Cond // of mu: the queue has grown, or the group is closed

	mu       sync.Mutex // guards what follows
	managers map[string]*Manager
	queue    []*Manager // have something to load; none twice
	loading  []*Manager // are being loaded for: another turn waits in the queue
	closed   bool
	serving  int // managers that have a version in service

	collectors []prometheus.Collector
}

// NewGroup starts to follow a store. Close ends it.
func NewGroup(opts GroupOptions) (*Group, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	g := &Group{opts: opts, managers: map[string]*Manager{}}
	g.work = sync.NewCond(&g.mu)
	if err := g.register(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.watcher = newWatcher(opts.Store, opts.Watch, opts.Logger, g.told)
	g.loops.Go(func() { g.watcher.watchLoop(ctx) })
	for range opts.Loads {
		g.loops.Go(g.loadLoop)
	}
	return g, nil
}

// Close ends the watching and waits for loads under way. Managers go on serving what they serve until they are closed.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	g.queue = nil
	for _, m := range g.managers {
		m.cancel() // a load under way heeds it between its steps
	}
	g.mu.Unlock()
	g.cancel()
	g.work.Broadcast()
	g.loops.Wait()
	for _, c := range g.collectors {
		g.opts.Registerer.Unregister(c)
	}
}

// Manage starts to follow a model; it does not wait for a version (WaitReady). A model has one manager at a time.
func (g *Group) Manage(opts Options) (*Manager, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	m, err := newManager(g, opts)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.managers[opts.Model] != nil {
		m.cancel()
		m.metrics.unregister()
		return nil, fmt.Errorf("models: cannot manage model %q: it has a manager already, or the group is closed", opts.Model)
	}
	g.managers[opts.Model] = m
	g.watcher.follow(opts.Model)
	return m, nil
}

// leave takes a manager out: it is told nothing more, and not loaded for. If it left before, another may follow the model.
func (g *Group) leave(m *Manager) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.managers[m.opts.Model] != m {
		return
	}
	delete(g.managers, m.opts.Model)
	g.watcher.unfollow(m.opts.Model)
	g.queue = slices.DeleteFunc(g.queue, func(q *Manager) bool { return q == m })
}

// told hands a state to the model's manager. The watching goroutine calls it.
func (g *Group) told(model string, st State) {
	g.mu.Lock()
	m := g.managers[model]
	g.mu.Unlock()
	if m != nil && m.observe(st) {
		g.enqueue(m)
	}
}

func (g *Group) enqueue(m *Manager) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.managers[m.opts.Model] != m || slices.Contains(g.queue, m) {
		return
	}
	g.queue = append(g.queue, m)
	g.work.Signal()
}

// loadLoop loads for whoever waits longest, until Close.
func (g *Group) loadLoop() {
	for m := g.next(); m != nil; m = g.next() {
		again := m.settle()
		g.mu.Lock()
		g.loading = slices.DeleteFunc(g.loading, func(l *Manager) bool { return l == m })
		g.work.Signal() // its next turn may wait for this
		g.mu.Unlock()
		if again {
			g.enqueue(m)
		}
	}
}

// next waits for work; nil: the group is closed.
func (g *Group) next() *Manager {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.closed {
		for i, m := range g.queue {
			if !slices.Contains(g.loading, m) {
				g.queue = slices.Delete(g.queue, i, i+1)
				g.loading = append(g.loading, m)
				return m
			}
		}
		g.work.Wait()
	}
	return nil
}

// serves counts the managers that have a version in service.
func (g *Group) serves(change int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.serving += change
}

// kind says whether there is anybody to be kind to: a version serves while another is loaded.
func (g *Group) kind() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.serving > 0 && g.opts.Nice > 0
}

func (g *Group) register() error {
	if g.opts.Registerer == nil {
		return nil
	}
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			g.mu.Lock()
			defer g.mu.Unlock()
			return float64(value())
		})
	}
	for _, c := range []prometheus.Collector{
		gauge("gavel_models_followed", "Models that are followed in the store.", func() int { return len(g.managers) }),
		gauge("gavel_models_waiting", "Models with a version to load that wait for the loads before theirs.", func() int { return len(g.queue) }),
	} {
		if err := g.opts.Registerer.Register(c); err != nil {
			for _, c := range g.collectors {
				g.opts.Registerer.Unregister(c)
			}
			return fmt.Errorf("models: cannot register metrics (does another group share the registry?): %w", err)
		}
		g.collectors = append(g.collectors, c)
	}
	return nil
}
