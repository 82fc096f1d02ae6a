package openrtb

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
)

// outcome says how a bid request was answered.
type outcome string

const (
	outcomeBid         outcome = "bid"          // 200 with bids
	outcomeNoBid       outcome = "no_bid"       // 204, or 200 with nbr
	outcomeInvalid     outcome = "invalid"      // 400
	outcomeTooLarge    outcome = "too_large"    // 413
	outcomeMethod      outcome = "method"       // 405
	outcomeContentType outcome = "content_type" // 415
)

var outcomes = []outcome{outcomeBid, outcomeNoBid, outcomeInvalid, outcomeTooLarge, outcomeMethod, outcomeContentType}

var reasons = []auction.NoBidReason{
	auction.NoBidInvalid, auction.NoBidNoCampaign, auction.NoBidBlocked, auction.NoBidFormat, auction.NoBidCurrency,
	auction.NoBidFloor, auction.NoBidBudget, auction.NoBidPacing, auction.NoBidNoModel, auction.NoBidShed,
	auction.NoBidExpired, auction.NoBidRow, auction.NoBidPrivacy, auction.NoBidInternal, auction.NoBidDraining,
}

// noticeOutcomes are the ways in which notices are answered.
var noticeOutcomes = []string{"ok", "forged", "unknown", "malformed", "failed", "panic"}

// metrics are the counters of one server. Counters with labels are looked up once at the start, so that counting costs
// one atomic addition.
type metrics struct {
	requests  map[outcome]prometheus.Counter
	noBids    map[auction.NoBidReason]prometheus.Counter
	withdrawn map[auction.NoBidReason]prometheus.Counter
	notices   map[NoticeKind]map[string]prometheus.Counter
	bids      prometheus.Counter
	coerced   prometheus.Counter
	overruns  prometheus.Counter
	panics    prometheus.Counter
	received  prometheus.Counter
	sent      prometheus.Counter
	latency   prometheus.Histogram
	inFlight  prometheus.Gauge
	refused   prometheus.Counter
	timedOut  prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, s *Server) (*metrics, error) {
	var all []prometheus.Collector
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		all = append(all, c)
		return c
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		all = append(all, c)
		return c
	}
	gauge := func(name, help string, read func() float64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	m := &metrics{
		bids:     counter("gavel_openrtb_bids_total", "Bids sent."),
		coerced:  counter("gavel_openrtb_coerced_total", "Requests with values of other JSON types than OpenRTB specifies, which were converted."),
		overruns: counter("gavel_openrtb_overruns_total", "Auctions that ended after their deadline, whether their answer was sent or not."),
		panics:   counter("gavel_openrtb_panics_total", "Panics recovered while answering."),
		received: counter("gavel_openrtb_received_bytes_total", "Bytes of bid request bodies, compressed if the exchange compressed them."),
		sent:     counter("gavel_openrtb_sent_bytes_total", "Bytes of bid response bodies, compressed if the bidder compressed them."),
		refused:  counter("gavel_openrtb_auctions_limit_reached_total", "Auctions refused because the limit was reached."),
		timedOut: counter("gavel_openrtb_connections_timed_out_total", "Connections closed because a request did not arrive whole within the read timeout."),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                            "gavel_openrtb_latency_seconds",
			Help:                            "Time from the first byte of a bid request to its answer.",
			Buckets:                         []float64{.0005, .001, .002, .003, .005, .0075, .01, .015, .02, .03, .05, .075, .1, .15, .25, .5, 1},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: 3600e9,
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gavel_openrtb_auctions_in_flight", Help: "Auctions that are running.",
		}),
		requests:  map[outcome]prometheus.Counter{},
		noBids:    map[auction.NoBidReason]prometheus.Counter{},
		withdrawn: map[auction.NoBidReason]prometheus.Counter{},
		notices:   map[NoticeKind]map[string]prometheus.Counter{},
	}
	all = append(all, m.latency, m.inFlight)
	gauge("gavel_openrtb_connections", "Open connections.", func() float64 { return float64(s.http.Connections()) })
	gauge("gavel_openrtb_connections_limit", "Connections that may be open at once.", func() float64 { return float64(s.options.MaxConnections) })
	all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gavel_openrtb_connections_limit_reached_total", Help: "Connections refused because the limit was reached.",
	}, func() float64 { return float64(s.http.Refused()) }))

	requests := vector("gavel_openrtb_requests_total", "Bid requests, by outcome.", "outcome")
	for _, o := range outcomes {
		m.requests[o] = requests.WithLabelValues(string(o))
	}
	noBids := vector("gavel_openrtb_no_bids_total", "No-bids by reason.", "reason")
	withdrawn := vector("gavel_openrtb_withdrawn_total", "Bids that were made but not sent, by reason.", "reason")
	for _, r := range reasons {
		m.noBids[r] = noBids.WithLabelValues(string(r))
		m.withdrawn[r] = withdrawn.WithLabelValues(string(r))
	}
	notices := vector("gavel_openrtb_notices_total", "Notices, by kind and outcome.", "kind", "outcome")
	for _, k := range noticeKinds {
		m.notices[k] = map[string]prometheus.Counter{}
		for _, o := range noticeOutcomes {
			m.notices[k][o] = notices.WithLabelValues(string(k), o)
		}
	}
	var faults []error
	for _, c := range all {
		if err := registerer.Register(c); err != nil {
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("openrtb: cannot register metrics: %w", err)
	}
	return m, nil
}

// noBid counts a no-bid. A reason that is not in reasons counts as internal.
func (m *metrics) noBid(reason auction.NoBidReason) {
	m.requests[outcomeNoBid].Inc()
	c, ok := m.noBids[reason]
	if !ok {
		c = m.noBids[auction.NoBidInternal]
	}
	c.Inc()
}
