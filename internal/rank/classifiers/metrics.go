package classifiers

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/dirwatch"
)

// metrics are a monitor's.
type metrics struct {
	read       *prometheus.CounterVec
	removed    prometheus.Counter
	rescans    *prometheus.CounterVec
	unreadable prometheus.Gauge

	registerer prometheus.Registerer // nil: not exported
	registered []prometheus.Collector
}

func newMetrics(m *Monitor, reg prometheus.Registerer) (*metrics, error) {
	x := &metrics{registerer: reg,
		read: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gavel_classifiers_read_total",
			Help: "Classifier files read, by result: loaded, unchanged, refused, waiting for a prior, outranked by another file of the campaign."},
			[]string{"result"}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{Name: "gavel_classifiers_removed_total", Help: "Classifier files that went."}),
		rescans: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gavel_classifiers_rescans_total",
			Help: "Comparisons of the whole directory, by cause: start, timer, overflow of notifications."}, []string{"cause"}),
		unreadable: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gavel_classifiers_directory_unreadable",
			Help: "1 while the directory cannot be read and what was read before serves on."}),
	}
	for _, result := range []string{"loaded", "unchanged", "refused", "waiting", "outranked"} {
		x.read.WithLabelValues(result)
	}
	for _, cause := range dirwatch.Causes {
		x.rescans.WithLabelValues(cause)
	}
	if reg == nil {
		return x, nil
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
	for _, c := range []prometheus.Collector{x.read, x.removed, x.rescans, x.unreadable,
		state("serving", func(k *known) bool { return k.served != nil }),
		state("refused", func(k *known) bool { return k.fault != nil }),
		state("waiting", func(k *known) bool { return k.waits != 0 }),
		state("outranked", func(k *known) bool { return k.outranked }),
	} {
		if err := reg.Register(c); err != nil {
			x.unregister()
			return nil, fmt.Errorf("classifiers: cannot register metrics (is there another monitor?): %w", err)
		}
		x.registered = append(x.registered, c)
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

func (x *metrics) unregister() {
	for _, c := range x.registered {
		x.registerer.Unregister(c)
	}
	x.registered = nil
}
