package scoring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/models"
)

// closeTimeout bounds how long a model that has lost its pointer may take to answer its last rows.
const closeTimeout = 30 * time.Second

// Discovery says which models of the store are served beside those of Serve, and how.
type Discovery struct {
	Match func(model string) bool // nil: every model
	Pool  *batcher.Pool           // runs their batches
	Queue batcher.QueueOptions    // of each version's queue
	// OnUse has models loaded when they are first asked for, and unloaded when the memory of the group is short
	// (models.GroupOptions.Memory). Else they are loaded when they appear.
	OnUse bool
}

// Discover serves each model that the store has a pointer for, until its pointer goes: about 2 s after. It is called once, after
// Serve.
func (m *Models) Discover(d Discovery) {
	m.options.Group.Discover(func(names []string) { m.discovered(d, names) })
}

// discovered makes the discovered models be those that have a pointer now. The group's watching goroutine calls it.
func (m *Models) discovered(d Discovery, names []string) {
	m.mu.Lock()
	closed := m.closed
	m.mu.Unlock()
	if closed {
		return
	}
	present := make(map[string]bool, len(names))
	for _, name := range names {
		present[name] = true
		if m.Find(name) != nil || d.Match != nil && !d.Match(name) {
			continue
		}
		if _, err := m.serve(name, d.Pool, d.Queue, true, d.OnUse); err != nil { // it is tried again at the next listing
			m.options.Logger.Warn("cannot serve a model that appeared in the store", "model", name, "error", err)
			continue
		}
		m.options.Logger.Info("the store has a new model", "model", name)
	}
	for name, model := range *m.byName.Load() {
		if model.discovered && !present[name] {
			m.drop(model)
		}
	}
}

// drop takes a model out of service, and frees it in the background.
func (m *Models) drop(model *Model) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	all := maps.Clone(*m.byName.Load())
	delete(all, model.name)
	m.byName.Store(&all)
	m.options.Logger.Info("the model's pointer is gone from the store; it serves no more", "model", model.name)
	m.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := model.Close(ctx); err != nil {
			m.options.Logger.Error("cannot free a model that left the store", "model", model.name, "error", err)
		}
	})
}

// Close takes all models out of service. It waits until their versions are freed, and returns an error if ctx ends first. Find
// still finds them afterwards, without a version.
func (m *Models) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	all := m.All()
	faults := make(chan error, len(all))
	for _, model := range all {
		go func() { faults <- model.Close(ctx) }()
	}
	var err error
	for range all {
		err = errors.Join(err, <-faults)
	}
	left := make(chan struct{})
	go func() { m.closing.Wait(); close(left) }()
	select {
	case <-left:
	case <-ctx.Done():
		err = errors.Join(err, fmt.Errorf("scoring: models that left the store are still in use: %w", ctx.Err()))
	}
	return err
}

// unserved is the error of a model of which no version is loaded. If it is loaded on use, that begins.
func (m *Model) unserved(err error) error {
	if m.onUse {
		if !m.manager.Asleep() && m.refused() {
			return fmt.Errorf("%w: %w", ErrNoVersion, models.ErrRefused)
		}
		m.manager.Wake()
		return ErrLoading
	}
	return fmt.Errorf("%w: %w", ErrNoVersion, err)
}

// refused reports whether the version that should serve was refused.
func (m *Model) refused() bool { return len(m.manager.Status().Refused) > 0 }

// AcquireWithin is AcquireVersion, but waits for a model that is loaded on use. If ctx ends before it is loaded, the error is
// ErrLoading; if its version is refused, ErrNoVersion.
func (m *Model) AcquireWithin(ctx context.Context, number int64) (*Version, error) {
	for {
		v, err := m.AcquireVersion(number)
		if !errors.Is(err, ErrLoading) {
			return v, err
		}
		switch err := m.manager.Await(ctx); {
		case err == nil: // it may be unloaded again before the next try, if nothing is idle but this
		case ctx.Err() != nil:
			return nil, ErrLoading
		default:
			return nil, fmt.Errorf("%w: %w", ErrNoVersion, err)
		}
	}
}
