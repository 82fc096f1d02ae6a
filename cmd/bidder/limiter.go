package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/host"
	"gavel/internal/limit"
)

// startLimiter makes the limit on auctions at once, which follows how busy the processors are until stop.
func (b *bidder) startLimiter() (*limit.Limiter, error) {
	limiter, err := limit.New(limit.Options{Most: b.config.Limits.Auctions, Processors: host.Processors(), Target: b.config.Limits.CPUWait})
	if err != nil {
		return nil, err
	}
	gauge := func(name, help string, value func(limit.Stats) int) {
		b.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value(limiter.Stats())) }))
	}
	gauge("gavel_openrtb_auctions_limit", "Auctions that may run at once now; less than the capacity while processors are short.",
		func(s limit.Stats) int { return s.Limit })
	gauge("gavel_openrtb_auctions_capacity", "The most auctions that may ever run at once (limits.auctions).",
		func(s limit.Stats) int { return s.Most })
	b.metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "gavel_openrtb_auctions_floods_total",
		Help: "Times in which so many goroutines waited for a processor that for a moment half as many auctions as before might run at once."},
		func() float64 { return float64(limiter.Stats().Floods) }))
	b.loop("limiter", limiter.Run)
	return limiter, nil
}
