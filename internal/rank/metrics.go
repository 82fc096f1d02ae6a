package rank

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/metric"
	"gavel/internal/rank/explore"
	"gavel/internal/rank/score"
)

// endpoint is a path, as metrics name it.
type endpoint string

const (
	endpointRank  endpoint = "rank"
	endpointClick endpoint = "click"
	endpointSale  endpoint = "sale"
)

// outcome says how a request was answered.
type outcome string

const (
	outcomeOK         outcome = "ok"
	outcomePartial    outcome = "partial"     // not all campaigns were scored
	outcomeInvalid    outcome = "invalid"     // 400
	outcomeMethod     outcome = "method"      // 405
	outcomeForged     outcome = "forged"      // 403: a token that is not ours, or too old
	outcomeNoCampaign outcome = "no_campaign" // 503: none is active
	outcomeFailed     outcome = "failed"      // nothing could be scored, or a sale not stored
)

var (
	endpoints = []endpoint{endpointRank, endpointClick, endpointSale}
	outcomes  = []outcome{outcomeOK, outcomePartial, outcomeInvalid, outcomeMethod, outcomeForged, outcomeNoCampaign, outcomeFailed}
	partials  = []score.Partial{score.Deadline, score.Memory, score.Failed}
	policies  = append([]explore.Policy{explore.Uniform}, explore.Policies...)
)

// metrics are the counters of one server, looked up once.
type metrics struct {
	requests   map[endpoint]map[outcome]prometheus.Counter
	latency    map[endpoint]prometheus.Observer
	partial    map[score.Partial]prometheus.Counter
	choices    map[explore.Policy]prometheus.Counter
	scored     prometheus.Counter
	unstored   prometheus.Counter
	unreadable prometheus.Counter
	panics     prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, s *Server) (*metrics, error) {
	set := metric.New(registerer)
	m := &metrics{
		requests: map[endpoint]map[outcome]prometheus.Counter{},
		latency:  map[endpoint]prometheus.Observer{},
		partial:  map[score.Partial]prometheus.Counter{},
		choices:  map[explore.Policy]prometheus.Counter{},

		scored:     set.Counter("gavel_rank_scored_total", "Campaigns scored for rankings and clicks."),
		unstored:   set.Counter("gavel_rank_clicks_unstored_total", "Clicks that were redirected although their event could not be stored in time."),
		unreadable: set.Counter("gavel_rank_unreadable_total", "Requests whose HTTP could not be read, was too large or too slow."),
		panics:     set.Counter("gavel_rank_panics_total", "Panics recovered while answering."),
	}
	set.HTTP("gavel_rank", s.options.MaxConnections, s.http)
	requests := set.Counters("gavel_rank_requests_total", "Requests, by endpoint and outcome.", "endpoint", "outcome")
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gavel_rank_latency_seconds",
		Help:    "Time from the first byte of a request to its answer, by endpoint.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .2, .5, 1},
	}, []string{"endpoint"})
	set.Add(latency)
	for _, e := range endpoints {
		m.latency[e] = latency.WithLabelValues(string(e))
		m.requests[e] = map[outcome]prometheus.Counter{}
		for _, o := range outcomes {
			m.requests[e][o] = requests.WithLabelValues(string(e), string(o))
		}
	}
	partial := set.Counters("gavel_rank_partial_total", "Rankings and clicks for which not all campaigns were scored, by reason.", "reason")
	for _, p := range partials {
		m.partial[p] = partial.WithLabelValues(string(p))
	}
	choices := set.Counters("gavel_rank_choices_total", "Clicks, by the policy that chose their campaign; uniform: nothing was scored.", "policy")
	for _, p := range policies {
		m.choices[p] = choices.WithLabelValues(string(p))
	}
	if err := set.Register(); err != nil {
		return nil, fmt.Errorf("rank: cannot register metrics: %w", err)
	}
	return m, nil
}

// countPartial counts a partial answer. A reason that is not in partials counts as failed.
func (m *metrics) countPartial(p score.Partial) {
	c, ok := m.partial[p]
	if !ok {
		c = m.partial[score.Failed]
	}
	c.Inc()
}
