// Package scoring scores rows by the model of a name. It brings together what a version needs to answer: the version
// itself (models), the encoder of its own recipe (features), and a queue of the batcher.
//
//	auction ──► Scorer.Score ──┐ candidates, encoded by each version's own recipe
//	                           ├──► Model.Acquire ──► Version ──► its queue ──► probabilities
//	predict ──► Version.Score ─┘ rows that the caller has encoded
//
// Models holds every model that a process serves. Each version has an encoder and a queue of its own. A batch therefore
// never mixes versions, and a row is always encoded by the recipe of the version that scores it.
package scoring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"gavel/internal/batcher"
	"gavel/internal/engine"
	"gavel/internal/models"
)

// What callers branch on. Errors wrap at most one of these.
var (
	// ErrNoVersion: no version of the model is loaded.
	ErrNoVersion = errors.New("scoring: no version of the model is loaded")
	// ErrOtherVersion: the model serves, but not the version that was asked for.
	ErrOtherVersion = errors.New("scoring: the version does not serve")
	// The batcher's own: the model refuses the row, the queue takes no more, the deadline passed, the model is closed.
	ErrRow, ErrShed, ErrExpired, ErrClosed = batcher.ErrRow, batcher.ErrShed, batcher.ErrExpired, batcher.ErrClosed
)

// Result is the answer to one row: a probability, or why there is none.
type Result = batcher.Result

// Signature names a version's one input, int32[?, row length], and its one output, float32[?].
type Signature = engine.Signature

// Queues is told of the queue of each version, for metrics and pages.
type Queues interface {
	// Add is called before the queue takes its first claim of a caller.
	Add(model string, queue *batcher.Queue)
	// Retire is called once, after the queue has closed.
	Retire(queue *batcher.Queue)
}

// Options are the parts of Models. Group is required.
type Options struct {
	Group  *models.Group
	Queues Queues       // nil: nobody is told
	Logger *slog.Logger // default slog.Default
}

// Models are the models that a process serves, by name. Serve adds them when the process starts; after that all methods
// are safe for concurrent use.
type Models struct {
	options Options
	byName  map[string]*Model
}

// New returns Models without a model.
func New(o Options) (*Models, error) {
	if o.Group == nil {
		return nil, errors.New("scoring: cannot serve models without a group that follows their store")
	}
	if o.Queues == nil {
		o.Queues = nobody{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Models{options: o, byName: map[string]*Model{}}, nil
}

// nobody implements Queues.
type nobody struct{}

func (nobody) Add(string, *batcher.Queue) {}
func (nobody) Retire(*batcher.Queue)      {}

// Serve starts to follow a model; it does not wait for a version. Its batches are run by pool, and queue holds the options
// of each version's queue. The caller closes the model. A name can be served once.
func (m *Models) Serve(name string, pool *batcher.Pool, queue batcher.QueueOptions) (*Model, error) {
	model := &Model{name: name, pool: pool, queue: queue, options: m.options}
	manager, err := m.options.Group.Manage(models.Options{
		Model: name, Load: models.LoadOptions{MaxRows: queue.MaxRows},
		Prepare: func(_ context.Context, s *models.Servable) error { return model.prepare(s) },
		Retire:  model.retire,
	})
	if err != nil {
		return nil, fmt.Errorf("scoring: cannot serve model %s: %w", name, err)
	}
	model.manager = manager
	m.byName[name] = model
	return model, nil
}

// Find is the model of that name, nil if it is not served.
func (m *Models) Find(name string) *Model { return m.byName[name] }

// Names are the models' names, sorted.
func (m *Models) Names() []string { return slices.Sorted(maps.Keys(m.byName)) }
