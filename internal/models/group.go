package models

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/engine"
)

// GroupOptions configures a Group. Store and Loaders are required.
type GroupOptions struct {
	Store   Store
	Loaders engine.Loaders

	// Loads is the most versions that are loaded at once; default 1. Other models wait in a queue.
	Loads int
	// Nice lowers the priority of the thread that loads and prepares a version while another serves, as nice(1). Default
	// 5, at most 19; negative leaves the priority unchanged.
	Nice int

	// Memory bounds the bytes of all loaded versions (Servable.Memory), by unloading models that are loaded on use. 0: no bound.
	Memory int64

	Watch WatchOptions
	// Registerer takes the metrics; those of a model have the label model. nil: none. Close unregisters them.
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
	if o.Memory < 0 {
		faults = append(faults, fmt.Errorf("Memory is %d bytes, must not be negative", o.Memory))
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

// Group follows the models of one store, each with a Manager. For any number of models, one goroutine watches the store, and
// Loads goroutines load versions. While any version serves, loading threads have low priority.
//
// The watching goroutine passes each change to the model's manager. Changes that need no loading (another share, the end of
// a canary, a version that is already loaded) take effect at once. A manager that must load a version waits in a queue,
// first come, first served. If its model changed again meanwhile, the manager goes to the end of the queue. So a slow load
// delays other models' loads, but never the versions that serve.
type Group struct {
	opts    GroupOptions
	watcher *watcher
	cancel  context.CancelFunc
	loops   sync.WaitGroup
	bound   bound
	count   *counts

	work *sync.Cond // of mu: the queue has grown, or the group is closed

	mu       sync.Mutex // guards what follows
	managers map[string]*Manager
	queue    []*Manager // must load something; no manager is in it twice
	loading  []*Manager // load now; next skips these, even if they are in the queue again
	closed   bool
	serving  int // managers that have a version in service

	collectors []prometheus.Collector
}

// NewGroup starts to follow a store, until Close.
func NewGroup(opts GroupOptions) (*Group, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	g := &Group{opts: opts, managers: map[string]*Manager{}, count: newCounts(), bound: bound{limit: opts.Memory}}
	g.work = sync.NewCond(&g.mu)
	if err := g.register(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.watcher = newWatcher(opts.Store, opts.Watch, opts.Logger, g.told, g.refused)
	g.loops.Go(func() { g.watcher.watchLoop(ctx) })
	if opts.Memory > 0 {
		g.loops.Go(func() { g.boundLoop(ctx) })
	}
	for range opts.Loads {
		g.loops.Go(g.loadLoop)
	}
	return g, nil
}

// Close ends the watching and waits for loads under way. Managers keep serving their versions until they are closed.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	g.queue = nil
	for _, m := range g.managers {
		m.cancel() // a load under way stops at its next step
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

// leave removes a manager: it gets no more states and no more loads. If it has left before, another may follow the model.
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

// Discover has do called with the names of all models that the store has a pointer for, ascending: soon, and then about once
// every Poll until Close. The watching goroutine calls do, which must not block; it may call Manage. If the store cannot be read, do is not
// called. Discover is called once.
func (g *Group) Discover(do func(models []string)) { g.watcher.discoverTo(do) }

// all lists the managers.
func (g *Group) all() []*Manager {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.managers))
}

// told passes a state to the model's manager. The watching goroutine calls it.
func (g *Group) told(model string, st State) {
	g.mu.Lock()
	m := g.managers[model]
	g.mu.Unlock()
	if m != nil && m.observe(st) {
		g.enqueue(m)
	}
}

// refused says whether a model has refused versions.
func (g *Group) refused(model string) bool {
	g.mu.Lock()
	m := g.managers[model]
	g.mu.Unlock()
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.refused) > 0
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

// loadLoop loads for the manager that has waited longest, until Close.
func (g *Group) loadLoop() {
	for m := g.next(); m != nil; m = g.next() {
		again := m.settle()
		g.makeRoom(m)
		g.mu.Lock()
		g.loading = slices.DeleteFunc(g.loading, func(l *Manager) bool { return l == m })
		g.work.Signal() // the same manager may be in the queue again
		g.mu.Unlock()
		if again {
			g.enqueue(m)
		}
	}
}

// next waits for a manager that must load; nil if the group is closed.
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

// kind reports whether loads should run at low priority: whether any version serves.
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
	loaded := func(value func(*serving) int64) float64 {
		sum := int64(0)
		for _, m := range g.all() {
			if c := m.current.Load(); c != nil {
				sum += value(c)
			}
		}
		return float64(sum)
	}
	for _, c := range []prometheus.Collector{
		g.count.loads, g.count.wakes, g.count.unloads, g.count.waits,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gavel_models_loaded", Help: "Models that have a version in service."},
			func() float64 { return loaded(func(*serving) int64 { return 1 }) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gavel_models_bytes", Help: "Memory of the versions in service; what they share counts once."},
			func() float64 { return loaded((*serving).memory) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gavel_models_bound_bytes", Help: "The bound of gavel_models_bytes; 0: none."},
			func() float64 { return float64(g.opts.Memory) }),
		gauge("gavel_models_followed", "Models that are followed in the store.", func() int { return len(g.managers) }),
		gauge("gavel_models_waiting", "Models whose next version waits while another model loads.", func() int { return len(g.queue) }),
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
