package plans

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/engine/plan"
	"gavel/internal/models"
	"gavel/internal/rank/classifiers"
	"gavel/internal/throttle"
)

// Options are the settings of a Follower. Store, Sink and Log are required.
type Options struct {
	Store      Store
	Sink       classifiers.Sink
	Poll       time.Duration // how often the store is compared with what serves; 0 means 2 s
	Retry      time.Duration // how often a plan that is refused is read again though it has not changed; 0 means a minute
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// A Follower keeps a sink equal to the plans of a store: of each model the version that its pointer names, or the newest without a
// pointer. A version that is refused leaves what served before.
type Follower struct {
	options Options
	objects *plan.Objects
	metrics *metrics
	ready   atomic.Bool

	refusals, unread throttle.Line

	mu     sync.Mutex // guards models, which Run alone changes
	models map[string]*model
}

// model is what is known of one.
type model struct {
	stamp   uint64 // of the store, when the pointer was read
	version int64  // that serves; 0: none
	about   about
	loads   int
	tried   int64 // the version that was refused; 0: none
	fault   error // why
	since   time.Time
}

// batch is how many plans are read before the sink has them.
const batch = 256

// New makes a follower. Run starts it.
func New(o Options) (*Follower, error) {
	if o.Store == nil || o.Sink == nil || o.Log == nil {
		return nil, errors.New("plans: cannot follow without a store, a sink and a log")
	}
	o.Poll, o.Retry = cmp.Or(o.Poll, 2*time.Second), cmp.Or(o.Retry, time.Minute)
	if o.Poll < 0 || o.Retry < 0 {
		return nil, fmt.Errorf("plans: poll %v and retry %v must be above 0", o.Poll, o.Retry)
	}
	f := &Follower{options: o, models: map[string]*model{}, objects: plan.NewObjects(filepath.Join(o.Store.String(), models.ObjectsDir))}
	var err error
	f.metrics, err = newMetrics(f, o.Registerer)
	return f, err
}

// Ready reports whether the store was read once: each plan that was there serves, or is refused.
func (f *Follower) Ready() bool { return f.ready.Load() }

// Run follows the store until ctx ends, and then returns nil.
func (f *Follower) Run(ctx context.Context) error {
	defer f.metrics.Unregister()
	tick := time.NewTicker(f.options.Poll)
	defer tick.Stop()
	for {
		err := f.scan(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			f.unread.Warn(f.options.Log, "a model store cannot be read; what serves stays", "store", f.options.Store.String(), "error", err)
		default:
			f.ready.Store(true)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// found is a version that is to serve.
type found struct {
	name    string
	version int64
	file    *classifiers.File
	about   about
}

// scan compares the whole store with what serves. A store that is not there is an error: it may be a volume that is away for a while.
func (f *Follower) scan(ctx context.Context) error {
	if _, err := os.Stat(f.options.Store.String()); err != nil {
		return fmt.Errorf("plans: the model store cannot be read: %w", err)
	}
	names, err := f.options.Store.Models(ctx)
	if err != nil {
		return err
	}
	var gone []classifiers.Change
	for name, m := range f.models {
		if _, there := slices.BinarySearch(names, name); !there {
			f.forget(name, m, &gone)
		}
	}
	if len(gone) > 0 {
		f.options.Sink.Apply(gone)
	}
	var next []found
	for _, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n, is := f.look(ctx, name); is {
			if next = append(next, n); len(next) == batch {
				f.apply(next)
				next = nil
			}
		}
	}
	f.apply(next)
	return nil
}

// forget takes a model out.
func (f *Follower) forget(name string, m *model, gone *[]classifiers.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.models, name)
	if m.version > 0 {
		*gone = append(*gone, classifiers.Change{Campaign: name})
		f.metrics.removed.Inc()
	}
}

// look reads a model whose version is not the one that serves.
func (f *Follower) look(ctx context.Context, name string) (n found, is bool) {
	m := f.models[name]
	if m == nil {
		m = &model{}
		f.mu.Lock()
		f.models[name] = m
		f.mu.Unlock()
	}
	retry := m.fault != nil && time.Since(m.since) >= f.options.Retry
	stamp, known := f.options.Store.Stamp(ctx, name)
	if known && stamp == m.stamp && !retry {
		return found{}, false
	}
	version, err := pointed(ctx, f.options.Store, name)
	if m.stamp = 0; known && err == nil {
		m.stamp = stamp
	}
	switch {
	case err == nil && version == m.version && m.fault == nil, err == nil && version == m.tried && !retry:
		return found{}, false
	case err == nil && version == m.version: // what was refused is not wanted any more
		f.note(name, m, 0, nil)
		return found{}, false
	case err == nil && version == 0:
		err = fmt.Errorf("plans: %s has no version", name)
	}
	n = found{name: name, version: version}
	if err == nil {
		n.file, n.about, err = read(ctx, f.options.Store, f.objects, name, version)
	}
	if err != nil {
		if ctx.Err() == nil {
			f.note(name, m, version, err)
		}
		return found{}, false
	}
	return n, true
}

// note keeps why a version is refused, and tells it; nil: none is.
func (f *Follower) note(name string, m *model, version int64, err error) {
	f.mu.Lock()
	m.tried, m.fault, m.since = version, err, time.Now()
	serves := m.version
	f.mu.Unlock()
	if err != nil {
		f.metrics.read.WithLabelValues("refused").Inc()
		f.refusals.Warn(f.options.Log, "a plan does not serve", "campaign", name, "version", version, "error", err, "serves_version", serves)
	}
}

// apply hands what was read to the sink.
func (f *Follower) apply(all []found) {
	if len(all) == 0 {
		return
	}
	changes := make([]classifiers.Change, len(all))
	for i := range all {
		changes[i].File = all[i].file
	}
	for i, err := range f.options.Sink.Apply(changes) {
		n := all[i]
		m := f.models[n.name]
		if err != nil {
			f.note(n.name, m, n.version, err)
			continue
		}
		f.mu.Lock()
		m.version, m.about, m.tried, m.fault = n.version, n.about, 0, nil
		m.loads++
		f.mu.Unlock()
		f.metrics.read.WithLabelValues("loaded").Inc()
	}
}

// Load reads a campaign's classifier again, for a sink that had no room for it. It may be called by another goroutine than Run's.
func (f *Follower) Load(campaign string) (*classifiers.File, error) {
	f.mu.Lock()
	m, version := f.models[campaign], int64(0)
	if m != nil {
		version = m.version
	}
	f.mu.Unlock()
	if version == 0 {
		return nil, fmt.Errorf("plans: no plan serves campaign %q", campaign)
	}
	file, _, err := read(context.Background(), f.options.Store, f.objects, campaign, version)
	return file, err
}

// Serving lists the plans that serve, in any order.
func (f *Follower) Serving() []classifiers.Serving {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]classifiers.Serving, 0, len(f.models))
	for name, m := range f.models {
		if m.version > 0 {
			all = append(all, classifiers.Serving{Campaign: name, Version: uint64(m.version), Trained: m.about.created, Rows: m.about.rows,
				Weights: m.about.weights, Updates: m.loads - 1})
		}
	}
	return all
}

// Refused lists the models whose version does not serve, by name.
func (f *Follower) Refused() []classifiers.Refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []classifiers.Refusal{}
	for name, m := range f.models {
		if m.fault != nil {
			all = append(all, classifiers.Refusal{File: fmt.Sprintf("%s/%d", name, m.tried), Reason: m.fault.Error(), Since: m.since, Serves: uint64(m.version),
				Remedy: "publish a version that docs/ranking.md allows; it is read again when the store changes, and each minute"})
		}
	}
	slices.SortFunc(all, func(a, b classifiers.Refusal) int { return strings.Compare(a.File, b.File) })
	return all
}
