package rank

import (
	"slices"
	"strings"
	"testing"

	"gavel/internal/privacy"
	"gavel/internal/privacy/privacytest"
	"gavel/internal/rank/score"
)

// A click without consent keeps the contextual fields alone: for the ranking as for the event. The user is sent on all the same.
func TestClickObeysTheLaw(t *testing.T) {
	const vendor = 755
	strict := privacy.Defaults()
	strict.Vendor = vendor
	refusing := strict
	refusing.GDPR.Without, refusing.OptOut = privacy.NoBid, privacy.NoBid
	lawful := func(rules privacy.Rules) *world {
		return newWorld(t, newLinear(-9, classifiers(30)...), file(make1(31)...), func(o *Options) { o.Law = privacytest.New(t, rules) })
	}
	bound, refused := lawful(strict), lawful(refusing)
	click := func(w *world, parameters string, header ...string) string {
		t.Helper()
		header = append(header, "User-Agent", iPhone)
		resp, body := w.do("GET", "/click?placement=top&provider=alpha&hour=7&weekday=tue&"+parameters, "", header...)
		if resp.StatusCode != 302 {
			t.Fatalf("%s: %s %s", parameters, resp.Status, body)
		}
		all := w.published.all()
		return strings.Join(all[len(all)-1].Ranking.Values, ",")
	}
	granted := privacytest.TC{Consents: []int{1, 2, 3, 4, 7, 10}, Vendors: []int{vendor}}
	unstored := granted
	unstored.Consents = []int{1, 2, 3, 4, 7}
	optedOut := privacytest.GPP(privacytest.Section{ID: 7, Text: privacytest.US(1, 27, map[int]int{6: 1})})
	const all, contextual, nothing = "mobile,ios,safari,alpha,XX,,7,tue,top", "mobile,ios,safari,,XX,,7,tue,", ",,,,,,,,"
	f := func(name, country, parameters, want, wantRefused string, header ...string) {
		t.Helper()
		for _, x := range []struct {
			w    *world
			want string
		}{{bound, want}, {refused, wantRefused}} {
			want := strings.ReplaceAll(x.want, "XX", country)
			if got := click(x.w, "country="+country+"&"+parameters, header...); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
	f("nothing said, outside", "US", "", all, all)
	f("nothing said, in Germany", "DE", "", contextual, nothing)
	f("nothing said, country unknown", "", "", contextual, nothing)
	f("the GDPR does not apply", "DE", "gdpr=0", all, all)
	f("no string", "DE", "gdpr=1", contextual, nothing)
	f("a string that consents to nothing", "DE", "gdpr=1&gdpr_consent="+privacytest.TC{}.String(), contextual, nothing)
	f("macros that nobody filled in", "US", "gdpr=${GDPR}&gdpr_consent=${GDPR_CONSENT_755}", contextual, nothing)
	f("consent", "DE", "gdpr=1&gdpr_consent="+granted.String(), all, all)
	f("consent, but not to store", "DE", "gdpr=1&gdpr_consent="+unstored.String(), contextual, contextual)
	f("us_privacy", "US", "us_privacy=1YYN", contextual, nothing)
	f("us_privacy, no opt-out", "US", "us_privacy=1YNN", all, all)
	f("gpp", "US", "gpp="+optedOut+"&gpp_sid=7", contextual, nothing)
	f("gpp, other sections apply", "US", "gpp="+privacytest.GPP(privacytest.Section{ID: 7, Text: privacytest.US(1, 27, map[int]int{6: 1})},
		privacytest.Section{ID: 9, Text: privacytest.US(1, 17, nil)})+"&gpp_sid=9", all, all)
	f("gpp_sid of no number", "US", "gpp="+optedOut+"&gpp_sid=x", contextual, nothing)
	f("a child", "US", "coppa=1", contextual, contextual)
	f("GPC", "US", "", contextual, contextual, "Sec-GPC", "1")
	f("DNT", "US", "", contextual, contextual, "DNT", "1")
	f("headers that are off", "US", "", all, all, "Sec-GPC", "0", "DNT", "0")
}

// A ranking obeys the same rules, by the parameters of its address: without consent it is as if the fields were not known.
func TestRankObeysTheLaw(t *testing.T) {
	scorer := newLinear(-9, classifiers(10)...)
	w := newWorld(t, scorer, file(make1(10)...), func(o *Options) {
		o.Law, o.Contextual = privacytest.New(t, privacy.Defaults()), []string{"country"}
	})
	const body = `{"profile": {"user_agent": "` + iPhone + `", "country": "DE", "placement": "top", "hour": 7, "weekday": "tue"}, "limit": 10}`
	whole := w.profile("user_agent", iPhone, "country", "DE", "placement", "top", "hour", "7", "weekday", "tue")
	bare := slices.Clone(whole)
	for i := range bare {
		if bare[i].Name != "country" {
			bare[i].Value = ""
		}
	}
	f := func(parameters string, want score.Profile) {
		t.Helper()
		resp, text := w.do("POST", "/rank"+parameters, body)
		if resp.StatusCode != 200 {
			t.Fatal(resp.Status, text)
		}
		first := text[strings.Index(text, `"campaign":"`)+12:]
		first = first[:strings.IndexByte(first, '"')]
		shown := probability(scorer.logit(first, want))
		if !strings.Contains(text, string(appendFloat([]byte(`"campaign":"`+first+`","probability":`), shown))) {
			t.Errorf("%s: %s was not scored by %v: %s", parameters, first, want, text)
		}
	}
	f("", bare)
	f("?gdpr=1", bare)
	f("?gdpr=0", whole)
	f("?gdpr=0&us_privacy=1YYN", bare)
}
