package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Parts starts the parts of a process in order, and stops them in reverse order. Only Fail may be called concurrently.
type Parts struct {
	process string // its name, in errors
	log     *slog.Logger
	stops   []stopStep
	failed  chan error // room for one: the first failure ends the process
}

// Step is a part that Start starts.
type Step struct {
	Name string
	// Start starts the part. It calls OnStop or Loop for what must be stopped later.
	Start func(context.Context) error
}

type stopStep struct {
	name    string
	timeout time.Duration
	stop    func(context.Context) error
}

// NewParts returns Parts of which none is started. process is the name of the process, for errors.
func NewParts(process string, log *slog.Logger) *Parts {
	return &Parts{process: process, log: log, failed: make(chan error, 1)}
}

// Start takes the steps in order. If one fails, Start stops what was started before, and returns the errors of both.
func (p *Parts) Start(ctx context.Context, steps []Step) error {
	for _, step := range steps {
		began := time.Now()
		if err := step.Start(ctx); err != nil {
			return errors.Join(fmt.Errorf("%s: cannot start %s: %w", p.process, step.Name, err), p.Stop())
		}
		p.log.Debug("started", "part", step.Name, "took_ms", time.Since(began).Milliseconds())
	}
	return nil
}

// Wait waits until ctx ends, and then returns nil. If Fail is called earlier, Wait returns its error at once.
func (p *Parts) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failed:
		return err
	}
}

// Fail reports that a part ended by itself. Only the first failure counts.
func (p *Parts) Fail(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

// OnStop adds a step to Stop, which takes it before those added earlier. The step's context ends after timeout.
func (p *Parts) OnStop(name string, timeout time.Duration, stop func(context.Context) error) {
	p.stops = append(p.stops, stopStep{name, timeout, stop})
}

// Loop runs f in a goroutine. Stop ends f's context, and waits at most timeout for f to return.
func (p *Parts) Loop(name string, timeout time.Duration, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1) // one result
	go func() { done <- f(ctx) }()
	p.OnStop(name, timeout, func(stopCtx context.Context) error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-stopCtx.Done():
			return stopCtx.Err()
		}
	})
}

// Stop takes the steps that OnStop and Loop added, the last one first. A step that fails does not keep it from the
// others. Stop returns all errors.
func (p *Parts) Stop() error {
	var faults []error
	for i := len(p.stops) - 1; i >= 0; i-- {
		step := p.stops[i]
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), step.timeout)
		err := step.stop(ctx)
		cancel()
		p.log.Info("stopped", "part", step.name, "took_ms", time.Since(began).Milliseconds())
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: cannot stop %s cleanly: %w", p.process, step.name, err))
		}
	}
	p.stops = nil
	return errors.Join(faults...)
}
