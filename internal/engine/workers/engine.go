package workers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"gavel/internal/engine"
)

// EngineOptions say how a Loader's engines run.
type EngineOptions struct {
	Trusted bool // versions may hold pickles; see CheckTrusted
	// Timeout bounds a run; 0: 10 s. A run that waits for a worker to start again takes seconds.
	Timeout time.Duration
}

// Loader opens versions of the format workers in a pool, which must outlive the engines: an estimator that takes named columns, and
// its description (see readVersion).
func Loader(p *Pool, o EngineOptions) engine.Loader {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	return func(ctx context.Context, v engine.Version) (engine.Engine, error) {
		source, err := readVersion(&v, o.Trusted)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", engine.ErrLoad, err)
		}
		c, err := p.Prepare(ctx, *source)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, fmt.Errorf("%w: %w", engine.ErrLoad, err)
		}
		return newEngine(p, c, o.Timeout), nil
	}
}

// Engine is an estimator in a pool's workers: an engine.Engine, engine.Validator, engine.SampleTaker, engine.Labeler and
// engine.Sized. Its inputs are the estimator's columns (an int64 is an Int32 here), its one output the probabilities of all classes.
//
// The estimator leaves the pool when Close was called and the last batch is closed, whichever comes last.
type Engine struct {
	pool       *Pool
	classifier *Classifier
	timeout    time.Duration
	schema     engine.Schema
	labels     []any
	samples    engine.Samples

	mu      sync.Mutex // guards what follows
	batches int        // open
	closed  bool
}

var (
	_ engine.Engine      = (*Engine)(nil)
	_ engine.Validator   = (*Engine)(nil)
	_ engine.SampleTaker = (*Engine)(nil)
	_ engine.Labeler     = (*Engine)(nil)
	_ engine.Sized       = (*Engine)(nil)
)

func newEngine(p *Pool, c *Classifier, timeout time.Duration) *Engine {
	e := &Engine{pool: p, classifier: c, timeout: timeout}
	for _, column := range c.columns {
		e.schema.Inputs = append(e.schema.Inputs, engine.Field{Name: column.Name, Type: columnTypes[column.Type], Width: 1})
	}
	e.schema.Outputs = []engine.Field{{Name: "probability", Type: engine.Float64, Width: c.outputs}}
	for _, label := range c.labels {
		e.labels = append(e.labels, label)
	}
	return e
}

// columnTypes are the types that columns have in a batch.
var columnTypes = map[ColumnType]engine.Type{Text: engine.Text, Float64: engine.Float64, Int64: engine.Int32}

// Schema implements engine.Engine.
func (e *Engine) Schema() *engine.Schema { return &e.schema }

// Labels implements engine.Labeler: the classes as texts.
func (e *Engine) Labels() []any { return e.labels }

// Memory implements engine.Sized: the size of the prepared file. Each worker that has a copy counts it once more against the pool's
// own bound.
func (e *Engine) Memory() int64 { return e.classifier.bytes }

// TakeSamples implements engine.SampleTaker.
func (e *Engine) TakeSamples(s engine.Samples) { e.samples = s }

// Sample implements engine.Sampler: a row that was given, in turn; without any, the row stays as it is.
func (e *Engine) Sample(inputs []engine.Column, i int) {
	if e.samples.Rows > 0 {
		engine.CopyRow(inputs, i, e.samples.Columns, i%e.samples.Rows)
	}
}

// Validate implements engine.Validator: texts must be UTF-8. Numbers are checked by the estimator.
func (e *Engine) Validate(inputs []engine.Column, i int) error {
	for k := range inputs {
		if c := &inputs[k]; c.Type == engine.Text && !utf8.ValidString(c.Text[i]) {
			return fmt.Errorf("workers: column %q: %q is no UTF-8", e.schema.Inputs[k].Name, c.Text[i])
		}
	}
	return nil
}

// NewBatch implements engine.Engine.
func (e *Engine) NewBatch(capacity int) (engine.Batch, error) {
	if capacity < 1 {
		return nil, fmt.Errorf("workers: cannot make a batch of %d rows", capacity)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errors.New("workers: cannot make a batch: the engine is closed")
	}
	e.batches++
	b := &batch{engine: e, outputs: []engine.Column{{Type: engine.Float64, Width: e.classifier.outputs, Float64: make([]float64, capacity*e.classifier.outputs)}}}
	for _, field := range e.schema.Inputs {
		c := engine.Column{Type: field.Type, Width: 1}
		switch field.Type {
		case engine.Int32:
			c.Int32 = make([]int32, capacity)
		case engine.Float64:
			c.Float64 = make([]float64, capacity)
		default:
			c.Text = make([]string, capacity)
		}
		b.inputs = append(b.inputs, c)
	}
	return b, nil
}

// Close implements engine.Engine.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	if e.batches > 0 {
		return fmt.Errorf("workers: %s is closed while %d of its batches are open", e.classifier.name, e.batches)
	}
	e.pool.Remove(e.classifier)
	return nil
}

// batchClosed is called once for each batch.
func (e *Engine) batchClosed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.batches--; e.batches == 0 && e.closed {
		e.pool.Remove(e.classifier)
	}
}
