package privacy

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
)

// Law applies an operator's rules to requests. It is safe for concurrent use, and allocates nothing.
type Law struct {
	vendor           int
	bidding, storing basis
	unknown          Unknown
	countries        [26 * 26]bool
	actions          [signals]Action // that a signal has if it counts
	detail           bool
	counters         *counters
}

// New compiles rules. registerer gets the metrics; nil exports none. The error joins every fault of the rules.
func New(rules Rules, registerer prometheus.Registerer) (*Law, error) {
	if faults := rules.Faults("privacy"); len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	l := &Law{
		vendor: rules.Vendor, bidding: rules.GDPR.Bidding.basis(), storing: rules.GDPR.Storing.basis(),
		unknown: rules.GDPR.Unknown, detail: rules.DeviceDetail,
		actions: [signals]Action{
			signalGDPR: rules.GDPR.Without, signalStoring: Contextual, signalUSPrivacy: rules.OptOut, signalGPP: rules.OptOut,
			signalGPC: rules.GPC, signalLMT: rules.LMT, signalDNT: rules.DNT, signalCOPPA: rules.COPPA,
		},
	}
	for _, c := range rules.GDPR.Countries {
		l.countries[countryBit(c)] = true
	}
	var err error
	l.counters, err = newCounters(registerer)
	return l, err
}

// Verdict is what the law makes of a request's signals.
type Verdict struct {
	Refused    bool // no bid
	Contextual bool // identifiers and profile are erased
	Unstored   bool // they may be used, but not stored
	GDPR       bool // the GDPR applies
	Children   bool // the request is directed at a child, or the user is known to be one
}

// Judge returns the verdict on signals of a user in country (ISO 3166-1 alpha-2; "" if it is not known), and counts what each
// signal did.
func (l *Law) Judge(s *auction.Signals, country string) Verdict {
	var v Verdict
	var p platform
	if s.GPP != "" || len(s.Sections) > 0 {
		p = readGPP(s.GPP, s.Sections)
	}
	l.gdpr(&v, s, &p, country)
	if s.USPrivacy != "" {
		switch readUSPrivacy(s.USPrivacy) {
		case usAllowed:
			l.pass(signalUSPrivacy)
		case usOptedOut:
			l.act(&v, signalUSPrivacy)
		case usUnreadable:
			l.counters.unreadable[signalUSPrivacy].Inc()
			l.act(&v, signalUSPrivacy)
		}
	}
	if p.unreadable {
		l.counters.unreadable[signalGPP].Inc()
	}
	if p.unreadable || p.optedOut {
		l.act(&v, signalGPP)
	} else if p.states {
		l.pass(signalGPP)
	}
	if s.GPC || p.gpc {
		l.act(&v, signalGPC)
	}
	if s.LimitAds {
		l.act(&v, signalLMT)
	}
	if s.DoNotTrack {
		l.act(&v, signalDNT)
	}
	v.Children = s.COPPA || p.child
	if s.COPPA || p.childRefused {
		l.act(&v, signalCOPPA)
	}
	v.Unstored = v.Unstored && !v.Contextual
	l.counters.count(&v)
	return v
}

// gdpr judges by the GDPR, if it applies.
func (l *Law) gdpr(v *Verdict, s *auction.Signals, p *platform, country string) {
	consent := s.Consent
	if consent == "" {
		consent = p.tc
	}
	v.GDPR = s.GDPR == auction.Yes || p.tcApplies || s.GDPR == auction.Unanswered && (consent != "" || l.presumed(country))
	if !v.GDPR {
		return
	}
	tc, ok := tcString{}, false
	if consent != "" {
		if tc, ok = readTC(consent, l.vendor); !ok {
			l.counters.unreadable[signalGDPR].Inc()
		}
	}
	other := tc // the string of GPP's section, if both are there and it applies
	if ok && p.tcApplies && p.tc != "" && p.tc != consent {
		if other, ok = readTC(p.tc, l.vendor); !ok {
			l.counters.unreadable[signalGDPR].Inc()
		}
	}
	if l.vendor == 0 || !ok || !tc.grants(&l.bidding) || !other.grants(&l.bidding) {
		l.act(v, signalGDPR)
		return
	}
	l.pass(signalGDPR)
	if tc.grants(&l.storing) && other.grants(&l.storing) {
		l.pass(signalStoring)
		return
	}
	v.Unstored = true
	l.counters.signals[signalStoring][effectContextual].Inc()
}

// presumed reports whether the GDPR applies to a request that does not say.
func (l *Law) presumed(country string) bool {
	switch l.unknown {
	case UnknownYes:
		return true
	case UnknownNo:
		return false
	}
	bit := countryBit(country)
	return bit < 0 || l.countries[bit]
}

// act makes a signal count, and counts it.
func (l *Law) act(v *Verdict, s signal) {
	effect := effectIgnored
	switch l.actions[s] {
	case Contextual:
		v.Contextual, effect = true, effectContextual
	case NoBid:
		v.Contextual, v.Refused, effect = true, true, effectNoBid
	}
	l.counters.signals[s][effect].Inc()
}

// pass counts a signal that allows everything.
func (l *Law) pass(s signal) { l.counters.signals[s][effectAllowed].Inc() }

// Apply makes the request that the law allows of raw. It works in place: the result has raw's memory, and is valid until
// raw.Reset. If the law refuses the request, the result is nil, and the reason NoBidPrivacy.
func (l *Law) Apply(raw *auction.Raw) (*auction.Request, auction.NoBidReason) {
	v := l.Judge(&raw.Signals, raw.Device.Geo.Country)
	raw.Signals = auction.Signals{Sections: raw.Signals.Sections[:0]}
	req := (*auction.Request)(&raw.Draft)
	if v.Refused {
		Erase(req)
		return nil, auction.NoBidPrivacy
	}
	p := &req.Privacy
	p.GDPR, p.COPPA, p.Contextual, p.Unstored = v.GDPR, v.Children, v.Contextual, v.Unstored
	p.Detail = l.detail && !v.Children
	if v.Contextual {
		Erase(req)
	}
	return req, auction.NoBidNone
}
