package main

import (
	"context"

	modelsdir "gavel/internal/models/dir"
	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/plans"
)

// startPlans makes a bank of the plans of a model store, one a campaign, and follows the store.
func (r *ranker) startPlans(m *model) error {
	var follower *plans.Follower
	b, err := bank.New(bank.Options{
		Log: r.log, Registerer: m.metrics, Memory: m.config.Memory, Exact: true,
		Load: func(campaign string) (*classifiers.File, error) { return follower.Load(campaign) },
	})
	if err != nil {
		return err
	}
	r.parts.OnStop("bank of "+m.name, closeTimeout, func(context.Context) error { b.Close(); return nil })
	follower, err = plans.New(plans.Options{Store: modelsdir.New(m.config.Directory), Sink: b, Log: r.log, Registerer: m.metrics})
	if err != nil {
		return err
	}
	m.scorer, m.read = b, follower.Ready
	m.shown = shown{follower.Serving, follower.Refused, func() int64 { now, _ := b.Bytes(); return now }}
	r.parts.Loop("files of "+m.name, closeTimeout, follower.Run)
	return nil
}
