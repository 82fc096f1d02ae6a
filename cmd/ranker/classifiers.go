package main

import (
	"context"

	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
)

// The scorers, as the setting scorer names them.
const (
	scorerBank    = "bank"
	scorerWorkers = "workers"
)

var scorers = []string{scorerBank, scorerWorkers}

// startScorer makes what scores campaigns.
func (r *ranker) startScorer(ctx context.Context) error {
	if r.config.Scorer == scorerWorkers {
		return r.startWorkers(ctx)
	}
	return r.startBank()
}

// startBank makes the bank, and the monitor that keeps it equal to the directory of classifier files. The files are read while
// the ranker serves already; until then clicks go to any campaign. The bank has the monitor read again what it had no room for.
func (r *ranker) startBank() error {
	var monitor *classifiers.Monitor
	b, err := bank.New(bank.Options{
		Log: r.log, Registerer: r.metrics, Memory: r.config.Limits.ClassifierBytes,
		Load: func(campaign string) (*classifiers.File, error) { return monitor.Load(campaign) }, // of what the monitor brought
	})
	if err != nil {
		return err
	}
	r.parts.OnStop("bank", closeTimeout, func(context.Context) error { b.Close(); return nil })
	monitor, err = classifiers.NewMonitor(classifiers.Options{
		Dir: r.config.Classifiers, Sink: b, Log: r.log, Registerer: r.metrics,
	})
	if err != nil {
		return err
	}
	r.scorer, r.read = b, monitor.Ready
	r.shown = shown{monitor.Serving, monitor.Refused, func() int64 { now, _ := b.Bytes(); return now }}
	r.parts.Loop("classifiers", closeTimeout, monitor.Run)
	return nil
}
