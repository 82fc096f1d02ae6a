package privacy_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/privacy"
	"gavel/internal/privacy/privacytest"
	"gavel/internal/race"
)

const vendor = 755

// What the law can make of a request.
const (
	all        = "all"
	unstored   = "all, not stored"
	contextual = "contextual"
	noBid      = "no bid"
)

// outcome is a verdict in words.
func outcome(v privacy.Verdict) string {
	out := all
	switch {
	case v.Refused:
		return noBid
	case v.Contextual:
		out = contextual
	case v.Unstored:
		out = unstored
	}
	if v.Children {
		out += ", child"
	}
	return out
}

// rules are the defaults with a vendor.
func rules() privacy.Rules {
	r := privacy.Defaults()
	r.Vendor = vendor
	return r
}

// granted is a string that grants what rules need.
func granted() privacytest.TC {
	return privacytest.TC{Consents: []int{1, 2, 3, 4, 7, 10}, Vendors: []int{vendor}}
}

func gdpr(consent string) auction.Signals {
	return auction.Signals{GDPR: auction.Yes, Consent: consent}
}

func TestConsentStrings(t *testing.T) {
	law := privacytest.New(t, rules())
	f := func(name, consent, want string) {
		t.Helper()
		s := gdpr(consent)
		if got := outcome(law.Judge(&s, "DE")); got != want {
			t.Errorf("%s: %s, want %s\n%s", name, got, want, consent)
		}
	}
	f("none", "", contextual)
	f("consents to nothing", privacytest.TC{}.String(), contextual)
	f("everything", granted().String(), all)
	with := func(change func(*privacytest.TC)) string {
		tc := granted()
		change(&tc)
		return tc.String()
	}
	f("as ranges", with(func(c *privacytest.TC) { c.Ranged = true; c.Vendors = []int{3, 4, 5, 700, 754, 755, 756, 900} }), all)
	f("between ranges", with(func(c *privacytest.TC) { c.Ranged = true; c.Vendors = []int{753, 754, 756, 757} }), contextual)
	f("TCF 2.0", with(func(c *privacytest.TC) { c.Policy = 2 }), all)
	f("TCF 2.1", with(func(c *privacytest.TC) { c.Policy = 3 }), all)
	f("TCF 1", with(func(c *privacytest.TC) { c.Version = 1 }), contextual)
	f("version 3", with(func(c *privacytest.TC) { c.Version = 3 }), contextual)
	f("another vendor", with(func(c *privacytest.TC) { c.Vendors = []int{vendor - 1, vendor + 1} }), contextual)
	f("no vendor", with(func(c *privacytest.TC) { c.Vendors = nil }), contextual)
	f("purpose 1 is missing", with(func(c *privacytest.TC) { c.Consents = []int{2, 3, 4, 7, 10} }), contextual)
	f("purpose 4 is missing", with(func(c *privacytest.TC) { c.Consents = []int{1, 2, 3, 7, 10} }), contextual)
	f("purposes to store are missing", with(func(c *privacytest.TC) { c.Consents = []int{1, 2, 3, 4, 7} }), unstored)
	f("interest in place of consent", with(func(c *privacytest.TC) {
		c.Consents = []int{1, 3, 4}
		c.Interests = []int{2, 7, 10}
		c.Interested = c.Vendors
	}), contextual)
	f("the publisher forbids", with(func(c *privacytest.TC) {
		c.Restrictions = []privacytest.Restriction{{Purpose: 3, Kind: 0, Vendors: []int{vendor}}}
	}), contextual)
	f("the publisher forbids another vendor", with(func(c *privacytest.TC) {
		c.Restrictions = []privacytest.Restriction{{Purpose: 3, Kind: 0, Vendors: []int{vendor + 1}}}
	}), all)
	f("the publisher forbids another purpose", with(func(c *privacytest.TC) {
		c.Restrictions = []privacytest.Restriction{{Purpose: 5, Kind: 0, Vendors: []int{vendor}}}
	}), all)
	f("the publisher asks for consent", with(func(c *privacytest.TC) {
		c.Restrictions = []privacytest.Restriction{{Purpose: 2, Kind: 1, Vendors: []int{vendor}}}
	}), all)
	f("the publisher asks for interest", with(func(c *privacytest.TC) {
		c.Restrictions = []privacytest.Restriction{{Purpose: 2, Kind: 2, Vendors: []int{vendor}}}
	}), contextual)
	f("the publisher forbids to store", with(func(c *privacytest.TC) {
		c.Restrictions = []privacytest.Restriction{{Purpose: 9, Kind: 0, Vendors: []int{1}}, {Purpose: 10, Kind: 0, Vendors: []int{1, 2, vendor}}}
	}), unstored)
	f("disclosed", with(func(c *privacytest.TC) { c.Disclosed = []int{1, vendor} }), all)
	f("not disclosed", with(func(c *privacytest.TC) { c.Disclosed = []int{1, 2} }), contextual)
	f("further segments", granted().String()+".YAAAAAAAAAA", all)
	f("padded", granted().String()+"==", all)
	whole := granted().String()
	f("cut off", whole[:len(whole)-3], contextual)
	f("cut off in the head", whole[:20], contextual)
	f("another alphabet", strings.Replace(whole, "A", "+", 1), contextual)
	f("a blank", " "+whole, contextual)
	f("a macro", "${GDPR_CONSENT_755}", contextual)
	f("a segment is damaged", whole+".!", contextual)
	f("huge", whole+strings.Repeat("A", 1<<20), contextual)
}

// A purpose that rests on legitimate interest, and one whose basis the publisher may change.
func TestLegitimateInterest(t *testing.T) {
	r := rules()
	r.GDPR.Bidding = privacy.Needs{Consent: []int{1, 3}, LegitimateInterest: []int{2, 7}, Flexible: []int{2}, SpecialFeatures: []int{1}}
	r.GDPR.Storing = privacy.Needs{Consent: []int{1}}
	law := privacytest.New(t, r)
	f := func(name string, c privacytest.TC, want string) {
		t.Helper()
		s := gdpr(c.String())
		if got := outcome(law.Judge(&s, "DE")); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	base := privacytest.TC{Consents: []int{1, 3}, Interests: []int{2, 7}, Features: []int{1}, Vendors: []int{vendor}, Interested: []int{vendor}}
	f("granted", base, all)
	c := base
	c.Interests = []int{2}
	f("an objection", c, contextual)
	c = base
	c.Interested = nil
	f("an objection to the vendor", c, contextual)
	c = base
	c.Features = nil
	f("no special feature", c, contextual)
	c = base
	c.Restrictions = []privacytest.Restriction{{Purpose: 2, Kind: 1, Vendors: []int{vendor}}}
	f("consent is asked for and missing", c, contextual)
	c.Consents = []int{1, 2, 3}
	f("consent is asked for and given", c, all)
	c = base
	c.Restrictions = []privacytest.Restriction{{Purpose: 7, Kind: 1, Vendors: []int{vendor}}}
	c.Consents = []int{1, 3, 7}
	f("consent is asked for, but the purpose is not flexible", c, contextual)
}

// fields are the numbers of what the sections of the United States say, by section: how many there are, the opt-outs, and a
// known child's consents. They follow the specifications, apart from the code.
var fields = map[int]struct {
	all      int
	optOuts  []int
	children []int
}{
	7: {27, []int{6, 7, 8}, []int{21, 22}}, 8: {20, []int{3, 4}, []int{14, 15}}, 9: {17, []int{3, 4}, []int{13}},
	10: {16, []int{3, 4}, []int{12}}, 11: {18, []int{4, 5}, []int{14}}, 12: {19, []int{3, 4}, []int{13, 14, 15}},
	13: {20, []int{3, 4}, []int{13, 14, 15}}, 14: {20, []int{3, 4}, []int{13, 14, 15}}, 15: {23, []int{3, 4}, []int{16, 17, 18}},
	16: {18, []int{3, 4}, []int{13}}, 17: {23, []int{3, 4}, []int{14, 15, 16, 17, 18}}, 18: {18, []int{4, 5}, []int{14}},
	19: {18, []int{3, 4}, []int{13}}, 20: {20, []int{3, 4}, []int{13, 14, 15}}, 21: {24, []int{3, 4}, []int{15, 16, 17, 18, 19}},
	22: {18, []int{3, 4}, []int{13}}, 23: {18, []int{3, 4}, []int{13}}, 24: {8, []int{5, 6}, nil}, 25: {9, []int{5, 6}, []int{7}},
	26: {9, []int{5, 6}, []int{7}}, 27: {9, []int{5, 6}, []int{7}},
}

// section returns a section of the United States with values of some fields, and its header if it has one.
func section(id int, set map[int]int) string {
	core := privacytest.US(1, fields[id].all, set)
	if id >= 24 {
		var header privacytest.Writer
		return header.Int(id, 6).Int(1, 6).Int(1, 12).String() + "." + core
	}
	return core
}

func TestSectionsOfTheUnitedStates(t *testing.T) {
	law := privacytest.New(t, rules())
	f := func(id int, text, want string) {
		t.Helper()
		for _, sid := range [][]int{nil, {id}, {0}} {
			s := auction.Signals{GDPR: auction.No, GPP: privacytest.GPP(privacytest.Section{ID: id, Text: text}), Sections: sid}
			if got := outcome(law.Judge(&s, "US")); got != want {
				t.Errorf("section %d, gpp_sid %v: %s, want %s\n%s", id, sid, got, want, s.GPP)
			}
		}
	}
	for id := 7; id <= 27; id++ {
		x := fields[id]
		f(id, section(id, nil), all)
		allowed := map[int]int{}
		for _, i := range x.optOuts {
			allowed[i] = 2
		}
		f(id, section(id, allowed), all)
		for i := range x.all { // every other field says 1, and nothing comes of it
			set := map[int]int{}
			for j := range x.all {
				set[j] = 1
			}
			for _, j := range append(x.optOuts, x.children...) {
				set[j] = 0
			}
			if i == 0 {
				f(id, section(id, set), all)
			}
		}
		for _, i := range x.optOuts {
			f(id, section(id, map[int]int{i: 1}), contextual)
			f(id, section(id, map[int]int{i: 3}), contextual)
		}
		for _, i := range x.children {
			f(id, section(id, map[int]int{i: 1}), contextual+", child")
			f(id, section(id, map[int]int{i: 2}), all+", child")
		}
		whole := section(id, nil)
		f(id, whole[:len(whole)-2], contextual)
		f(id, "", contextual)
		if id < 25 {
			f(id, whole+"."+privacytest.GPC(true), contextual)
			f(id, whole+"."+privacytest.GPC(false), all)
		}
	}
	// Version 2 of the national section has more fields.
	f(7, privacytest.US(2, 32, map[int]int{9: 1, 24: 1}), all)
	f(7, privacytest.US(2, 32, map[int]int{8: 1}), contextual)
	f(7, privacytest.US(2, 32, map[int]int{27: 2}), all+", child")
	f(7, privacytest.US(2, 27, nil), contextual)
	// Some encoders write them as version 1.
	f(7, privacytest.US(1, 32, map[int]int{21: 1}), all)
	f(7, privacytest.US(1, 32, map[int]int{27: 1}), contextual+", child")
	// The layout of another version is not known.
	for id := 7; id <= 23; id++ {
		for _, version := range []int{0, 3, 63} {
			f(id, privacytest.US(version, 32, nil), contextual)
		}
	}
	f(16, privacytest.US(2, 18, nil), contextual)
	var header privacytest.Writer
	f(24, header.Int(24, 6).Int(2, 6).Int(1, 12).String()+"."+privacytest.US(1, 8, nil), contextual)
}

// Several sections, and which of them apply.
func TestPlatform(t *testing.T) {
	law := privacytest.New(t, rules())
	f := func(name string, s auction.Signals, country, want string) {
		t.Helper()
		if got := outcome(law.Judge(&s, country)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	tc := privacytest.Section{ID: 2, Text: granted().String()}
	nothing := privacytest.Section{ID: 2, Text: privacytest.TC{}.String()}
	opted := privacytest.Section{ID: 8, Text: section(8, map[int]int{3: 1})}
	stays := privacytest.Section{ID: 9, Text: section(9, map[int]int{3: 2, 4: 2})}
	f("the TCF section consents", auction.Signals{GDPR: auction.Yes, GPP: privacytest.GPP(tc), Sections: []int{2}}, "DE", all)
	f("the TCF section makes the GDPR apply", auction.Signals{GPP: privacytest.GPP(nothing), Sections: []int{2}}, "US", contextual)
	f("even where gdpr says no", auction.Signals{GDPR: auction.No, GPP: privacytest.GPP(nothing), Sections: []int{2}}, "US", contextual)
	f("a TCF section that does not apply", auction.Signals{GDPR: auction.No, GPP: privacytest.GPP(nothing, stays), Sections: []int{9}}, "US", all)
	f("user.consent comes first", auction.Signals{GDPR: auction.Yes, Consent: nothing.Text, GPP: privacytest.GPP(tc), Sections: []int{2}}, "DE", contextual)
	f("one of two opts out", auction.Signals{GPP: privacytest.GPP(opted, stays), Sections: []int{8, 9}}, "US", contextual)
	f("the one that does not apply", auction.Signals{GPP: privacytest.GPP(opted, stays), Sections: []int{9}}, "US", all)
	f("all apply if nothing is named", auction.Signals{GPP: privacytest.GPP(opted, stays)}, "US", contextual)
	f("what consents comes second", auction.Signals{GDPR: auction.Yes, Consent: tc.Text, GPP: privacytest.GPP(nothing), Sections: []int{2}}, "DE", contextual)
	f("none applies, and one does", auction.Signals{GPP: privacytest.GPP(stays), Sections: []int{-1, 9}}, "US", contextual)
	f("a section that is none", auction.Signals{GPP: privacytest.GPP(stays), Sections: []int{-5}}, "US", contextual)
	f("none applies", auction.Signals{GPP: privacytest.GPP(opted, stays), Sections: []int{-1}}, "US", all)
	f("a section that is not there", auction.Signals{GPP: privacytest.GPP(stays), Sections: []int{8}}, "US", contextual)
	f("sections without a string", auction.Signals{Sections: []int{8}}, "US", contextual)
	f("a section that is not known", auction.Signals{GPP: privacytest.GPP(privacytest.Section{ID: 28, Text: "BAA"}), Sections: []int{28}}, "US", contextual)
	f("one that is not known and does not apply", auction.Signals{GPP: privacytest.GPP(stays, privacytest.Section{ID: 28, Text: "BAA"}), Sections: []int{9}}, "US", all)
	f("no string", auction.Signals{GPP: "hello"}, "US", contextual)
}

// The rules decide what a signal does, and every signal is counted by what it did.
func TestRules(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	r := rules()
	r.LMT, r.DNT, r.OptOut, r.COPPA = privacy.NoBid, privacy.Ignore, privacy.NoBid, privacy.NoBid
	law, err := privacy.New(r, registry)
	if err != nil {
		t.Fatal(err)
	}
	f := func(s auction.Signals, want string) {
		t.Helper()
		if got := outcome(law.Judge(&s, "US")); got != want {
			t.Errorf("%+v: %s, want %s", s, got, want)
		}
	}
	f(auction.Signals{LimitAds: true}, noBid)
	f(auction.Signals{DoNotTrack: true}, all)
	f(auction.Signals{GPC: true}, contextual)
	f(auction.Signals{GPC: true, LimitAds: true}, noBid)
	f(auction.Signals{USPrivacy: "1YYN"}, noBid)
	f(auction.Signals{USPrivacy: "1YNN"}, all)
	f(auction.Signals{USPrivacy: "what"}, noBid)
	f(auction.Signals{COPPA: true}, noBid)
	f(gdpr(""), contextual)
	f(gdpr("C"), contextual)
	f(gdpr(granted().String()), all)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	signals, others := map[[2]string]float64{}, map[[2]string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch n := m.GetCounter().GetValue(); {
			case n == 0:
			case family.GetName() == "gavel_privacy_signals_total":
				signals[[2]string{m.GetLabel()[1].GetValue(), m.GetLabel()[0].GetValue()}] = n
			default:
				others[[2]string{family.GetName(), m.GetLabel()[0].GetValue()}] = n
			}
		}
	}
	if want := map[[2]string]float64{
		{"gavel_privacy_requests_total", "allowed"}: 3, {"gavel_privacy_requests_total", "contextual"}: 3, {"gavel_privacy_requests_total", "no_bid"}: 5,
		{"gavel_privacy_unreadable_total", "gdpr"}: 1, {"gavel_privacy_unreadable_total", "us_privacy"}: 1,
	}; !maps.Equal(others, want) {
		t.Errorf("counted %v, want %v", others, want)
	}
	for k, want := range map[[2]string]float64{
		{"lmt", "no_bid"}: 2, {"dnt", "ignored"}: 1, {"gpc", "contextual"}: 2, {"us_privacy", "no_bid"}: 2, {"us_privacy", "allowed"}: 1,
		{"coppa", "no_bid"}: 1, {"gdpr", "contextual"}: 2, {"gdpr", "allowed"}: 1, {"storing", "allowed"}: 1,
	} {
		if signals[k] != want {
			t.Errorf("%v: %v, want %v", k, signals[k], want)
		}
		delete(signals, k)
	}
	if len(signals) > 0 {
		t.Errorf("more signals: %v", signals)
	}
}

func TestRuleFaults(t *testing.T) {
	f := func(change func(*privacy.Rules), want string) {
		t.Helper()
		r := rules()
		change(&r)
		faults := r.Faults("privacy")
		if len(faults) == 0 || !strings.Contains(faults[0].Error(), want) {
			t.Errorf("faults %v, want %q", faults, want)
		}
		if _, err := privacy.New(r, nil); err == nil {
			t.Errorf("%q: accepted", want)
		}
	}
	f(func(r *privacy.Rules) { r.Vendor = -1 }, "privacy.vendor: -1")
	f(func(r *privacy.Rules) { r.COPPA = privacy.Ignore }, `privacy.coppa: "ignore" is none of`)
	f(func(r *privacy.Rules) { r.GDPR.Without = privacy.Ignore }, `privacy.gdpr.without: "ignore"`)
	f(func(r *privacy.Rules) { r.LMT = "" }, `privacy.lmt: ""`)
	f(func(r *privacy.Rules) { r.GDPR.Unknown = "maybe" }, `privacy.gdpr.unknown: "maybe"`)
	f(func(r *privacy.Rules) { r.GDPR.Countries = []string{"DE", "DEU"} }, `privacy.gdpr.countries[1]: "DEU"`)
	f(func(r *privacy.Rules) { r.GDPR.Bidding.Consent = nil }, `privacy.gdpr.bidding: needs no purpose`)
	f(func(r *privacy.Rules) { r.GDPR.Storing.Consent = []int{25} }, `privacy.gdpr.storing.consent: 25`)
	f(func(r *privacy.Rules) { r.GDPR.Bidding.LegitimateInterest = []int{4} }, `4 rests on consent as well`)
	f(func(r *privacy.Rules) { r.GDPR.Storing.LegitimateInterest = []int{3} }, `3 can rest on consent alone`)
	f(func(r *privacy.Rules) { r.GDPR.Storing.Flexible = []int{2} }, `2 is in neither`)
	f(func(r *privacy.Rules) { r.GDPR.Bidding.SpecialFeatures = []int{13} }, `13 is not 1 to 12`)
}

func TestAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	law := privacytest.New(t, rules())
	raw := full()
	signals := raw.Signals
	signals.GPP = privacytest.GPP(privacytest.Section{ID: 2, Text: granted().String()}, privacytest.Section{ID: 7, Text: section(7, nil)})
	signals.Sections = []int{2, 7}
	signals.Consent, signals.USPrivacy = granted().String(), "1YNN"
	if n := testing.AllocsPerRun(100, func() {
		raw.Signals = signals
		if _, reason := law.Apply(raw); reason != auction.NoBidNone {
			t.Fatal(reason)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkJudge(b *testing.B) {
	law := privacytest.New(b, rules())
	long := granted()
	for v := 1; v < 1200; v++ {
		long.Vendors = append(long.Vendors, v)
	}
	for name, s := range map[string]auction.Signals{
		"none": {GDPR: auction.No},
		"tcf":  gdpr(long.String()),
		"gpp":  {GPP: privacytest.GPP(privacytest.Section{ID: 7, Text: section(7, nil)}), Sections: []int{7}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				law.Judge(&s, "US")
			}
		})
	}
}

// Hostile strings are refused, not fatal, and never consent by accident: what the fuzzer changes in a string that refuses
// everything must not grant unless it is a TC string that says so.
func FuzzStrings(f *testing.F) {
	law := privacytest.New(f, rules())
	for _, s := range []string{
		"", granted().String(), privacytest.TC{}.String(), privacytest.TC{Ranged: true, Vendors: []int{1, 2, 9}, Restrictions: []privacytest.Restriction{{Purpose: 1, Kind: 0, Vendors: []int{vendor}}}}.String(),
		privacytest.GPP(privacytest.Section{ID: 2, Text: granted().String()}, privacytest.Section{ID: 7, Text: section(7, nil)}),
		"DBABL~BVQVAAAAAg", "DBACNY~CP~1YNN", "1YNN", "~", ".", "D~~~", "CAAAAAAAA.IAAA", "DBD__________~",
	} {
		f.Add(s, 7)
		f.Add(s, 24)
	}
	f.Fuzz(func(t *testing.T, text string, section int) {
		for _, s := range []auction.Signals{
			{GDPR: auction.Yes, Consent: text}, {GPP: text, Sections: []int{section}}, {GPP: text}, {USPrivacy: text},
			{GPP: privacytest.GPP(privacytest.Section{ID: max(1, section&31), Text: text}), Sections: []int{section & 31}},
		} {
			law.Judge(&s, "DE")
		}
	})
}
