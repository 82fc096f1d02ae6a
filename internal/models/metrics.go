package models

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics holds a manager's metrics, each with the label model.
type metrics struct {
	swaps       prometheus.Counter
	refused     *prometheus.CounterVec
	loadSeconds prometheus.Histogram

	registerer prometheus.Registerer // nil: not exported
	registered []prometheus.Collector
}

func newMetrics(m *Manager, reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels prometheus.Labels, value func(*serving) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 {
			if c := m.current.Load(); c != nil {
				return value(c)
			}
			return 0
		})
	}
	const version = "gavel_model_version"
	const versionHelp = "Version that serves, by role; 0: none."
	x := &metrics{
		swaps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gavel_model_swaps_total", Help: "Stable versions swapped in, the first included."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gavel_model_refused_total", Help: "Versions refused, by reason; each attempt counts."}, []string{"reason"}),
		loadSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gavel_model_load_seconds", Help: "Time to verify, load and warm a version.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 12)}),
	}
	all := []prometheus.Collector{
		x.swaps, x.refused, x.loadSeconds,
		gauge(version, versionHelp, prometheus.Labels{"role": "stable"}, func(c *serving) float64 { return float64(c.stable.Version()) }),
		gauge(version, versionHelp, prometheus.Labels{"role": "canary"}, func(c *serving) float64 {
			if c.canary == nil {
				return 0
			}
			return float64(c.canary.Version())
		}),
		gauge("gavel_model_age_seconds", "Seconds since the stable version was made.", nil,
			func(c *serving) float64 { return c.stable.Age().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gavel_model_pinned",
			Help: "1 while the pointer is pinned: the trainer's exports are not promoted."}, func() float64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.state.Pointer.Pinned != nil {
				return 1
			}
			return 0
		}),
		gauge("gavel_model_ready", "1 if a warm version serves.", nil, func(*serving) float64 { return 1 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gavel_model_live_versions",
			Help: "Loaded versions, including replaced ones that are still in use."}, func() float64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			return float64(m.live)
		}),
	}
	if reg == nil {
		return x, nil
	}
	x.registerer = prometheus.WrapRegistererWith(prometheus.Labels{"model": m.opts.Model}, reg)
	for _, c := range all {
		if err := x.registerer.Register(c); err != nil {
			x.unregister()
			return nil, fmt.Errorf("models: cannot register metrics of model %s (does another manager serve it?): %w", m.opts.Model, err)
		}
		x.registered = append(x.registered, c)
	}
	return x, nil
}

func (x *metrics) unregister() {
	for _, c := range x.registered {
		x.registerer.Unregister(c)
	}
	x.registered = nil
}
