package console

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/batcher"
)

// queueMetric is a metric of one value in the sum of a model's queues.
type queueMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*batcher.Stats) float64
	label string // value of the label after model; "" if the metric has only that
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gavel_batcher_"+name, help, append([]string{"model"}, labels...), nil)
}

var (
	rowOutcomeDesc = describe("row_outcomes_total", "Rows by outcome.", "outcome")
	flushDesc      = describe("flushes_total", "Batches flushed, by cause.", "cause")
	curveDesc      = describe("curve_seconds", "Expected run time of a batch of this many rows, by the cost curve of the newest version.", "rows")
	curveHighDesc  = describe("curve_high_seconds", "Run time of a batch of this many rows that deadlines are checked against: about the 99th percentile.", "rows")

	queueMetrics = append(append([]queueMetric{
		counter("claims_total", "Claims accepted. An auction makes one claim for each model that it needs.", func(s *batcher.Stats) uint64 { return s.Claims }),
		counter("claimed_rows_total", "Rows of accepted claims.", func(s *batcher.Stats) uint64 { return s.Rows }),
		counter("batches_total", "Batches flushed.", func(s *batcher.Stats) uint64 { return s.Batches }),
		counter("empty_batches_total", "Batches flushed with no row left to run.", func(s *batcher.Stats) uint64 { return s.Empty }),
		counter("dropped_rows_total", "Rows that did not run with their batch because they had expired, been abandoned or been refused.", func(s *batcher.Stats) uint64 { return s.Dropped }),
		counter("rows_total", "Rows run.", func(s *batcher.Stats) uint64 { return s.RunRows }),
		counter("runs_total", "Calls that run a batch in the engine. Calibration is not counted.", func(s *batcher.Stats) uint64 { return s.Runs }),
		counter("run_errors_total", "Calls that run a batch in the engine and return an error.", func(s *batcher.Stats) uint64 { return s.RunErrors }),
		counter("panics_total", "Calls that run a batch in the engine and panic.", func(s *batcher.Stats) uint64 { return s.Panics }),
		counter("rescued_total", "Due batches that a waiting caller ran because no runner was free.", func(s *batcher.Stats) uint64 { return s.Rescued }),
		counter("queue_reached_total", "Claims that reached the capacity of the queue.", func(s *batcher.Stats) uint64 { return s.QueueReached }),
		counter("inline_total", "Batches that a caller ran itself instead of waking an idle runner.", func(s *batcher.Stats) uint64 { return s.Inline }),
		gauge("running_batches", "Batches running now.", func(s *batcher.Stats) float64 { return float64(s.Running) }),
		gauge("batch_capacity_rows", "Most rows that a batch may hold: max_rows.", func(s *batcher.Stats) float64 { return float64(s.Settings.MaxRows) }),
		gauge("queue_rows", "Rows waiting now.", func(s *batcher.Stats) float64 { return float64(s.QueueRows) }),
		gauge("queue_capacity_rows", "Most rows that may wait: queue_rows.", func(s *batcher.Stats) float64 { return float64(s.QueueCapacity) }),
		gauge("queue_high_rows", "Most rows that have waited at once.", func(s *batcher.Stats) float64 { return float64(s.QueueHigh) }),
		counterFloat("predicted_run_seconds_total", "Sum of the run times that the cost curve predicted.", func(s *batcher.Stats) float64 { return s.Predicted }),
		counterFloat("actual_run_seconds_total", "Sum of the measured times of the runs that were predicted.", func(s *batcher.Stats) float64 { return s.Actual }),
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
			"close": func(s *batcher.Stats) uint64 { return s.FlushClose },
		})...)
)

// runnerMetrics are exported for each pool of runners: the shared pool, and the pools that single models have.
var runnerMetrics = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*batcher.PoolStats) float64
}{
	{describePool("runners", "Runners of the pool: how many batches they can run at once."), prometheus.GaugeValue,
		func(s *batcher.PoolStats) float64 { return float64(s.Runners) }},
	{describePool("runners_idle", "Idle runners."), prometheus.GaugeValue,
		func(s *batcher.PoolStats) float64 { return float64(s.Idle) }},
	{describePool("busy_seconds_total", "Sum of the run times of all batches, including those that waiting callers ran."), prometheus.CounterValue,
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
	for _, m := range queueMetrics { // metrics that differ in their label share a description, which may be sent twice
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
