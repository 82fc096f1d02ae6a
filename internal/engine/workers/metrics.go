package workers

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metric is one number of a snapshot.
type metric struct {
	name, help string
	of         func(*Stats) float64
}

// counts are the metrics that only rise.
var counts = []metric{
	{"tasks_total", "Tasks that were scored.", func(s *Stats) float64 { return float64(s.Tasks) }},
	{"batches_total", "Batches of tasks that workers answered.", func(s *Stats) float64 { return float64(s.Batches) }},
	{"stolen_total", "Tasks that another worker than their classifier's home scored.", func(s *Stats) float64 { return float64(s.Stolen) }},
	{"missed_total", "Tasks whose classifier was not in memory.", func(s *Stats) float64 { return float64(s.Missed) }},
	{"failed_total", "Tasks whose estimator raised, or whose worker died twice.", func(s *Stats) float64 { return float64(s.Failed) }},
	{"retried_total", "Tasks that were sent again because their worker died.", func(s *Stats) float64 { return float64(s.Retried) }},
	{"deaths_total", "Worker processes that ended unasked.", func(s *Stats) float64 { return float64(s.Deaths) }},
	{"loads_total", "Classifiers that workers loaded.", func(s *Stats) float64 { return float64(s.Loads) }},
	{"evicted_total", "Copies of classifiers that had to go for others.", func(s *Stats) float64 { return float64(s.Evicted) }},
	{"late_total", "Requests that ended before all their tasks.", func(s *Stats) float64 { return float64(s.Late) }},
	{"queue_limit_reached_total", "Requests that were refused because too many tasks waited.", func(s *Stats) float64 { return float64(s.Full) }},
	{"lock_wait_seconds_total", "Time that goroutines waited for the pool's locks.", func(s *Stats) float64 { return s.LockWait.Seconds() }},
}

// levels are the metrics that rise and fall.
var levels = []metric{
	{"up", "Worker processes that take tasks.", func(s *Stats) float64 { return float64(s.Up) }},
	{"queue", "Tasks that wait.", func(s *Stats) float64 { return float64(s.Waiting) }},
	{"classifiers", "Classifiers that were prepared.", func(s *Stats) float64 { return float64(s.Prepared) }},
	{"memory_bytes", "Prepared files of all copies that workers hold.", func(s *Stats) float64 { return float64(s.Bytes) }},
	{"memory_limit_bytes", "What they may have.", func(s *Stats) float64 { return float64(s.Limit) }},
}

const namespace = "gavel_workers_"

// collector exports a pool's Stats as metrics.
type collector struct {
	pool         *Pool
	descriptions []*prometheus.Desc // of counts, then levels
	busy         *prometheus.Desc
}

// Metrics returns the pool's metrics, to be registered.
func (p *Pool) Metrics() prometheus.Collector {
	c := &collector{pool: p, busy: prometheus.NewDesc(namespace+"busy_seconds_total",
		"Time from a batch's frame to its answer, by worker.", []string{"worker"}, nil)}
	for _, m := range append(counts, levels...) {
		c.descriptions = append(c.descriptions, prometheus.NewDesc(namespace+m.name, m.help, nil, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descriptions {
		to <- d
	}
	to <- c.busy
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	s := c.pool.Stats()
	for i, m := range counts {
		to <- prometheus.MustNewConstMetric(c.descriptions[i], prometheus.CounterValue, m.of(&s))
	}
	for i, m := range levels {
		to <- prometheus.MustNewConstMetric(c.descriptions[len(counts)+i], prometheus.GaugeValue, m.of(&s))
	}
	for w, one := range s.ByWorker {
		to <- prometheus.MustNewConstMetric(c.busy, prometheus.CounterValue, float64(one.BusyUS)/1e6, strconv.Itoa(w))
	}
}
