package estimators

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/dirwatch"
)

// metrics are a directory's.
type metrics struct {
	read       *prometheus.CounterVec
	removed    prometheus.Counter
	rescans    *prometheus.CounterVec
	unreadable prometheus.Gauge

	registerer prometheus.Registerer // nil: not exported
	registered []prometheus.Collector
}

func newMetrics(d *Directory, reg prometheus.Registerer) (*metrics, error) {
	x := &metrics{registerer: reg,
		read: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gavel_estimators_read_total",
			Help: "Descriptions of estimators that were read, by result: loaded, unchanged, refused."}, []string{"result"}),
		removed: prometheus.NewCounter(prometheus.CounterOpts{Name: "gavel_estimators_removed_total", Help: "Descriptions that went."}),
		rescans: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gavel_estimators_rescans_total",
			Help: "Comparisons of the whole directory, by cause: start, timer, overflow of notifications."}, []string{"cause"}),
		unreadable: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gavel_estimators_directory_unreadable",
			Help: "1 while the directory cannot be read and what was read before serves on."}),
	}
	for _, result := range []string{"loaded", "unchanged", "refused"} {
		x.read.WithLabelValues(result)
	}
	for _, cause := range dirwatch.Causes {
		x.rescans.WithLabelValues(cause)
	}
	if reg == nil {
		return x, nil
	}
	for _, c := range []prometheus.Collector{x.read, x.removed, x.rescans, x.unreadable,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gavel_estimators_serving", Help: "Campaigns whose estimator serves."},
			func() float64 { return float64(len(d.now.Load().entries)) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gavel_estimators_refused",
			Help: "Descriptions whose contents do not serve; what they held before may."},
			func() float64 { return float64(len(d.Faults())) }),
	} {
		if err := reg.Register(c); err != nil {
			x.unregister()
			return nil, fmt.Errorf("estimators: cannot register metrics (is there another directory?): %w", err)
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
