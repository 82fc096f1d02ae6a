package auction

import (
	"slices"
	"strings"
	"testing"
)

// What a request allows, and what campaigns allow, decides which of them take part; if none is left, the reason is privacy.
func TestWithheld(t *testing.T) {
	silent := plainCampaign("silent") // without transparency data
	renders := plainCampaign("renders", func(c *Campaign) { c.DSA = &Transparency{Behalf: "A", Paid: "B", Renders: true} })
	published := plainCampaign("published", func(c *Campaign) { c.DSA = &Transparency{Behalf: "A", Paid: "B"} })
	consented := plainCampaign("consented", func(c *Campaign) { c.Consent.OnlyConsented = true })
	adult := plainCampaign("adult", func(c *Campaign) { c.Consent.NoChildren = true })
	every := []Campaign{silent, renders, published, consented, adult}
	f := func(name string, p Privacy, campaigns []Campaign, want string, reason NoBidReason) {
		t.Helper()
		set := mustSet(t, campaigns, SetOptions{})
		found, got := set.Candidates(plainRequest(func(r *Request) { r.Privacy = p }), nil)
		var ids []string
		for _, c := range found {
			ids = append(ids, c.Campaign.ID)
		}
		slices.Sort(ids)
		if strings.Join(ids, " ") != want || got != reason {
			t.Errorf("%s: %q, %q, want %q, %q", name, ids, got, want, reason)
		}
	}
	f("nothing asked", Privacy{}, every, "adult consented published renders silent", NoBidNone)
	f("contextual", Privacy{Contextual: true}, every, "adult published renders silent", NoBidNone)
	f("children", Privacy{COPPA: true}, every, "consented published renders silent", NoBidNone)
	f("both", Privacy{Contextual: true, COPPA: true}, every, "published renders silent", NoBidNone)
	f("only consented ones", Privacy{Contextual: true}, []Campaign{consented}, "", NoBidPrivacy)
	f("only adult ones", Privacy{COPPA: true}, []Campaign{adult}, "", NoBidPrivacy)
	f("not asked to store", Privacy{Unstored: true, GDPR: true}, every, "adult consented published renders silent", NoBidNone)
	asked, required := DSA{Asked: true}, DSA{Asked: true, Required: true}
	f("transparency taken", Privacy{DSA: asked}, every, "adult consented published renders silent", NoBidNone)
	f("transparency required", Privacy{DSA: required}, every, "published renders", NoBidNone)
	f("required, and there is none", Privacy{DSA: required}, []Campaign{silent}, "", NoBidPrivacy)
	for _, r := range []struct {
		render Rendering
		want   string
	}{{RenderNever, "renders"}, {RenderEither, "published renders"}, {RenderAlways, "published"}} {
		required.Render = r.render
		f("required, with who renders", Privacy{DSA: required}, every, r.want, NoBidNone)
	}
	f("blocked comes from the request", Privacy{}, []Campaign{plainCampaign("c", func(c *Campaign) { c.Targeting.DenyDomains = []string{"news.example"} })}, "", NoBidBlocked)
}

func TestTransparencyFaults(t *testing.T) {
	f := func(d Transparency, want string) {
		t.Helper()
		_, err := NewCampaignSet([]Campaign{plainCampaign("c", func(c *Campaign) { c.DSA = &d })}, SetOptions{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", d, err, want)
		}
	}
	f(Transparency{Behalf: "A", Paid: "B"}, "")
	f(Transparency{Behalf: "A", Paid: "B", Users: []TransparencyUser{{"data.example", []int{1, 3}}}}, "")
	f(Transparency{Paid: "B"}, "dsa.behalf")
	f(Transparency{Behalf: "A", Paid: strings.Repeat("B", 101)}, "dsa.paid")
	f(Transparency{Behalf: "A", Paid: "B", Users: []TransparencyUser{{"https://x", []int{1}}}}, "dsa.transparency[0].domain")
	f(Transparency{Behalf: "A", Paid: "B", Users: []TransparencyUser{{"data.example", nil}}}, "dsa.transparency[0].params: is empty")
	f(Transparency{Behalf: "A", Paid: "B", Users: []TransparencyUser{{"data.example", []int{4}}}}, "4 is none of")
}
