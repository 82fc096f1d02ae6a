package main

import (
	"context"
	"fmt"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/estimators"
)

// startPool starts the Python processes that all models with the scorer workers share.
func (r *ranker) startPool(ctx context.Context) (*workers.Pool, error) {
	pool, err := workers.Start(ctx, r.config.Workers.Options(r.log))
	if err != nil {
		return nil, fmt.Errorf("%w (workers.python, workers.directory)", err)
	}
	r.parts.OnStop("workers", closeTimeout, pool.Close)
	if err := r.metrics.Register(pool.Metrics()); err != nil {
		return nil, fmt.Errorf("cannot register the workers' metrics: %w", err)
	}
	return pool, nil
}

// startEstimators follows a model's directory of estimators.
func (r *ranker) startEstimators(m *model, pool *workers.Pool) error {
	d, err := estimators.Open(estimators.Workers(pool), estimators.Options{Dir: m.config.Directory, Trusted: m.config.Trusted,
		Readers: 2 * r.config.Workers.Preparers, Log: r.log, Registerer: m.metrics})
	if err != nil {
		return fmt.Errorf("%w: %w (directory, trusted)", errConfig, err)
	}
	m.scorer, m.read = d, d.Ready
	m.shown = showEstimators(d)
	r.parts.Loop("files of "+m.name, closeTimeout, d.Run)
	return nil
}
