package consumer

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/events"
)

// Metrics holds a consumer's metrics.
type Metrics struct {
	examples          *prometheus.CounterVec // label
	events            *prometheus.CounterVec // reason
	pending, sequence prometheus.Gauge
	lag               prometheus.Gauge
	lost, failures    prometheus.Counter
	before            Stats // what the counters have
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "gavel", Subsystem: "rank_consumer", Name: name, Help: help}
	}
	m := &Metrics{
		examples: prometheus.NewCounterVec(prometheus.CounterOpts(opts("examples_total", "Examples made, by label.")), []string{"label"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts(opts("dropped_events_total",
			"Events that made no example, by reason: duplicate, late, unranked, refused, damaged.")), []string{"reason"}),
		pending:  prometheus.NewGauge(prometheus.GaugeOpts(opts("pending_clicks", "Clicks that wait for their window to end."))),
		sequence: prometheus.NewGauge(prometheus.GaugeOpts(opts("stream_sequence", "Sequence number of the last message read."))),
		lag:      prometheus.NewGauge(prometheus.GaugeOpts(opts("lag_seconds", "Age of the watermark when the last message was read."))),
		lost:     prometheus.NewCounter(prometheus.CounterOpts(opts("lost_messages_total", "Messages that left the stream before they were read."))),
		failures: prometheus.NewCounter(prometheus.CounterOpts(opts("failed_flushes_total", "Flushes that failed and were tried again."))),
	}
	reg.MustRegister(m.examples, m.events, m.pending, m.sequence, m.lag, m.lost, m.failures)
	return m
}

// seen brings the metrics up to date after a message.
func (m *Metrics) seen(j *Joiner, message *events.Message) {
	now, before := j.Stats(), m.before
	m.examples.WithLabelValues("1").Add(float64(now.Positives - before.Positives))
	m.examples.WithLabelValues("0").Add(float64(now.Examples - now.Positives - before.Examples + before.Positives))
	for reason, n := range map[string]uint64{
		"duplicate": now.Duplicates - before.Duplicates, "late": now.Late - before.Late, "unranked": now.Unranked - before.Unranked,
		"refused": now.Refused - before.Refused, "damaged": now.Damaged - before.Damaged,
	} {
		m.events.WithLabelValues(reason).Add(float64(n))
	}
	m.before = now
	m.pending.Set(float64(now.Pending))
	m.sequence.Set(float64(message.At.Seq()))
	m.lag.Set(time.Since(time.UnixMilli(j.Watermark())).Seconds())
	m.lost.Add(float64(message.Lost))
}
