package rank

import (
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"gavel/internal/auction"
	"gavel/internal/rank/profile"
)

// The parameters of an address that carry consent, as IAB's macros name them, and the headers of browsers.
const (
	paramGDPR      = "gdpr"
	paramConsent   = "gdpr_consent"
	paramUSPrivacy = "us_privacy"
	paramGPP       = "gpp"
	paramSections  = "gpp_sid" // separated by commas
	paramCOPPA     = "coppa"
	headerGPC      = "Sec-GPC"
	headerDNT      = "DNT"
)

// maxSections bounds gpp_sid.
const maxSections = 64

// readSignals reads what a request says of the user's rights. The texts point into the request's memory.
func readSignals(c *fasthttp.RequestCtx, s *auction.Signals) {
	*s = auction.Signals{Sections: s.Sections[:0]}
	for name, value := range c.QueryArgs().All() {
		switch v := text(value); text(name) {
		case paramGDPR:
			switch v {
			case "0":
				s.GDPR = max(s.GDPR, auction.No)
			case "1":
				s.GDPR = auction.Yes
			}
		case paramConsent:
			s.Consent = v
		case paramUSPrivacy:
			s.USPrivacy = v
		case paramGPP:
			s.GPP = v
		case paramSections:
			readSections(v, s)
		case paramCOPPA:
			s.COPPA = s.COPPA || v == "1"
		}
	}
	s.GPC = string(c.Request.Header.Peek(headerGPC)) == "1"
	s.DoNotTrack = string(c.Request.Header.Peek(headerDNT)) == "1"
}

// readSections reads numbers that are separated by commas. What is no number counts as a section that is not known.
func readSections(list string, s *auction.Signals) {
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.Trim(item, " "); item == "" || len(s.Sections) == maxSections {
			continue
		}
		id, err := strconv.Atoi(item)
		if err != nil {
			id = unknownSection
		}
		s.Sections = append(s.Sections, id)
	}
}

// unknownSection is the id of no section.
const unknownSection = 1 << 20

// obey erases from the profile what the law forbids. Without consent, only the contextual fields stay; if the rules refuse such
// requests, none does: a click is sent on all the same.
func (w *work) obey(c *fasthttp.RequestCtx) {
	o := &w.server.options
	readSignals(c, &w.signals)
	country := ""
	for _, f := range w.profile {
		if f.Name == profile.Country && f.Value != profile.Other {
			country = f.Value
		}
	}
	w.verdict = o.Law.Judge(&w.signals, country)
	for i := range w.profile {
		if w.verdict.Refused || w.verdict.Contextual && !w.server.contextual[i] {
			w.profile[i].Value = ""
		}
	}
}

// stored returns a field's value as an event may hold it.
func (w *work) stored(i int) string {
	if w.verdict.Unstored && !w.server.contextual[i] {
		return ""
	}
	return w.profile[i].Value
}
