package main

import (
	"context"

	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
)

// startClassifiers makes the bank, and the monitor that keeps it equal to the directory of classifier files. The files are read while
// the ranker serves already; until then clicks go to any campaign.
func (r *ranker) startClassifiers(context.Context) (err error) {
	if r.bank, err = bank.New(bank.Options{Log: r.log, Registerer: r.metrics}); err != nil {
		return err
	}
	r.parts.OnStop("bank", closeTimeout, func(context.Context) error { r.bank.Close(); return nil })
	r.monitor, err = classifiers.NewMonitor(classifiers.Options{
		Dir: r.config.Classifiers, Sink: r.bank, Log: r.log, Registerer: r.metrics,
	})
	if err != nil {
		return err
	}
	r.parts.Loop("classifiers", closeTimeout, r.monitor.Run)
	return nil
}
