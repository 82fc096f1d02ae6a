package plans

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/metric"
)

// metrics are a follower's.
type metrics struct {
	*metric.Set
	read    *prometheus.CounterVec
	removed prometheus.Counter
}

func newMetrics(f *Follower, reg prometheus.Registerer) (*metrics, error) {
	set := metric.New(reg)
	x := &metrics{Set: set,
		read:    set.Counters("gavel_plans_read_total", "Versions of plans that were read for rankings, by result: loaded, refused.", "result"),
		removed: set.Counter("gavel_plans_removed_total", "Campaigns whose plan went."),
	}
	for _, result := range []string{"loaded", "refused"} {
		x.read.WithLabelValues(result)
	}
	set.ReadGauge("gavel_plans_serving", "Campaigns whose plan serves rankings.", func() float64 { return float64(len(f.Serving())) })
	set.ReadGauge("gavel_plans_refused", "Campaigns whose version does not serve; the one before may.", func() float64 { return float64(len(f.Refused())) })
	if err := set.Register(); err != nil {
		return nil, fmt.Errorf("plans: cannot register metrics: %w", err)
	}
	return x, nil
}
