package main

import (
	"context"

	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
)

// startBank makes a bank, and the monitor that keeps it equal to the model's directory of classifier files. The bank has the monitor
// read again what it had no room for.
func (r *ranker) startBank(m *model) error {
	var monitor *classifiers.Monitor
	b, err := bank.New(bank.Options{
		Log: r.log, Registerer: m.metrics, Memory: m.config.Memory,
		Load: func(campaign string) (*classifiers.File, error) { return monitor.Load(campaign) }, // of what the monitor brought
	})
	if err != nil {
		return err
	}
	r.parts.OnStop("bank of "+m.name, closeTimeout, func(context.Context) error { b.Close(); return nil })
	monitor, err = classifiers.NewMonitor(classifiers.Options{Dir: m.config.Directory, Sink: b, Log: r.log, Registerer: m.metrics})
	if err != nil {
		return err
	}
	m.scorer, m.read = b, monitor.Ready
	m.shown = shown{monitor.Serving, monitor.Refused, func() int64 { now, _ := b.Bytes(); return now }}
	r.parts.Loop("files of "+m.name, closeTimeout, monitor.Run)
	return nil
}
