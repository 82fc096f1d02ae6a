package publish

import (
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/metric"
)

// publisherMetrics holds the publisher's limits (capacity and current use), and counts of its events by outcome.
type publisherMetrics struct {
	*metric.Set
	events   *prometheus.CounterVec
	dropped  *prometheus.CounterVec
	acked    prometheus.Counter
	spilled  prometheus.Counter
	replayed prometheus.Counter
	damaged  prometheus.Counter
	up       prometheus.Gauge
	spill    prometheus.Gauge
	ack      prometheus.Histogram
}

func newPublisherMetrics(o Options, buf *buffer) (*publisherMetrics, error) {
	set := metric.New(o.Registerer)
	m := &publisherMetrics{
		Set:    set,
		events: set.Counters("gavel_events_total", "Events taken for the stream, by type.", "type"),
		dropped: set.Counters("gavel_events_dropped_total",
			"Events dropped because buffer and spill journal were full or the event too large. important: win, billing, click, conversion.", "important"),
		acked:    set.Counter("gavel_events_acked_total", "Events that the stream acknowledged at once."),
		spilled:  set.Counter("gavel_events_spilled_total", "Events written to the spill journal."),
		replayed: set.Counter("gavel_events_replayed_messages_total", "Messages sent from the spill journal."),
		damaged:  set.Counter("gavel_events_spill_damaged_bytes_total", "Bytes of the spill journal that were no records. They are kept in a file beside it."),
		up:       set.Gauge("gavel_events_stream_up", "1 if events go to the stream, 0 if to the spill journal."),
		spill:    set.Gauge("gavel_events_spill_bytes", "Bytes in the spill journal."),
		ack: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gavel_events_ack_seconds", Help: "From sending a group of messages to the last acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 2.5, 12),
		}),
	}
	capacity := set.Gauge("gavel_events_buffer_capacity_bytes", "Bound of events held in memory.")
	capacity.Set(float64(o.BufferBytes))
	spillCapacity := set.Gauge("gavel_events_spill_capacity_bytes", "Bound of the spill journal.")
	spillCapacity.Set(float64(o.SpillMaxBytes))
	set.ReadGauge("gavel_events_buffer_bytes", "Bytes of events held in memory.", func() float64 {
		_, bytes, _ := buf.state()
		return float64(bytes)
	})
	set.Add(m.ack)
	m.up.Set(1)
	if err := set.Register(); err != nil {
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
