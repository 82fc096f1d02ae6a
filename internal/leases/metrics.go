package leases

import (
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/metric"
)

type metrics struct {
	*metric.Set
	up, granted, left                     prometheus.Gauge
	failures, conflicts, short, reclaimed prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	set := metric.New(reg)
	m := &metrics{
		Set:       set,
		up:        set.Gauge("gavel_leases_up", "1 if budget leases are renewed, 0 if bidding goes on with present leases."),
		granted:   set.Gauge("gavel_leases_granted_micros", "Money leased to this bidder today over all campaigns, spent or not."),
		left:      set.Gauge("gavel_leases_left_micros", "Money leased to this bidder today that is neither spent nor reserved."),
		failures:  set.Counter("gavel_leases_failures_total", "Rounds of renewal that failed."),
		conflicts: set.Counter("gavel_leases_conflicts_total", "Writes repeated because another bidder was first."),
		short:     set.Counter("gavel_leases_short_total", "Leases that got less than asked, because the budget is nearly used up."),
		reclaimed: set.Counter("gavel_leases_reclaimed_micros_total", "Money returned from dead bidders."),
	}
	if err := set.Register(); err != nil {
		return nil, err
	}
	return m, nil
}
