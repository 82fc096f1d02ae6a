package engines

import (
	"fmt"
	"sync"
	"time"

	"gavel/internal/engine"
	"gavel/internal/engine/workers"
	"gavel/internal/references"
)

// model is an estimator: what it was prepared from, and its engine while it is in memory.
type model struct {
	source workers.Source
	bytes  int64 // about, while it is loaded

	mu     sync.Mutex // guards what follows
	loaded *loaded    // nil: it is absent
	gone   bool       // removed

	// Under Runner.mu.
	checked bool      // the policy knows it, or may
	failed  time.Time // when it could not be loaded again
}

// loaded is an engine in memory, with batches for one row that nobody uses now. The last who releases it closes all.
type loaded struct {
	engine engine.Engine
	rows   rows
	refs   references.Count

	mu   sync.Mutex // guards free
	free []engine.Batch
}

// maxFree bounds the batches that an engine keeps for the next requests.
const maxFree = 4

// use returns the engine, held for the caller, or nil if it is absent.
func (m *model) use() *loaded {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loaded == nil || !m.loaded.refs.Acquire() {
		return nil
	}
	return m.loaded
}

// put makes an engine that of the model, unless it has one or was removed. It takes over the caller's hold.
func (m *model) put(l *loaded) {
	m.mu.Lock()
	if m.gone || m.loaded != nil {
		m.mu.Unlock()
		l.release()
		return
	}
	m.loaded = l
	m.mu.Unlock()
}

// drop makes the model absent. Requests that run it go on.
func (m *model) drop(forever bool) {
	m.mu.Lock()
	l := m.loaded
	m.loaded, m.gone = nil, m.gone || forever
	m.mu.Unlock()
	if l != nil {
		l.release()
	}
}

func (l *loaded) release() {
	if !l.refs.Release() {
		return
	}
	for _, b := range l.free {
		b.Close()
	}
	_ = l.engine.Close() // its last batch is closed
}

// batch returns a batch for one row, all of it zeros where rows are one-hot.
func (l *loaded) batch() (engine.Batch, error) {
	l.mu.Lock()
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		l.mu.Unlock()
		return b, nil
	}
	l.mu.Unlock()
	return l.engine.NewBatch(1)
}

func (l *loaded) give(b engine.Batch) {
	l.mu.Lock()
	if len(l.free) < maxFree {
		l.free = append(l.free, b)
		b = nil
	}
	l.mu.Unlock()
	if b != nil {
		b.Close()
	}
}

// score runs one row.
func (l *loaded) score(columns []int32, row []any) (p float64, err error) {
	b, err := l.batch()
	if err != nil {
		return 0, err
	}
	defer l.give(b)
	inputs := b.Inputs()
	switch {
	case !l.rows.oneHot:
		if err := l.rows.writeTable(inputs, row); err != nil {
			return 0, err
		}
	case row != nil:
		return 0, fmt.Errorf("engines: the model takes one-hot rows, a table was given")
	default:
		write(&inputs[0], columns, 1)
		defer write(&inputs[0], columns, 0)
	}
	if err := b.Run(1); err != nil {
		return 0, err
	}
	return l.rows.probability(b.Outputs())
}
