package predict

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"gavel/internal/metric"
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
	set := metric.New(registerer)
	m := &metrics{
		rows:     set.Counter("gavel_predict_rows_total", "Rows that got a prediction."),
		panics:   set.Counter("gavel_predict_panics_total", "Panics recovered while answering."),
		timedOut: set.Counter("gavel_predict_connections_timed_out_total", "Connections closed because a request did not arrive whole within the read timeout."),
		latency:  set.Latency("gavel_predict_latency_seconds", "Time from the first byte of a prediction request to its answer."),
	}
	set.HTTP("gavel_predict", s.options.MaxConnections, s.http)
	requests := set.Counters("gavel_predict_requests_total", "Prediction requests, by outcome.", "outcome")
	for o, name := range outcomeNames {
		m.requests[o] = requests.WithLabelValues(name)
	}
	if err := set.Register(); err != nil {
		return nil, fmt.Errorf("predict: cannot register metrics: %w", err)
	}
	return m, nil
}
