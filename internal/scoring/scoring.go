// Package scoring scores candidates and rows with a named model. A version scores with three parts from other rooms: its
// servable (models), the encoder of its recipe (features), and a queue of the batcher.
//
//	auction ──► Scorer.Score ──┐ candidates, encoded by each version's own recipe
//	                           ├──► Model.Acquire ──► Version ──► its queue ──► probabilities
//	predict ──► Version.Score ─┘ rows that the caller has encoded
//
// Models holds every model that a process serves. Each version has its own encoder and its own queue. So a batch never
// mixes versions, and the recipe of the version that scores a row also encodes it.
package scoring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"gavel/internal/batcher"
	"gavel/internal/engine"
	"gavel/internal/models"
)

// Errors that callers branch on. An error of this package wraps at most one of them.
var (
	// ErrNoVersion: no version of the model is loaded.
	ErrNoVersion = errors.New("scoring: no version of the model is loaded")
	// ErrLoading: no version is loaded yet, but one was asked for: try again in a second (Model.AcquireWithin waits).
	ErrLoading = errors.New("scoring: the model is being loaded, try again in a second")
	// ErrOtherVersion: versions of the model serve, but not the requested one.
	ErrOtherVersion = models.ErrOtherVersion
	// The batcher's errors. ErrRow: the model refuses the row. ErrShed: the queue accepts no more rows, or the row would be
	// late. ErrExpired: the deadline passed. ErrClosed: the version was removed.
	ErrRow, ErrShed, ErrExpired, ErrClosed = batcher.ErrRow, batcher.ErrShed, batcher.ErrExpired, batcher.ErrClosed
)

// Result holds the probability of one row, or the error that explains why there is none.
type Result = batcher.Result

// Signature names a version's one input, int32[?, row length], and its one output, float32[?].
type Signature = engine.Signature

// Queues receives the queue of each version, for metrics and pages. Its methods are called concurrently.
type Queues interface {
	// Add is called before callers can claim rows of the queue.
	Add(model string, queue *batcher.Queue)
	// Retire is called once for each queue, after it has closed.
	Retire(queue *batcher.Queue)
}

// Options configure Models. Group is required.
type Options struct {
	Group  *models.Group // follows the store
	Queues Queues        // nil: queues are not reported
	// Formats has the format to load of a model's versions, by the model's name. Default: each version's first.
	Formats map[string]string
	Logger  *slog.Logger // default slog.Default
}

// Models holds the models that a process serves, by name: those of Serve, which stay, and those of Discover, which come and go
// with their pointers in the store. All methods are safe for concurrent use. Find takes no lock.
type Models struct {
	options Options
	joins   joins

	byName  atomic.Pointer[map[string]*Model] // replaced as a whole, never changed
	mu      sync.Mutex                        // held while byName is replaced
	closed  bool                              // guarded by mu: no model may come any more
	closing sync.WaitGroup                    // models that have left and are not freed yet
}

// New returns Models that hold no model yet. It returns an error if o.Group is nil.
func New(o Options) (*Models, error) {
	if o.Group == nil {
		return nil, errors.New("scoring: cannot serve models: Options.Group is nil")
	}
	if o.Queues == nil {
		o.Queues = discardQueues{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	m := &Models{options: o, joins: joins{logger: o.Logger}}
	m.byName.Store(&map[string]*Model{})
	return m, nil
}

// discardQueues implements Queues, and reports nothing.
type discardQueues struct{}

func (discardQueues) Add(string, *batcher.Queue) {}
func (discardQueues) Retire(*batcher.Queue)      {}

// Serve starts to follow a model in the store. It does not wait until a version is loaded: see Model.Ready. The pool runs
// the model's batches, and queue holds the options of each version's queue. The caller closes the model, before the pool.
// Serve returns an error if the group cannot follow the model, for example because it already does.
func (m *Models) Serve(name string, pool *batcher.Pool, queue batcher.QueueOptions) (*Model, error) {
	return m.serve(name, pool, queue, false, false)
}

func (m *Models) serve(name string, pool *batcher.Pool, queue batcher.QueueOptions, discovered, onUse bool) (*Model, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("scoring: cannot serve model %s: the models are closed", name)
	}
	model := &Model{name: name, pool: pool, queue: queue, options: m.options, joins: &m.joins, discovered: discovered, onUse: onUse}
	manager, err := m.options.Group.Manage(models.Options{
		Model: name, Load: models.LoadOptions{Format: m.options.Formats[name], MaxRows: queue.MaxRows}, OnUse: onUse,
		Prepare: func(_ context.Context, s *models.Servable) error { return model.prepare(s) },
		Retire:  model.retire,
	})
	if err != nil {
		return nil, fmt.Errorf("scoring: cannot serve model %s: %w", name, err)
	}
	model.manager = manager
	all := maps.Clone(*m.byName.Load())
	all[name] = model
	m.byName.Store(&all)
	return model, nil
}

// Find returns the model with that name, nil if the process does not serve it.
func (m *Models) Find(name string) *Model { return (*m.byName.Load())[name] }

// Names returns the models' names, sorted.
func (m *Models) Names() []string { return slices.Sorted(maps.Keys(*m.byName.Load())) }

// All returns the models in the order of their names.
func (m *Models) All() []*Model {
	all := *m.byName.Load()
	sorted := make([]*Model, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		sorted = append(sorted, all[name])
	}
	return sorted
}
