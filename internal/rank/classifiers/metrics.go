package classifiers

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/metric"

	"gavel/internal/dirwatch"
)

// metrics are a monitor's.
type metrics struct {
	*metric.Set
	read       *prometheus.CounterVec
	removed    prometheus.Counter
	rescans    *prometheus.CounterVec
	unreadable prometheus.Gauge
}

func newMetrics(m *Monitor, reg prometheus.Registerer) (*metrics, error) {
	set := metric.New(reg)
	x := &metrics{
		Set: set,
		read: set.Counters("gavel_classifiers_read_total",
			"Classifier files read, by result: loaded, unchanged, refused, waiting for a prior, outranked by another file of the campaign.", "result"),
		removed: set.Counter("gavel_classifiers_removed_total", "Classifier files that went."),
		rescans: set.Counters("gavel_classifiers_rescans_total",
			"Comparisons of the whole directory, by cause: start, timer, overflow of notifications.", "cause"),
		unreadable: set.Gauge("gavel_classifiers_directory_unreadable",
			"1 while the directory cannot be read and what was read before serves on."),
	}
	for _, result := range []string{"loaded", "unchanged", "refused", "waiting", "outranked"} {
		x.read.WithLabelValues(result)
	}
	for _, cause := range dirwatch.Causes {
		x.rescans.WithLabelValues(cause)
	}
	state := func(state string, is func(*known) bool) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gavel_classifiers_files",
			Help:        "Classifier files, by state. A file that is refused or waits may serve what it held before: it counts twice.",
			ConstLabels: prometheus.Labels{"state": state}}, func() float64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			n := 0
			for _, k := range m.table.files {
				if is(k) {
					n++
				}
			}
			return float64(n)
		})
	}
	set.Add(
		state("serving", func(k *known) bool { return k.served != nil }),
		state("refused", func(k *known) bool { return k.fault != nil }),
		state("waiting", func(k *known) bool { return k.waits != 0 }),
		state("outranked", func(k *known) bool { return k.outranked }),
	)
	if err := set.Register(); err != nil {
		return nil, fmt.Errorf("classifiers: cannot register metrics (is there another monitor?): %w", err)
	}
	return x, nil
}

// rescanned counts a rescan, and says whether the directory can be read.
func (x *metrics) rescanned(cause string, readable bool) {
	x.rescans.WithLabelValues(cause).Inc()
	x.unreadable.Set(0)
	if !readable {
		x.unreadable.Set(1)
	}
}
