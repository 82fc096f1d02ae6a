package openrtb

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/metric"
)

// outcome says how a bid request was answered.
type outcome string

const (
	outcomeBid         outcome = "bid"          // 200 with bids
	outcomeNoBid       outcome = "no_bid"       // 204, or 200 with nbr
	outcomeInvalid     outcome = "invalid"      // 400
	outcomeStranger    outcome = "stranger"     // 403
	outcomeTooLarge    outcome = "too_large"    // 413
	outcomeMethod      outcome = "method"       // 405
	outcomeContentType outcome = "content_type" // 415
)

var outcomes = []outcome{outcomeBid, outcomeNoBid, outcomeInvalid, outcomeStranger, outcomeTooLarge, outcomeMethod, outcomeContentType}

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
	requests   map[outcome]prometheus.Counter
	noBids     map[auction.NoBidReason]prometheus.Counter
	withdrawn  map[auction.NoBidReason]prometheus.Counter
	notices    map[NoticeKind]map[string]prometheus.Counter
	bids       prometheus.Counter
	coerced    prometheus.Counter
	unreadable prometheus.Counter
	overruns   prometheus.Counter
	panics     prometheus.Counter
	received   prometheus.Counter
	sent       prometheus.Counter
	latency    prometheus.Histogram
	inFlight   prometheus.Gauge
	refused    prometheus.Counter
	timedOut   prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, s *Server) (*metrics, error) {
	set := metric.New(registerer)
	m := &metrics{
		bids:       set.Counter("gavel_openrtb_bids_total", "Bids sent."),
		coerced:    set.Counter("gavel_openrtb_coerced_total", "Requests with values of other JSON types than OpenRTB specifies, which were converted."),
		unreadable: set.Counter("gavel_openrtb_unreadable_total", "Floors and quantities that could not be read. Their impressions and deals got no bid."),
		overruns:   set.Counter("gavel_openrtb_overruns_total", "Auctions that ended after their deadline, whether their answer was sent or not."),
		panics:     set.Counter("gavel_openrtb_panics_total", "Panics recovered while answering."),
		received:   set.Counter("gavel_openrtb_received_bytes_total", "Bytes of bid request bodies, compressed if the exchange compressed them."),
		sent:       set.Counter("gavel_openrtb_sent_bytes_total", "Bytes of bid response bodies, compressed if the bidder compressed them."),
		refused:    set.Counter("gavel_openrtb_auctions_limit_reached_total", "Auctions refused because the limit was reached."),
		timedOut:   set.Counter("gavel_openrtb_connections_timed_out_total", "Connections closed because a request did not arrive whole within the read timeout."),
		latency:    set.Latency("gavel_openrtb_latency_seconds", "Time from the first byte of a bid request to its answer."),
		inFlight:   set.Gauge("gavel_openrtb_auctions_in_flight", "Auctions that are running."),
		requests:   map[outcome]prometheus.Counter{},
		noBids:     map[auction.NoBidReason]prometheus.Counter{},
		withdrawn:  map[auction.NoBidReason]prometheus.Counter{},
		notices:    map[NoticeKind]map[string]prometheus.Counter{},
	}
	set.HTTP("gavel_openrtb", s.options.MaxConnections, s.http)
	set.HTTP("gavel_notices", s.options.MaxConnections, s.notices)
	requests := set.Counters("gavel_openrtb_requests_total", "Bid requests, by outcome.", "outcome")
	for _, o := range outcomes {
		m.requests[o] = requests.WithLabelValues(string(o))
	}
	noBids := set.Counters("gavel_openrtb_no_bids_total", "No-bids by reason.", "reason")
	withdrawn := set.Counters("gavel_openrtb_withdrawn_total", "Bids that were made but not sent, by reason.", "reason")
	for _, r := range reasons {
		m.noBids[r] = noBids.WithLabelValues(string(r))
		m.withdrawn[r] = withdrawn.WithLabelValues(string(r))
	}
	notices := set.Counters("gavel_openrtb_notices_total", "Notices, by kind and outcome.", "kind", "outcome")
	for _, k := range noticeKinds {
		m.notices[k] = map[string]prometheus.Counter{}
		for _, o := range noticeOutcomes {
			m.notices[k][o] = notices.WithLabelValues(string(k), o)
		}
	}
	if err := set.Register(); err != nil {
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
