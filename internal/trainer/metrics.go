package trainer

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/events/join"
)

// Metrics holds the trainer's metrics. Each has the label model.
type Metrics struct {
	examples    *prometheus.CounterVec // model, label
	joins       *prometheus.CounterVec // model, outcome
	pending     *prometheus.GaugeVec
	frames      *prometheus.CounterVec // model, kind
	rows        *prometheus.GaugeVec
	restarts    *prometheus.CounterVec
	up          *prometheus.GaugeVec
	sequence    *prometheus.GaugeVec
	lagMessages *prometheus.GaugeVec
	lagSeconds  *prometheus.GaugeVec
	lost        *prometheus.CounterVec
	version     *prometheus.GaugeVec
	published   *prometheus.GaugeVec
	pinned      *prometheus.GaugeVec
	exports     *prometheus.CounterVec // model, result
	window      *prometheus.GaugeVec   // model, metric
	archive     *prometheus.CounterVec

	servedExamples, servedLabels, servedProbability *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "gavel", Subsystem: "trainer", Name: name, Help: help},
			append([]string{"model"}, labels...))
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "gavel", Subsystem: "trainer", Name: name, Help: help},
			append([]string{"model"}, labels...))
		reg.MustRegister(g)
		return g
	}
	return &Metrics{
		examples:    counter("examples_total", "Examples sent to the child, by label. An example that is sent again after a restart counts again.", "label"),
		joins:       counter("joins_total", "What became of events in the join.", "outcome"),
		pending:     gauge("join_pending", "Bids and anchors that wait in the join."),
		frames:      counter("frames_total", "Frames written to the child.", "kind"),
		rows:        gauge("learnt_rows", "Examples learnt in all, as reported by the child."),
		restarts:    counter("child_restarts_total", "Times the child was started again."),
		up:          gauge("child_up", "1 while the child runs and has said hello."),
		sequence:    gauge("stream_sequence", "Sequence number of the last message that was joined."),
		lagMessages: gauge("lag_messages", "Messages in the stream that were not joined yet."),
		lagSeconds:  gauge("lag_seconds", "Age of the last joined message at the time it was joined."),
		lost:        counter("lost_messages_total", "Messages that left the stream before they were joined."),
		version:     gauge("version", "Last version put into the store."),
		published:   gauge("published_timestamp_seconds", "When the last version was put into the store, Unix time."),
		pinned:      gauge("pinned", "1 if the pointer was pinned at the last export: versions are put into the store and not promoted."),
		exports:     counter("exports_total", "Exports, by result: published, placed (the pointer is pinned) or refused.", "result"),
		window:      gauge("window", "Progressive validation: metrics of the child's last window.", "metric"),
		archive:     counter("archive_errors_total", "Times the archive could not be written."),

		servedExamples:    counter("served_examples_total", "Examples whose bid had a prediction of a model version. With an archive, each counts once."),
		servedLabels:      counter("served_labels_total", "Of those, with label 1."),
		servedProbability: counter("served_probability_total", "Sum of the probabilities predicted for them. Divided by the labels, it is the calibration."),
	}
}

// joined adds the difference between the joiner's statistics before and now.
func (m *Metrics) joined(model string, before, now join.Stats) {
	add := func(outcome string, before, now uint64) {
		if now > before {
			m.joins.WithLabelValues(model, outcome).Add(float64(now - before))
		}
	}
	add("example", before.Examples, now.Examples)
	add("suppressed", before.Suppressed, now.Suppressed)
	add("duplicate", before.Duplicates, now.Duplicates)
	add("late", before.Late, now.Late)
	add("unbid", before.Unbid, now.Unbid)
	add("unmatched", before.Unmatched, now.Unmatched)
	add("refused", before.Refused, now.Refused)
	add("damaged", before.Damaged, now.Damaged)
	add("foreign", before.Foreign, now.Foreign)
	add("ahead", before.Ahead, now.Ahead)
	m.pending.WithLabelValues(model).Set(float64(now.Pending))
}

func (m *Metrics) example(model string, label float32) {
	m.examples.WithLabelValues(model, strconv.Itoa(int(label))).Inc()
}

func (m *Metrics) served(model string, label, probability float32) {
	m.servedExamples.WithLabelValues(model).Inc()
	m.servedLabels.WithLabelValues(model).Add(float64(label))
	m.servedProbability.WithLabelValues(model).Add(max(0, float64(probability)))
}

// windowMetrics are the metrics of an answer that are exported.
var windowMetrics = [...]string{"rows", "log_loss", "normalized_entropy", "auc", "calibration", "base_rate"}

func (m *Metrics) progress(model string, a *Answer) {
	m.rows.WithLabelValues(model).Set(float64(a.Rows))
	for _, name := range windowMetrics {
		if v, ok := a.metric(name); ok {
			m.window.WithLabelValues(model, name).Set(v)
		}
	}
}
