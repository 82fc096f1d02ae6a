package estimators

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/dirwatch"
	"gavel/internal/metric"
)

// metrics are a directory's.
type metrics struct {
	*metric.Set
	read       *prometheus.CounterVec
	removed    prometheus.Counter
	rescans    *prometheus.CounterVec
	unreadable prometheus.Gauge
}

func newMetrics(d *Directory, reg prometheus.Registerer) (*metrics, error) {
	set := metric.New(reg)
	x := &metrics{Set: set,
		read:       set.Counters("gavel_estimators_read_total", "Descriptions of estimators that were read, by result: loaded, unchanged, refused.", "result"),
		removed:    set.Counter("gavel_estimators_removed_total", "Descriptions that went."),
		rescans:    set.Counters("gavel_estimators_rescans_total", "Comparisons of the whole directory, by cause: start, timer, overflow of notifications.", "cause"),
		unreadable: set.Gauge("gavel_estimators_directory_unreadable", "1 while the directory cannot be read and what was read before serves on."),
	}
	set.ReadGauge("gavel_estimators_serving", "Campaigns whose estimator serves.", func() float64 { return float64(len(d.now.Load().entries)) })
	set.ReadGauge("gavel_estimators_refused", "Descriptions whose contents do not serve; what they held before may.",
		func() float64 { return float64(len(d.Faults())) })
	for _, result := range []string{"loaded", "unchanged", "refused"} {
		x.read.WithLabelValues(result)
	}
	for _, cause := range dirwatch.Causes {
		x.rescans.WithLabelValues(cause)
	}
	if err := set.Register(); err != nil {
		return nil, fmt.Errorf("estimators: cannot register metrics (is there another directory?): %w", err)
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
