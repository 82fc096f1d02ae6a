package predict

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// outcome says how a prediction was answered.
type outcome uint8

const (
	outcomeOK outcome = iota
	outcomeInvalid
	outcomeUnknown
	outcomeMethod
	outcomeTooLarge
	outcomeShed
	outcomeExpired
	outcomeUnavailable
	outcomeFailed
	outcomes
)

var outcomeNames = [outcomes]string{
	"ok", "invalid", "unknown", "method", "too_large", "shed", "expired", "unavailable", "failed",
}

var statuses = [outcomes]int{
	fasthttp.StatusOK, fasthttp.StatusBadRequest, fasthttp.StatusNotFound, fasthttp.StatusMethodNotAllowed,
	fasthttp.StatusRequestEntityTooLarge, fasthttp.StatusTooManyRequests, fasthttp.StatusGatewayTimeout,
	fasthttp.StatusServiceUnavailable, fasthttp.StatusInternalServerError,
}

// metrics are the counters of one server. Counters with labels are resolved once at the start.
type metrics struct {
	requests [outcomes]prometheus.Counter
	rows     prometheus.Counter
	panics   prometheus.Counter
	timedOut prometheus.Counter
	latency  prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer, s *Server) (*metrics, error) {
	var all []prometheus.Collector
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		all = append(all, c)
		return c
	}
	gauge := func(name, help string, read func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	m := &metrics{
		rows:     counter("gavel_predict_rows_total", "Rows that got a prediction."),
		panics:   counter("gavel_predict_panics_total", "Panics recovered while answering."),
		timedOut: counter("gavel_predict_connections_timed_out_total", "Connections closed because a request did not arrive whole within the read timeout."),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                            "gavel_predict_latency_seconds",
			Help:                            "Time from the first byte of a prediction request to its answer.",
			Buckets:                         []float64{.0005, .001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .15, .25, .5, 1},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: 3600e9,
		}),
	}
	gauge("gavel_predict_connections", "Open connections.", func() float64 { return float64(s.http.Connections()) })
	gauge("gavel_predict_connections_limit", "Connections that may be open at once.", func() float64 { return float64(s.options.MaxConnections) })
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gavel_predict_requests_total", Help: "Prediction requests, by outcome.",
	}, []string{"outcome"})
	for o, name := range outcomeNames {
		m.requests[o] = requests.WithLabelValues(name)
	}
	all = append(all, requests, m.latency, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gavel_predict_connections_limit_reached_total", Help: "Connections refused because the limit was reached.",
	}, func() float64 { return float64(s.http.Refused()) }))
	var faults []error
	for _, c := range all {
		if err := registerer.Register(c); err != nil {
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("predict: cannot register metrics: %w", err)
	}
	return m, nil
}
