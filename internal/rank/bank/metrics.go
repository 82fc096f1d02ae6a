package bank

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/metric"
)

// metrics are a bank's.
type metrics struct {
	*metric.Set
	merges       prometheus.Counter
	mergeSeconds prometheus.Counter

	hits, misses, loads, evictions prometheus.Counter // of the bound
}

func newMetrics(b *Bank, reg prometheus.Registerer) (*metrics, error) {
	set := metric.New(reg)
	x := &metrics{
		Set:          set,
		merges:       set.Counter("gavel_bank_merges_total", "Merges of segments."),
		mergeSeconds: set.Counter("gavel_bank_merge_seconds_total", "Time that merges took, in the background."),
		hits: set.Counter("gavel_bank_hits_total",
			"Campaigns that were asked for and whose classifier was in memory; only with a bound on memory."),
		misses: set.Counter("gavel_bank_misses_total",
			"Campaigns that were asked for and whose classifier was not in memory."),
		loads: set.Counter("gavel_bank_loads_total",
			"Classifiers that were loaded again, after they had had no room."),
		evictions: set.Counter("gavel_bank_evictions_total",
			"Classifiers that were dropped from memory for others that are asked for more often."),
	}
	set.ReadGauge("gavel_bank_classifiers", "Classifiers that serve.", func() float64 { return float64(b.current.Load().live) })
	set.ReadGauge("gavel_bank_absent", "Classifiers that have no room in memory.",
		func() float64 { return float64(len(b.current.Load().absent.list)) })
	set.ReadGauge("gavel_bank_priors", "Priors that serve.", func() float64 { return float64(len(b.current.Load().priors)) })
	set.ReadGauge("gavel_bank_segments", "Segments that hold the classifiers; each costs a score a little.",
		func() float64 { return float64(len(b.current.Load().parts)) })
	set.ReadGauge("gavel_bank_bytes", "Memory of classifiers outside of Go's heap, with what is being merged and what old views hold.",
		func() float64 { return float64(b.account.now.Load()) })
	if err := set.Register(); err != nil {
		return nil, fmt.Errorf("bank: cannot register metrics (is there another bank?): %w", err)
	}
	return x, nil
}

func (x *metrics) merged(took time.Duration) {
	x.merges.Inc()
	x.mergeSeconds.Add(took.Seconds())
}
