package openrtb

import (
	"math"

	"gavel/internal/auction"
)

// Types of what a request says of the user's rights. If a value cannot be converted, it does not count as absent.
type (
	flag      int64  // any number but 0 is a yes, and so is what cannot be read
	signal    string // a TC, GPP or US Privacy string
	sectionID int64  // in gpp_sid
	demand    int64  // dsarequired
)

const (
	maxSections   = 64  // in gpp_sid
	badSection    = -2  // in place of an id that can be none
	contradiction = "?" // in place of a string that cannot be read, or of two that differ
)

// signals collects what the request says of the user's rights, from the places of OpenRTB 2.6 and, as 2.5 has it, from
// extensions. Where two places contradict each other, a yes holds, and strings count as one that cannot be read.
func signals(w *wireRequest, to *auction.Signals) {
	regs, ext := &w.Regs, &w.Regs.Ext
	to.GDPR = max(answer(regs.GDPR), answer(ext.GDPR))
	to.Consent = agreed(w.User.Consent, w.User.Ext.Consent)
	to.USPrivacy = agreed(regs.USPrivacy, ext.USPrivacy)
	to.GPP = agreed(regs.GPP, ext.GPP)
	sections := regs.GPPSID
	if len(sections) == 0 {
		sections = ext.GPPSID
	}
	if len(sections) > maxSections {
		sections = append(sections[:maxSections], badSection)
	}
	for _, id := range sections {
		to.Sections = append(to.Sections, int(min(max(id, badSection), math.MaxInt32)))
	}
	to.COPPA = regs.COPPA != 0 || ext.COPPA != 0
	to.LimitAds = w.Dev.Lmt != 0
	to.DoNotTrack = w.Dev.DNT != 0
	to.GPC = ext.GPC != "" && ext.GPC != "0" && ext.GPC != "false"
}

// agreed returns the string of two places that may both have it.
func agreed(a, b signal) string {
	switch {
	case a == "" || a == b:
		return string(b)
	case b == "":
		return string(a)
	}
	return contradiction
}

// answer reads a flag that can be left out.
func answer(f flag) auction.Answer {
	switch f {
	case unanswered:
		return auction.Unanswered
	case 0:
		return auction.No
	}
	return auction.Yes
}

// dsa reads what the exchange asks of transparency.
func dsa(w *wireDSA, to *auction.DSA) {
	if w == nil {
		return
	}
	to.Asked = w.Required >= 1
	to.Required = w.Required >= 2
	to.Withheld = w.DataToPub != nil && *w.DataToPub == 0
	if w.PubRender != nil {
		switch *w.PubRender {
		case 0:
			to.Render = auction.RenderNever
		case 2:
			to.Render = auction.RenderAlways
		default:
			to.Render = auction.RenderEither
		}
	}
}
