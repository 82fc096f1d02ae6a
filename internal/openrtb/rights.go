package openrtb

import (
	"math"

	"gavel/internal/auction"
)

// maxSections bounds gpp_sid.
const maxSections = 64

// signals collects what the request says of the user's rights, from the places of OpenRTB 2.6 and, as 2.5 has it, from
// extensions. Where two places contradict each other, the stricter one holds. Any number but 0 is a yes.
func signals(w *wireRequest, to *auction.Signals) {
	regs, ext := &w.Regs, &w.Regs.Ext
	to.GDPR = max(answer(regs.GDPR), answer(ext.GDPR))
	to.Consent = either(w.User.Consent, w.User.Ext.Consent)
	to.USPrivacy = either(regs.USPrivacy, ext.USPrivacy)
	to.GPP = either(regs.GPP, ext.GPP)
	sections := regs.GPPSID
	if len(sections) == 0 {
		sections = ext.GPPSID
	}
	for _, id := range sections[:min(len(sections), maxSections)] {
		to.Sections = append(to.Sections, int(min(max(id, -1), math.MaxInt32)))
	}
	to.COPPA = regs.COPPA != 0 || ext.COPPA != 0
	to.LimitAds = w.Dev.Lmt != 0
	to.DoNotTrack = w.Dev.DNT != 0
	to.GPC = ext.GPC != "" && ext.GPC != "0" && ext.GPC != "false"
}

// answer reads a flag that can be left out.
func answer(flag int64) auction.Answer {
	switch {
	case flag < 0:
		return auction.Unanswered
	case flag == 0:
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
