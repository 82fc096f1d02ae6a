package console

import (
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/batcher"
)

// What the adaptive policy decides by. It stands apart from the counts because it changes with the policy.
var (
	batchCostDesc = describe("batch_cost_seconds", "CPU time that joining two batches of the newest version saves, as learnt.")
	loadDesc      = describePool("load", "Share of the runners' time, or of the machine's processors, whichever is more, that would be used if every claim were run alone: 0 to 1.")
)

func describePolicy(ch chan<- *prometheus.Desc) {
	ch <- batchCostDesc
	ch <- loadDesc
}

func collectPoolPolicy(ch chan<- prometheus.Metric, pool string, s *batcher.PoolStats) {
	ch <- prometheus.MustNewConstMetric(loadDesc, prometheus.GaugeValue, s.Load, pool)
}

func collectQueuePolicy(ch chan<- prometheus.Metric, model string, s *batcher.Stats) {
	if s.BatchCost > 0 {
		ch <- prometheus.MustNewConstMetric(batchCostDesc, prometheus.GaugeValue, s.BatchCost.Seconds(), model)
	}
}
