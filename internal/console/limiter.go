package console

import (
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/limit"
)

var (
	limitDesc    = prometheus.NewDesc("gavel_openrtb_auctions_limit", "Auctions that may run at once now. In an overload, the limit is below the capacity.", nil, nil)
	capacityDesc = prometheus.NewDesc("gavel_openrtb_auctions_capacity", "Most auctions that may ever run at once: limits.auctions.", nil, nil)
)

// limiterCollector exports a limiter's statistics.
type limiterCollector struct{ limiter *limit.Limiter }

// NewLimiter returns the metrics of the limiter, which bounds how many auctions run at once.
func NewLimiter(limiter *limit.Limiter) prometheus.Collector { return limiterCollector{limiter} }

// Describe implements prometheus.Collector.
func (c limiterCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c limiterCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.limiter.Stats()
	ch <- prometheus.MustNewConstMetric(limitDesc, prometheus.GaugeValue, float64(s.Limit))
	ch <- prometheus.MustNewConstMetric(capacityDesc, prometheus.GaugeValue, float64(s.Most))
}
