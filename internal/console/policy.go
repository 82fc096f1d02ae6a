package console

import (
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/batcher"
)

// Inputs and decisions of the adaptive policy. They have a file of their own because they change with the policy.
var (
	holdDesc = describe("hold_seconds", "How long the newest version now holds a batch so that more claims can join it; 0: batches leave at once.")
	loadDesc = describePool("load", "Share of its processors that the bidder used in about the last half second, 0 to 1.")
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
