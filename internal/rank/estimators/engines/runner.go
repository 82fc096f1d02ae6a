package engines

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/admission"
	"gavel/internal/engine"
	"gavel/internal/engine/workers"
	"gavel/internal/files"
	"gavel/internal/rank/estimators"
	"gavel/internal/throttle"
)

// Options are the settings of a Runner. Endings, Open and Log are required.
type Options struct {
	Endings []string // of files that Open reads
	// Open makes an engine of a file's content, which it does not keep.
	Open func(ctx context.Context, data []byte) (engine.Engine, error)
	// Memory bounds the bytes of the engines in memory, about; 0: no bound. Those that are being checked come on top.
	Memory     int64
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// maxFile bounds a file, in bytes.
const maxFile = 1 << 30

// Runner is an estimators.Runner. It must be closed after the directories that it serves.
type Runner struct {
	options Options
	metrics *metrics
	failed  throttle.Line

	mu     sync.Mutex // guards what follows
	models map[*model]bool
	policy *admission.Policy[*model] // nil: no bound
	wanted []*model                  // have room, but are not loaded; each once
	wake   chan struct{}             // to loadLoop; one suffices
	done   chan struct{}             // closed by Close
	loop   sync.WaitGroup
}

var _ estimators.Runner = (*Runner)(nil)

// New makes a runner without models.
func New(o Options) (*Runner, error) {
	if len(o.Endings) == 0 || o.Open == nil || o.Log == nil {
		return nil, errors.New("engines: cannot run without endings, a way to open files and a log")
	}
	if o.Memory < 0 {
		return nil, fmt.Errorf("engines: cannot bound memory to %d bytes", o.Memory)
	}
	r := &Runner{options: o, models: map[*model]bool{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	var err error
	if o.Memory > 0 {
		if r.policy, err = admission.New[*model](o.Memory); err != nil {
			return nil, err
		}
	}
	if r.metrics, err = newMetrics(r, o.Registerer); err != nil {
		return nil, err
	}
	r.loop.Go(r.loadLoop)
	return r, nil
}

// Close frees all engines.
func (r *Runner) Close() {
	r.mu.Lock()
	all := r.models
	r.models = map[*model]bool{}
	close(r.done)
	r.mu.Unlock()
	r.loop.Wait()
	for m := range all {
		m.drop(true)
	}
	r.metrics.Unregister()
}

// Endings implements estimators.Runner.
func (r *Runner) Endings() []string { return r.options.Endings }

// Prepare implements estimators.Runner. The model is in memory until Checked at least.
func (r *Runner) Prepare(ctx context.Context, s workers.Source) (estimators.Model, error) {
	l, size, err := r.open(ctx, &s)
	if err != nil {
		return nil, err
	}
	m := &model{source: s, bytes: size, loaded: l}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.models[m] = true
	return m, nil
}

// Checked implements estimators.Runner. A new model takes room that is free. It never displaces another one by itself: only what is
// asked for competes.
func (r *Runner) Checked(of estimators.Model) {
	m := of.(*model)
	r.mu.Lock()
	defer r.mu.Unlock()
	m.checked = true
	switch {
	case r.policy == nil:
	case r.policy.Fits(m.bytes):
		r.policy.Ask(m, m.bytes)
		r.settle()
	default:
		m.drop(false)
	}
}

// Remove implements estimators.Runner.
func (r *Runner) Remove(of estimators.Model) {
	m := of.(*model)
	r.mu.Lock()
	delete(r.models, m)
	if r.policy != nil {
		r.policy.Forget(m)
	}
	r.mu.Unlock()
	m.drop(true)
}

// Bytes implements estimators.Runner.
func (r *Runner) Bytes(of estimators.Model) int64 {
	m := of.(*model)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loaded == nil {
		return 0
	}
	return m.bytes
}

// open reads a source's file and makes its engine, held for the caller. size is about what it takes of memory.
func (r *Runner) open(ctx context.Context, s *workers.Source) (l *loaded, size int64, err error) {
	data, err := readFile(s)
	if err != nil {
		return nil, 0, fmt.Errorf("engines: %s: %w", s.Name, err)
	}
	e, err := r.options.Open(ctx, data)
	if err != nil {
		return nil, 0, fmt.Errorf("engines: %s: %w", s.Name, err)
	}
	l = &loaded{engine: e}
	l.refs.Start()
	if l.rows, err = fit(e.Schema(), s); err != nil {
		l.release()
		return nil, 0, err
	}
	row := 0
	for _, f := range e.Schema().Inputs {
		row += 8 * f.Width
	}
	return l, perEngine + perByte*int64(len(data)) + maxFree*int64(row), nil
}

// What an engine takes of memory, measured with onnxruntime 1.23 for small graphs (TestMemory): the graph's file is parsed into
// messages of its own, and its constants are copied.
const (
	perEngine = 192 << 10
	perByte   = 3
)

// readFile reads a source's file, whose sum must be the source's.
func readFile(s *workers.Source) ([]byte, error) {
	data, err := files.ReadRegular(s.Path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the model: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("cannot read the model: it has more than %d bytes", maxFile)
	}
	if sum := sha256.Sum256(data); sum != s.SHA256 {
		return nil, fmt.Errorf("%s has another SHA-256 than its description says: %x", s.Path, sum)
	}
	return data, nil
}
