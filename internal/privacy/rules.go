package privacy

import (
	"fmt"
	"slices"
	"strings"
)

// Rules are what an operator writes under `privacy:`. docs/privacy.md explains them; Defaults are the strict ones.
type Rules struct {
	Vendor int       `yaml:"vendor"` // id in IAB Europe's Global Vendor List; 0: none, so that no TC string consents
	GDPR   GDPRRules `yaml:"gdpr"`

	// What a signal does: see Action. COPPA cannot be ignored.
	OptOut Action `yaml:"opt_out"` // us_privacy, and the United States' sections of GPP
	GPC    Action `yaml:"gpc"`
	LMT    Action `yaml:"lmt"`
	DNT    Action `yaml:"dnt"`
	COPPA  Action `yaml:"coppa"`

	// DeviceDetail keeps the user agent, versions, model, carrier and screen in a contextual request.
	DeviceDetail bool `yaml:"device_detail"`
}

// GDPRRules are the rules where the GDPR applies.
type GDPRRules struct {
	Unknown   Unknown  `yaml:"unknown"`   // whether it applies to a request that does not say
	Countries []string `yaml:"countries"` // for UnknownCountry: ISO 3166-1 alpha-2
	Without   Action   `yaml:"without"`   // without the consent that bidding needs; cannot be ignored
	Bidding   Needs    `yaml:"bidding"`   // to bid with identifiers and profile
	Storing   Needs    `yaml:"storing"`   // to store them besides
}

// Needs are purposes of the TCF, by the legal basis that the vendor declares in the Global Vendor List, and special features.
type Needs struct {
	Consent            []int `yaml:"consent"`
	LegitimateInterest []int `yaml:"legitimate_interest"`
	Flexible           []int `yaml:"flexible"` // those of the two lists whose basis a publisher may change
	SpecialFeatures    []int `yaml:"special_features"`
}

// Action is what a signal does to a request.
type Action string

const (
	Ignore     Action = "ignore"     // nothing
	Contextual Action = "contextual" // identifiers and profile are erased
	NoBid      Action = "no_bid"     // the request gets no bid
)

// Unknown says whether the GDPR applies to a request without the signal. If the request has a TC string, it applies.
type Unknown string

const (
	UnknownCountry Unknown = "country" // if the country is listed, or not known
	UnknownYes     Unknown = "applies"
	UnknownNo      Unknown = "does_not_apply"
)

// defaultCountries are the European Economic Area, the United Kingdom and Switzerland, and the territories of members
// that have codes of their own.
var defaultCountries = strings.Fields("AT BE BG CH CY CZ DE DK EE ES FI FR GB GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK " +
	"AX BL GF GG GI GP IM JE MF MQ RE SJ YT")

// Defaults are the strict rules: nobody has consented, every signal counts.
func Defaults() Rules {
	needs := func(consent ...int) Needs {
		return Needs{Consent: consent, LegitimateInterest: []int{}, Flexible: []int{}, SpecialFeatures: []int{}}
	}
	return Rules{
		GDPR: GDPRRules{
			Unknown: UnknownCountry, Countries: slices.Clone(defaultCountries), Without: Contextual,
			Bidding: needs(1, 2, 3, 4), Storing: needs(1, 7, 10),
		},
		OptOut: Contextual, GPC: Contextual, LMT: Contextual, DNT: Contextual, COPPA: Contextual,
	}
}

const (
	maxVendor   = 1<<16 - 1
	maxPurpose  = 24
	maxFeatures = 12
)

// Faults returns every fault, each with its key below prefix, such as "privacy", and the remedy.
func (r *Rules) Faults(prefix string) (faults []error) {
	require := func(ok bool, key, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s.%s: %s", prefix, key, fmt.Sprintf(format, args...)))
		}
	}
	require(r.Vendor >= 0 && r.Vendor <= maxVendor, "vendor", "%d is not 0, which is none, nor an id of up to %d", r.Vendor, maxVendor)
	unknowns := []Unknown{UnknownCountry, UnknownYes, UnknownNo}
	require(slices.Contains(unknowns, r.GDPR.Unknown), "gdpr.unknown", "%q is none of %q", r.GDPR.Unknown, unknowns)
	for i, c := range r.GDPR.Countries {
		require(countryBit(c) >= 0, fmt.Sprintf("gdpr.countries[%d]", i), "%q is not a country; use ISO 3166-1 alpha-2, as in DE", c)
	}
	for _, a := range []struct {
		key    string
		action Action
		must   bool // it cannot be ignored
	}{
		{"gdpr.without", r.GDPR.Without, true}, {"coppa", r.COPPA, true},
		{"opt_out", r.OptOut, false}, {"gpc", r.GPC, false}, {"lmt", r.LMT, false}, {"dnt", r.DNT, false},
	} {
		choices := []Action{Contextual, NoBid, Ignore}
		if a.must {
			choices = choices[:2]
		}
		require(slices.Contains(choices, a.action), a.key, "%q is none of %q", a.action, choices)
	}
	r.GDPR.Bidding.faults("gdpr.bidding", require)
	r.GDPR.Storing.faults("gdpr.storing", require)
	return faults
}

func (n *Needs) faults(key string, require func(ok bool, key, format string, args ...any)) {
	require(len(n.Consent)+len(n.LegitimateInterest) > 0, key, "needs no purpose; list those that you declare in the Global Vendor List")
	for _, l := range []struct {
		name string
		list []int
		most int
	}{
		{"consent", n.Consent, maxPurpose}, {"legitimate_interest", n.LegitimateInterest, maxPurpose},
		{"flexible", n.Flexible, maxPurpose}, {"special_features", n.SpecialFeatures, maxFeatures},
	} {
		for _, v := range l.list {
			require(v >= 1 && v <= l.most, key+"."+l.name, "%d is not 1 to %d", v, l.most)
		}
	}
	for _, p := range n.LegitimateInterest {
		require(!slices.Contains(n.Consent, p), key+".legitimate_interest", "%d rests on consent as well; choose one", p)
		require(p != 1 && (p < 3 || p > 6), key+".legitimate_interest", "%d can rest on consent alone", p)
	}
	for _, p := range n.Flexible {
		require(slices.Contains(n.Consent, p) || slices.Contains(n.LegitimateInterest, p), key+".flexible", "%d is in neither of the two lists", p)
	}
}

// basis compiles needs to masks.
func (n *Needs) basis() basis {
	mask := func(list []int) (m uint32) {
		for _, v := range list {
			m |= 1 << (v - 1)
		}
		return m
	}
	return basis{consent: mask(n.Consent), interest: mask(n.LegitimateInterest), flexible: mask(n.Flexible), features: mask(n.SpecialFeatures)}
}

// countryBit numbers the codes of countries from 0; −1 is not a code.
func countryBit(code string) int {
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return -1
	}
	return int(code[0]-'A')*26 + int(code[1]-'A')
}
