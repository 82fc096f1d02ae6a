// Package metric makes the Prometheus metrics of one part of a process, and registers and unregisters them together.
package metric

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Set is the metrics of one part. Its methods must not be called concurrently; the metrics may be.
type Set struct {
	registerer prometheus.Registerer // nil: nothing is exported
	all        []prometheus.Collector
	registered []prometheus.Collector
}

// New returns an empty set. Where registerer is nil, the metrics count and are exported nowhere.
func New(registerer prometheus.Registerer) *Set { return &Set{registerer: registerer} }

// Counter adds a counter.
func (s *Set) Counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	s.Add(c)
	return c
}

// Counters adds a counter with labels.
func (s *Set) Counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	s.Add(c)
	return c
}

// Gauge adds a gauge that is set.
func (s *Set) Gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	s.Add(g)
	return g
}

// ReadGauge adds a gauge whose value is read when it is exported, from any goroutine.
func (s *Set) ReadGauge(name, help string, read func() float64) {
	s.Add(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// ReadCounter adds a counter whose value is read when it is exported, from any goroutine. It must never fall.
func (s *Set) ReadCounter(name, help string, read func() float64) {
	s.Add(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Latency adds a histogram of seconds, for answers that are due within a second.
func (s *Set) Latency(name, help string) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets:                         []float64{.0005, .001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .15, .25, .5, 1},
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: 3600e9,
	})
	s.Add(h)
	return h
}

// Server is what HTTP asks. Its methods may be called from any goroutine.
type Server interface {
	Connections() int       // open now
	Refused() uint64        // refused because the limit was reached
	UnderWay() int64        // bytes of requests that arrive or are handled
	Errors() map[int]uint64 // answers by status, from 400 on
}

// HTTP adds the metrics of a server, of which at most limit connections may be open. prefix begins their names.
func (s *Set) HTTP(prefix string, limit int, server Server) {
	s.ReadGauge(prefix+"_connections", "Open connections.", func() float64 { return float64(server.Connections()) })
	s.ReadGauge(prefix+"_connections_limit", "Connections that may be open at once.", func() float64 { return float64(limit) })
	s.ReadCounter(prefix+"_connections_limit_reached_total", "Connections refused because the limit was reached.",
		func() float64 { return float64(server.Refused()) })
	s.ReadGauge(prefix+"_under_way_bytes", "Bytes of requests that arrive or are handled, as the budget counts them.",
		func() float64 { return float64(server.UnderWay()) })
	s.Add(&httpErrors{server, prometheus.NewDesc(prefix+"_http_errors_total", "Answers by status, from 400 on.", []string{"status"}, nil)})
}

// httpErrors exports a server's errors.
type httpErrors struct {
	server Server
	desc   *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (e *httpErrors) Describe(ch chan<- *prometheus.Desc) { ch <- e.desc }

// Collect implements prometheus.Collector.
func (e *httpErrors) Collect(ch chan<- prometheus.Metric) {
	for status, n := range e.server.Errors() {
		ch <- prometheus.MustNewConstMetric(e.desc, prometheus.CounterValue, float64(n), strconv.Itoa(status))
	}
}

// Add adds metrics of any kind.
func (s *Set) Add(all ...prometheus.Collector) { s.all = append(s.all, all...) }

// Register registers the metrics. If some cannot be registered, the error names them all, and none stays registered.
func (s *Set) Register() error {
	if s.registerer == nil {
		return nil
	}
	var faults []error
	for _, c := range s.all {
		if err := s.registerer.Register(c); err != nil {
			faults = append(faults, err)
		} else {
			s.registered = append(s.registered, c)
		}
	}
	if len(faults) > 0 {
		s.Unregister()
	}
	return errors.Join(faults...)
}

// Unregister takes the metrics back, so that a part of the same name may register its own. It does nothing if they are not
// registered.
func (s *Set) Unregister() {
	for _, c := range s.registered {
		s.registerer.Unregister(c)
	}
	s.registered = nil
}
