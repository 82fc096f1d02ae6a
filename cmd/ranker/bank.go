package main

import (
	"context"

	modelsdir "gavel/internal/models/dir"
	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/plans"
)

// source keeps a bank equal to a directory, and reads again what the bank had no room for.
type source interface {
	Run(ctx context.Context) error
	Ready() bool
	Load(campaign string) (*classifiers.File, error)
	Serving() []classifiers.Serving
	Refused() []classifiers.Refusal
}

// startBank makes a bank, and the monitor of the model's directory of classifier files.
func (r *ranker) startBank(m *model) error {
	return r.serveBank(m, false, func(b *bank.Bank) (source, error) {
		return classifiers.NewMonitor(classifiers.Options{Dir: m.config.Directory, Sink: b, Log: r.log, Registerer: m.metrics})
	})
}

// startPlans makes an exact bank of the plans of a model store, one a campaign, and follows the store.
func (r *ranker) startPlans(m *model) error {
	return r.serveBank(m, true, func(b *bank.Bank) (source, error) {
		return plans.New(plans.Options{Store: modelsdir.New(m.config.Directory), Sink: b, Log: r.log, Registerer: m.metrics})
	})
}

// serveBank makes a bank and what feeds it.
func (r *ranker) serveBank(m *model, exact bool, feed func(*bank.Bank) (source, error)) error {
	var from source
	b, err := bank.New(bank.Options{
		Log: r.log, Registerer: m.metrics, Memory: m.config.Memory, Exact: exact,
		Load: func(campaign string) (*classifiers.File, error) { return from.Load(campaign) }, // of what the source brought
	})
	if err != nil {
		return err
	}
	r.parts.OnStop("bank of "+m.name, closeTimeout, func(context.Context) error { b.Close(); return nil })
	if from, err = feed(b); err != nil {
		return err
	}
	m.scorer, m.read = b, from.Ready
	m.shown = shown{from.Serving, from.Refused, func() int64 { now, _ := b.Bytes(); return now }}
	r.parts.Loop("files of "+m.name, closeTimeout, from.Run)
	return nil
}
