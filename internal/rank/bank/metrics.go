package bank

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are a bank's.
type metrics struct {
	merges       prometheus.Counter
	mergeSeconds prometheus.Counter
	registerer   prometheus.Registerer // nil: not exported
	registered   []prometheus.Collector
}

func newMetrics(b *Bank, reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	x := &metrics{registerer: reg,
		merges: prometheus.NewCounter(prometheus.CounterOpts{Name: "gavel_bank_merges_total", Help: "Merges of segments."}),
		mergeSeconds: prometheus.NewCounter(prometheus.CounterOpts{Name: "gavel_bank_merge_seconds_total",
			Help: "Time that merges took, in the background."})}
	if reg == nil {
		return x, nil
	}
	for _, c := range []prometheus.Collector{x.merges, x.mergeSeconds,
		gauge("gavel_bank_classifiers", "Classifiers that serve.", func() float64 { return float64(len(b.current.Load().campaigns)) }),
		gauge("gavel_bank_priors", "Priors that serve.", func() float64 { return float64(len(b.current.Load().priors)) }),
		gauge("gavel_bank_segments", "Segments that hold the classifiers; each costs a score a little.",
			func() float64 { return float64(len(b.current.Load().parts)) }),
		gauge("gavel_bank_bytes", "Memory of classifiers outside of Go's heap, with what is being merged and what old views hold.",
			func() float64 { return float64(b.account.now.Load()) }),
	} {
		if err := reg.Register(c); err != nil {
			x.unregister()
			return nil, fmt.Errorf("bank: cannot register metrics (is there another bank?): %w", err)
		}
		x.registered = append(x.registered, c)
	}
	return x, nil
}

func (x *metrics) merged(took time.Duration) {
	x.merges.Inc()
	x.mergeSeconds.Add(took.Seconds())
}

func (x *metrics) unregister() {
	for _, c := range x.registered {
		x.registerer.Unregister(c)
	}
	x.registered = nil
}
