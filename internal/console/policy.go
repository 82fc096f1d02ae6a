package console

import (
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/batcher"
)

// What the adaptive policy decides by. It stands apart from the counts because it changes with the policy.
var (
	holdDesc = describe("hold_seconds", "How long a batch of the newest version is held for more claims now; 0: it leaves at once.")
	loadDesc = describePool("load", "Share of its processors that the bidder uses, over about half a second: 0 to 1.")
)

func describePolicy(ch chan<- *prometheus.Desc) {
	ch <- holdDesc
	ch <- loadDesc
}

func collectPoolPolicy(ch chan<- prometheus.Metric, pool string, s *batcher.PoolStats) {
	ch <- prometheus.MustNewConstMetric(loadDesc, prometheus.GaugeValue, s.Load, pool)
}

func collectQueuePolicy(ch chan<- prometheus.Metric, model string, s *batcher.Stats) {
	ch <- prometheus.MustNewConstMetric(holdDesc, prometheus.GaugeValue, s.Hold.Seconds(), model)
}
