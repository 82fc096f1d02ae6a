package privacy_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"gavel/internal/auction"
	"gavel/internal/privacy"
	"gavel/internal/privacy/privacytest"
)

var update = flag.Bool("update", false, "write the matrix into docs/privacy.md")

// matrixRow is a request: its signals, and the user's country.
type matrixRow struct {
	name    string
	signals auction.Signals
	country string
}

func matrixRows() []matrixRow {
	us := func(id int, set map[int]int) auction.Signals {
		return auction.Signals{GPP: privacytest.GPP(privacytest.Section{ID: id, Text: section(id, set)}), Sections: []int{id}}
	}
	tcf := func(tc privacytest.TC) auction.Signals {
		return auction.Signals{GPP: privacytest.GPP(privacytest.Section{ID: 2, Text: tc.String()}), Sections: []int{2}}
	}
	change := func(f func(*privacytest.TC)) auction.Signals {
		tc := granted()
		f(&tc)
		return gdpr(tc.String())
	}
	gpc := us(8, nil)
	gpc.GPP += "." + privacytest.GPC(true)
	return []matrixRow{
		{"no signal; United States", auction.Signals{}, "US"},
		{"no signal; Germany", auction.Signals{}, "DE"},
		{"no signal; country unknown", auction.Signals{}, ""},
		{"`gdpr` 0; Germany", auction.Signals{GDPR: auction.No}, "DE"},
		{"`gdpr` 1, no string", gdpr(""), "DE"},
		{"`gdpr` 1, string unreadable", gdpr("garbage"), "DE"},
		{"`gdpr` 1, consents to nothing", gdpr(privacytest.TC{}.String()), "DE"},
		{"`gdpr` 1, consents to another vendor", change(func(c *privacytest.TC) { c.Vendors = []int{vendor + 1} }), "DE"},
		{"`gdpr` 1, purpose 4 missing", change(func(c *privacytest.TC) { c.Consents = []int{1, 2, 3, 7, 10} }), "DE"},
		{"`gdpr` 1, purpose 10 (storing) missing", change(func(c *privacytest.TC) { c.Consents = []int{1, 2, 3, 4, 7} }), "DE"},
		{"`gdpr` 1, the publisher forbids purpose 3", change(func(c *privacytest.TC) {
			c.Restrictions = []privacytest.Restriction{{Purpose: 3, Vendors: []int{vendor}}}
		}), "DE"},
		{"`gdpr` 1, the vendor was not disclosed", change(func(c *privacytest.TC) { c.Disclosed = []int{1} }), "DE"},
		{"`gdpr` 1, consents to all", gdpr(granted().String()), "DE"},
		{"no `gdpr`, a string that consents to nothing; United States", auction.Signals{Consent: privacytest.TC{}.String()}, "US"},
		{"GPP section 2, consents to nothing", tcf(privacytest.TC{}), "DE"},
		{"GPP section 2, consents to all", tcf(granted()), "DE"},
		{"`us_privacy` 1YNN", auction.Signals{USPrivacy: "1YNN"}, "US"},
		{"`us_privacy` 1---", auction.Signals{USPrivacy: "1---"}, "US"},
		{"`us_privacy` 1YYN", auction.Signals{USPrivacy: "1YYN"}, "US"},
		{"`us_privacy` unreadable", auction.Signals{USPrivacy: "YYY"}, "US"},
		{"GPP national, no opt-out", us(7, map[int]int{6: 2, 7: 2, 8: 2}), "US"},
		{"GPP national, out of sale", us(7, map[int]int{6: 1}), "US"},
		{"GPP California, out of sharing", us(8, map[int]int{4: 1}), "US"},
		{"GPP Virginia, out of targeted advertising", us(9, map[int]int{4: 1}), "US"},
		{"GPP Texas, out of sale", us(16, map[int]int{3: 1}), "US"},
		{"GPP Maryland, out of targeted advertising", us(24, map[int]int{6: 1}), "US"},
		{"GPP California, GPC on", gpc, "US"},
		{"GPP Canada, which is not read", auction.Signals{GPP: privacytest.GPP(privacytest.Section{ID: 5, Text: "BAA"}), Sections: []int{5}}, "CA"},
		{"GPP unreadable", auction.Signals{GPP: "garbage", Sections: []int{7}}, "US"},
		{"`gpp_sid` −1", auction.Signals{GPP: us(7, map[int]int{6: 1}).GPP, Sections: []int{-1}}, "US"},
		{"GPC", auction.Signals{GPC: true}, "US"},
		{"`lmt`", auction.Signals{LimitAds: true}, "US"},
		{"`dnt`", auction.Signals{DoNotTrack: true}, "US"},
		{"`coppa`", auction.Signals{COPPA: true}, "US"},
		{"GPP Connecticut, a known child, no consent", us(12, map[int]int{13: 1}), "US"},
		{"GPP Connecticut, a known child, consent", us(12, map[int]int{13: 2}), "US"},
		{"consents to all, and `lmt`", auction.Signals{GDPR: auction.Yes, Consent: granted().String(), LimitAds: true}, "DE"},
	}
}

// The table in docs/privacy.md says what the law does. `go test ./internal/privacy -run Matrix -update` writes it.
func TestMatrix(t *testing.T) {
	refusing, lenient := rules(), rules()
	refusing.GDPR.Without, refusing.OptOut, refusing.GPC = privacy.NoBid, privacy.NoBid, privacy.NoBid
	refusing.LMT, refusing.DNT, refusing.COPPA = privacy.NoBid, privacy.NoBid, privacy.NoBid
	lenient.GDPR.Unknown = privacy.UnknownNo
	lenient.OptOut, lenient.GPC, lenient.LMT, lenient.DNT = privacy.Ignore, privacy.Ignore, privacy.Ignore, privacy.Ignore
	laws := []*privacy.Law{
		privacytest.New(t, rules()), privacytest.New(t, privacy.Defaults()), privacytest.New(t, refusing), privacytest.New(t, lenient),
	}
	var out strings.Builder
	out.WriteString("\n| request | strict | no vendor | no bid | lenient |\n|---|---|---|---|---|\n")
	for _, row := range matrixRows() {
		out.WriteString("| " + row.name + " |")
		for _, law := range laws {
			s := row.signals
			out.WriteString(" " + outcome(law.Judge(&s, row.country)) + " |")
		}
		out.WriteString("\n")
	}
	out.WriteString("\n")

	const path, begin, end = "../../docs/privacy.md", "<!-- matrix -->", "<!-- end of matrix -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	held, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the marks of the matrix", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+out.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if held != out.String() {
		t.Errorf("%s is stale: run `go test ./internal/privacy -run Matrix -update`. It should be\n%s", path, out.String())
	}
}
