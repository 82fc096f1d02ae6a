package console

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/batcher"
)

// queueMetric describes one number of a model's queues.
type queueMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*batcher.Stats) float64
	label string // value of the metric's second label, "" if it has none
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gavel_batcher_"+name, help, append([]string{"model"}, labels...), nil)
}

var (
	rowOutcomeDesc = describe("row_outcomes_total", "Rows by how they ended.", "outcome")
	flushDesc      = describe("flushes_total", "Batches by what closed them.", "cause")
	curveDesc      = describe("curve_seconds", "Run time of a batch of this many rows that the newest version's cost curve expects.", "rows")
	curveHighDesc  = describe("curve_high_seconds", "Run time of a batch of this many rows that is assumed for deadlines: about the 99th percentile.", "rows")

	queueMetrics = append(append([]queueMetric{
		counter("claims_total", "Claims taken in, one an auction and model.", func(s *batcher.Stats) uint64 { return s.Claims }),
		counter("claimed_rows_total", "Rows taken in.", func(s *batcher.Stats) uint64 { return s.Rows }),
		counter("batches_total", "Batches flushed.", func(s *batcher.Stats) uint64 { return s.Batches }),
		counter("empty_batches_total", "Batches of which nothing was left to run.", func(s *batcher.Stats) uint64 { return s.Empty }),
		counter("dropped_rows_total", "Rows of batches that were not run: expired, abandoned or refused by then.", func(s *batcher.Stats) uint64 { return s.Dropped }),
		counter("rows_total", "Rows run.", func(s *batcher.Stats) uint64 { return s.RunRows }),
		counter("runs_total", "Calls into the engine: the compute calls.", func(s *batcher.Stats) uint64 { return s.Runs }),
		counter("run_errors_total", "Calls into the engine that failed.", func(s *batcher.Stats) uint64 { return s.RunErrors }),
		counter("panics_total", "Calls into the engine that panicked.", func(s *batcher.Stats) uint64 { return s.Panics }),
		counter("rescued_total", "Due batches that a waiting caller ran.", func(s *batcher.Stats) uint64 { return s.Rescued }),
		counter("queue_reached_total", "Claims that met the bound of the queue.", func(s *batcher.Stats) uint64 { return s.QueueReached }),
		counter("inline_total", "Batches that a caller ran in place of an idle runner.", func(s *batcher.Stats) uint64 { return s.Inline }),
		gauge("running_batches", "Batches running.", func(s *batcher.Stats) float64 { return float64(s.Running) }),
		gauge("batch_capacity_rows", "The most rows of a batch: max_rows.", func(s *batcher.Stats) float64 { return float64(s.Settings.MaxRows) }),
		gauge("queue_rows", "Rows waiting.", func(s *batcher.Stats) float64 { return float64(s.QueueRows) }),
		gauge("queue_capacity_rows", "The most rows that may wait.", func(s *batcher.Stats) float64 { return float64(s.QueueCapacity) }),
		gauge("queue_high_rows", "The most rows that ever waited.", func(s *batcher.Stats) float64 { return float64(s.QueueHigh) }),
		counterFloat("predicted_run_seconds_total", "Run time that the cost curve predicted.", func(s *batcher.Stats) float64 { return s.Predicted }),
		counterFloat("actual_run_seconds_total", "Run time of the same runs.", func(s *batcher.Stats) float64 { return s.Actual }),
	},
		labelled(rowOutcomeDesc, map[string]func(*batcher.Stats) uint64{
			"answered":  func(s *batcher.Stats) uint64 { return s.Answered },
			"refused":   func(s *batcher.Stats) uint64 { return s.Refused },
			"expired":   func(s *batcher.Stats) uint64 { return s.Expired },
			"failed":    func(s *batcher.Stats) uint64 { return s.Failed },
			"closed":    func(s *batcher.Stats) uint64 { return s.Closed },
			"abandoned": func(s *batcher.Stats) uint64 { return s.Abandoned },
			"shed_full": func(s *batcher.Stats) uint64 { return s.ShedFull },
			"shed_late": func(s *batcher.Stats) uint64 { return s.ShedLate },
		})...),
		labelled(flushDesc, map[string]func(*batcher.Stats) uint64{
			"full":  func(s *batcher.Stats) uint64 { return s.FlushFull },
			"due":   func(s *batcher.Stats) uint64 { return s.FlushDue },
			"idle":  func(s *batcher.Stats) uint64 { return s.FlushIdle },
			"close": func(s *batcher.Stats) uint64 { return s.FlushStop },
		})...)
)

// runnerMetrics are exported for each pool of runners: the one that models share, and those that a model has for itself.
var runnerMetrics = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*batcher.PoolStats) float64
}{
	{describePool("runners", "Batches that may run at once."), prometheus.GaugeValue,
		func(s *batcher.PoolStats) float64 { return float64(s.Runners) }},
	{describePool("runners_idle", "Runners with nothing to do."), prometheus.GaugeValue,
		func(s *batcher.PoolStats) float64 { return float64(s.Idle) }},
	{describePool("busy_seconds_total", "Run time of all batches, rescues included."), prometheus.CounterValue,
		func(s *batcher.PoolStats) float64 { return s.Busy }},
}

func describePool(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("gavel_batcher_"+name, help, []string{"pool"}, nil)
}

func counter(name, help string, value func(*batcher.Stats) uint64) queueMetric {
	return counterFloat(name, help, func(s *batcher.Stats) float64 { return float64(value(s)) })
}

func counterFloat(name, help string, value func(*batcher.Stats) float64) queueMetric {
	return queueMetric{desc: describe(name, help), kind: prometheus.CounterValue, value: value}
}

func gauge(name, help string, value func(*batcher.Stats) float64) queueMetric {
	return queueMetric{desc: describe(name, help), kind: prometheus.GaugeValue, value: value}
}

func labelled(desc *prometheus.Desc, values map[string]func(*batcher.Stats) uint64) (out []queueMetric) {
	for label, value := range values {
		out = append(out, queueMetric{desc: desc, kind: prometheus.CounterValue, label: label,
			value: func(s *batcher.Stats) float64 { return float64(value(s)) }})
	}
	return out
}

// Describe implements prometheus.Collector.
func (q *Queues) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range runnerMetrics {
		ch <- m.desc
	}
	for _, m := range queueMetrics { // those with several labels share one; repeats are allowed
		ch <- m.desc
	}
	ch <- curveDesc
	ch <- curveHighDesc
	describePolicy(ch)
	for i := range histogramDescs {
		ch <- histogramDescs[i].desc
	}
}

// Collect implements prometheus.Collector.
func (q *Queues) Collect(ch chan<- prometheus.Metric) {
	q.eachPool(func(name string, stats *batcher.PoolStats) {
		for _, m := range runnerMetrics {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(stats), name)
		}
		collectPoolPolicy(ch, name, stats)
	})
	for model, stats := range q.byModel() {
		for _, m := range queueMetrics {
			labels := []string{model}
			if m.label != "" {
				labels = append(labels, m.label)
			}
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&stats), labels...)
		}
		collectQueuePolicy(ch, model, &stats)
		for _, p := range stats.Curve {
			rows := strconv.Itoa(p.Rows)
			ch <- prometheus.MustNewConstMetric(curveDesc, prometheus.GaugeValue, p.Mean.Seconds(), model, rows)
			ch <- prometheus.MustNewConstMetric(curveHighDesc, prometheus.GaugeValue, p.High.Seconds(), model, rows)
		}
		for i := range histogramDescs {
			d := &histogramDescs[i]
			metric, err := d.newHistogram(d.value(&stats), q.since, model)
			if err != nil {
				metric = prometheus.NewInvalidMetric(d.desc, err)
			}
			ch <- metric
		}
	}
}
