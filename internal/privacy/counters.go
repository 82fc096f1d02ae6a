package privacy

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/metric"
)

// signal is a kind of signal, as metrics name them.
type signal int

const (
	signalGDPR      signal = iota // the GDPR applies, or is presumed to
	signalStoring                 // it applies, and the user allows the bid: whether identifiers may be stored
	signalUSPrivacy               // us_privacy
	signalGPP                     // sections of the United States, or a GPP string that cannot be read
	signalGPC
	signalLMT
	signalDNT
	signalCOPPA
	signals
)

var signalNames = [signals]string{"gdpr", "storing", "us_privacy", "gpp", "gpc", "lmt", "dnt", "coppa"}

// effect is what a signal did.
type effect int

const (
	effectAllowed    effect = iota // consent was given, or the user did not opt out
	effectIgnored                  // the rules ignore it
	effectContextual               // identifiers and profile were erased
	effectNoBid
	effects
)

var effectNames = [effects]string{"allowed", "ignored", "contextual", "no_bid"}

// counters are the metrics. A lookup costs an index.
type counters struct {
	signals    [signals][effects]prometheus.Counter
	unreadable [signals]prometheus.Counter // those of strings alone
	requests   [effects]prometheus.Counter // all but effectIgnored
}

func newCounters(registerer prometheus.Registerer) (*counters, error) {
	set := metric.New(registerer)
	c := &counters{}
	bySignal := set.Counters("gavel_privacy_signals_total", "Privacy signals of requests, by what they did.", "signal", "action")
	for s := range signals {
		for e := range effects {
			c.signals[s][e] = bySignal.WithLabelValues(signalNames[s], effectNames[e])
		}
	}
	unreadable := set.Counters("gavel_privacy_unreadable_total", "Consent strings that could not be read, and so gave no consent.", "signal")
	for _, s := range []signal{signalGDPR, signalUSPrivacy, signalGPP} {
		c.unreadable[s] = unreadable.WithLabelValues(signalNames[s])
	}
	requests := set.Counters("gavel_privacy_requests_total", "Requests, by what the law made of them.", "action")
	for _, e := range []effect{effectAllowed, effectContextual, effectNoBid} {
		c.requests[e] = requests.WithLabelValues(effectNames[e])
	}
	if err := set.Register(); err != nil {
		return nil, fmt.Errorf("privacy: cannot register metrics: %w", err)
	}
	return c, nil
}

func (c *counters) count(v *Verdict) {
	switch {
	case v.Refused:
		c.requests[effectNoBid].Inc()
	case v.Contextual:
		c.requests[effectContextual].Inc()
	default:
		c.requests[effectAllowed].Inc()
	}
}
