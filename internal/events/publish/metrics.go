package publish

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// publisherMetrics holds the publisher's limits (capacity and current use), and counts of its events by outcome.
type publisherMetrics struct {
	events   *prometheus.CounterVec
	dropped  *prometheus.CounterVec
	acked    prometheus.Counter
	spilled  prometheus.Counter
	replayed prometheus.Counter
	up       prometheus.Gauge
	spill    prometheus.Gauge
	ack      prometheus.Histogram

	reg prometheus.Registerer
	all []prometheus.Collector
}

func newPublisherMetrics(o Options, buf *buffer) (*publisherMetrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &publisherMetrics{
		reg: o.Registerer,
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gavel_events_total", Help: "Events taken for the stream, by type.",
		}, []string{"type"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gavel_events_dropped_total",
			Help: "Events dropped because buffer and spill journal were full or the event too large. important: win, billing, click, conversion.",
		}, []string{"important"}),
		acked:    counter("gavel_events_acked_total", "Events that the stream acknowledged at once."),
		spilled:  counter("gavel_events_spilled_total", "Events written to the spill journal."),
		replayed: counter("gavel_events_replayed_messages_total", "Messages sent from the spill journal."),
		up:       gauge("gavel_events_stream_up", "1 if events go to the stream, 0 if to the spill journal."),
		spill:    gauge("gavel_events_spill_bytes", "Bytes in the spill journal."),
		ack: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gavel_events_ack_seconds", Help: "From sending a group of messages to the last acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 2.5, 12),
		}),
	}
	capacity := gauge("gavel_events_buffer_capacity_bytes", "Bound of events held in memory.")
	capacity.Set(float64(o.BufferBytes))
	spillCapacity := gauge("gavel_events_spill_capacity_bytes", "Bound of the spill journal.")
	spillCapacity.Set(float64(o.SpillMaxBytes))
	current := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gavel_events_buffer_bytes", Help: "Bytes of events held in memory.",
	}, func() float64 {
		_, bytes, _ := buf.state()
		return float64(bytes)
	})
	m.up.Set(1)
	m.all = []prometheus.Collector{m.events, m.dropped, m.acked, m.spilled, m.replayed, m.up, m.spill, m.ack, capacity, spillCapacity, current}
	var errs []error
	for _, c := range m.all {
		errs = append(errs, m.reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		m.unregister()
		return nil, err
	}
	return m, nil
}

func (m *publisherMetrics) drop(important bool, n int) {
	label := "no"
	if important {
		label = "yes"
	}
	m.dropped.WithLabelValues(label).Add(float64(n))
}

func (m *publisherMetrics) journal(j *journal) { m.spill.Set(float64(j.size)) }

func (m *publisherMetrics) unregister() {
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}
