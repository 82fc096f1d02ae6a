package sim

import (
	"slices"

	"gavel/internal/exchange/dice"
)

// What users in the reach of the GDPR send: consent to every purpose and vendor, or to none.
const (
	consentToAll  = "CQKf4sAQKf4sAEsACBENB4EsAP_gAEPgAAYn__wAYAA_____8AGAAP__gAA"
	consentToNone = "CQKf4sAQKf4sAEsACBENB4EgAAAAAAAAAAYgAAAAAAAA"
	optedOut      = "DBABL~BVQVAAAAAg" // of everything, in GPP's national section of the United States
)

// underGDPR are the countries of the world where it applies.
var underGDPR = []string{"GBR", "DEU", "FRA", "ESP", "ITA", "POL"}

// rights are what the requests of one user say of what may be done with its data.
type rights struct {
	regs    string // JSON
	consent string // TC string
	limit   int8   // lmt
}

// newRights draws whether a user consents. One that does not says so by one of the signals in use where it lives.
func newRights(k dice.Key, c *country, consentShare float64) rights {
	consents := k.With(14).Chance(consentShare)
	switch kind := k.With(15).Intn(4); {
	case slices.Contains(underGDPR, c.alpha3):
		r := rights{regs: `{"coppa":0,"gdpr":1}`, consent: consentToNone}
		if consents {
			r.consent = consentToAll
		} else if kind == 0 {
			r.consent = "" // a site without a consent dialogue
		}
		return r
	case consents:
		return rights{regs: `{"coppa":0,"gdpr":0}`}
	case kind == 0 && c.alpha3 == "USA":
		return rights{regs: `{"coppa":0,"us_privacy":"1YYN"}`}
	case kind == 1 && c.alpha3 == "USA":
		return rights{regs: `{"coppa":0,"gpp":"` + optedOut + `","gpp_sid":[7]}`}
	case kind == 2:
		return rights{regs: `{"coppa":0,"gdpr":0,"ext":{"gpc":"1"}}`}
	case kind == 3:
		return rights{regs: `{"coppa":1,"gdpr":0}`}
	}
	return rights{regs: `{"coppa":0,"gdpr":0}`, limit: 1}
}
