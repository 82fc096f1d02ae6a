package leases

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	up, granted, left                     prometheus.Gauge
	failures, conflicts, short, reclaimed prometheus.Counter

	reg prometheus.Registerer
	all []prometheus.Collector
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		reg:       reg,
		up:        gauge("gavel_leases_up", "1 if budget leases are renewed, 0 if bidding goes on with present leases."),
		granted:   gauge("gavel_leases_granted_micros", "Money leased to this bidder today over all campaigns, spent or not."),
		left:      gauge("gavel_leases_left_micros", "Money leased to this bidder today that is neither spent nor reserved."),
		failures:  counter("gavel_leases_failures_total", "Rounds of renewal that failed."),
		conflicts: counter("gavel_leases_conflicts_total", "Writes repeated because another bidder was first."),
		short:     counter("gavel_leases_short_total", "Leases that got less than asked, because the budget is nearly used up."),
		reclaimed: counter("gavel_leases_reclaimed_micros_total", "Money returned from dead bidders."),
	}
	m.all = []prometheus.Collector{m.up, m.granted, m.left, m.failures, m.conflicts, m.short, m.reclaimed}
	var errs []error
	for _, c := range m.all {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		m.unregister()
		return nil, err
	}
	return m, nil
}

func (m *metrics) unregister() {
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}
