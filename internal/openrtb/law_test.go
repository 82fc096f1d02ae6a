package openrtb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/privacy"
	"gavel/internal/privacy/privacytest"
)

// What exchanges send of the user's rights, on the wire, and what auctions then see: everything, the context alone, or no request.
func TestLawOnTheWire(t *testing.T) {
	const vendor = 755
	strict := privacy.Defaults()
	strict.Vendor = vendor
	refusing := strict
	refusing.GDPR.Without, refusing.OptOut, refusing.COPPA, refusing.LMT = privacy.NoBid, privacy.NoBid, privacy.NoBid, privacy.NoBid
	refusing.GPC, refusing.DNT = privacy.NoBid, privacy.NoBid
	var seen *auction.Request
	run := func(_ context.Context, r *auction.Request) auction.Result {
		own := *r
		seen = &own
		return oneBid(r)
	}
	servers := map[string]func(regs, user, device string) (int, string){}
	for name, rules := range map[string]privacy.Rules{"strict": strict, "refusing": refusing} {
		_, base, client := startServer(t, &fakeAuctions{run: run}, nil, Options{Law: privacytest.New(t, rules), NoBidStatus: 200, Encoder: EncoderOptions{AllowInsecure: true}})
		servers[name] = func(regs, user, device string) (int, string) {
			resp, answer := do(t, client, "POST", base+"/openrtb2/bid", fmt.Sprintf(
				`{"id":"r","tmax":1000,"imp":[{"id":"1","banner":{"w":300,"h":250}}],"regs":%s,"user":{"id":"u","buyeruid":"b","yob":1990,"data":[{"name":"d","segment":[{"id":"s"}]}]%s},
				"device":{"ip":"192.0.2.1","geo":{"country":"USA","zip":"94601","city":"Oakland"}%s}}`, regs, user, device), "Content-Type", "application/json")
			return resp.StatusCode, answer
		}
	}
	f := func(name, regs, user, device, want string) {
		t.Helper()
		seen = nil
		status, answer := servers["strict"](regs, user, device)
		got := "all"
		switch {
		case status != 200 || seen == nil:
			t.Fatalf("%s: status %d, %s", name, status, answer)
		case seen.User.ID == "" && seen.User.BuyerUID == "" && seen.User.YearOfBirth == 0 && len(seen.User.Segments) == 0 && seen.Device.IP == "" &&
			seen.Device.Geo.Zip == "" && seen.Device.Geo.City == "" && seen.Device.Geo.Country == "US" && seen.Privacy.Contextual:
			got = "contextual"
		case seen.User.ID != "u" || seen.User.BuyerUID != "b" || seen.Device.IP != "192.0.2.1" || seen.Device.Geo.Zip != "94601":
			got = "parts"
		}
		if got != want {
			t.Errorf("%s: auctions see %s, want %s", name, got, want)
		}
		seen = nil
		_, answer = servers["refusing"](regs, user, device)
		if refused := strings.Contains(answer, `"nbr":508`); refused != (want == "contextual") || refused == (seen != nil) {
			t.Errorf("%s: with rules that refuse: %s", name, answer)
		}
	}
	granted := privacytest.TC{Consents: []int{1, 2, 3, 4, 7, 10}, Vendors: []int{3, vendor}}
	consent := func(c privacytest.TC) string { return `,"consent":"` + c.String() + `"` }
	without := granted
	without.Vendors = []int{3}
	ranged := granted
	ranged.Ranged = true

	// TCF
	f("consents to nothing", `{"gdpr":1}`, consent(privacytest.TC{}), "", "contextual")
	f("no string", `{"gdpr":1}`, "", "", "contextual")
	f("consent null", `{"gdpr":1}`, `,"consent":null`, "", "contextual")
	f("consents", `{"gdpr":1}`, consent(granted), "", "all")
	f("consents, by ranges", `{"gdpr":1}`, consent(ranged), "", "all")
	f("as 2.5 has it", `{"ext":{"gdpr":1}}`, `,"ext":{"consent":"`+granted.String()+`"}`, "", "all")
	f("as 2.5 has it, to another vendor", `{"ext":{"gdpr":1}}`, `,"ext":{"consent":"`+without.String()+`"}`, "", "contextual")
	f("gdpr as a string", `{"gdpr":"1"}`, consent(without), "", "contextual")
	f("gdpr as a boolean", `{"gdpr":true}`, consent(without), "", "contextual")
	f("gdpr as a float", `{"gdpr":1.0}`, consent(without), "", "contextual")
	f("a version 1 string", `{"gdpr":1}`, `,"consent":"BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA"`, "", "contextual")
	f("a string that is cut off", `{"gdpr":1}`, `,"consent":"`+granted.String()[:30]+`"`, "", "contextual")
	f("a string alone", `{}`, consent(without), "", "contextual")
	f("gdpr no", `{"gdpr":0}`, consent(without), "", "all")
	f("nobody says, outside", `{}`, "", "", "all")

	// children
	f("coppa", `{"coppa":1,"gdpr":0}`, "", "", "contextual")
	f("coppa, with consent", `{"coppa":1,"gdpr":1}`, consent(granted), "", "contextual")
	f("coppa as a string", `{"coppa":"1"}`, "", "", "contextual")
	f("coppa as a boolean", `{"coppa":true}`, "", "", "contextual")
	f("coppa in ext", `{"ext":{"coppa":1}}`, "", "", "contextual")
	f("coppa no", `{"coppa":0}`, "", "", "all")

	// the United States, and devices
	gpp := func(id, fields int, set map[int]int) string {
		return privacytest.GPP(privacytest.Section{ID: id, Text: privacytest.US(1, fields, set)})
	}
	f("us_privacy", `{"us_privacy":"1YYY"}`, "", "", "contextual")
	f("us_privacy in ext", `{"ext":{"us_privacy":"1NYN"}}`, "", "", "contextual")
	f("us_privacy, no opt-out", `{"us_privacy":"1YNY"}`, "", "", "all")
	f("us_privacy, unreadable", `{"us_privacy":"1Y"}`, "", "", "contextual")
	f("gpp, national", `{"gpp":"`+gpp(7, 27, map[int]int{8: 1})+`","gpp_sid":[7]}`, "", "", "contextual")
	f("gpp, California, in ext", `{"ext":{"gpp":"`+gpp(8, 20, map[int]int{4: 1})+`","gpp_sid":[8]}}`, "", "", "contextual")
	f("gpp, Virginia, no opt-out", `{"gpp":"`+gpp(9, 17, map[int]int{3: 2, 4: 2})+`","gpp_sid":[9]}`, "", "", "all")
	f("gpp_sid as a number", `{"gpp":"`+gpp(12, 19, map[int]int{3: 1})+`","gpp_sid":12}`, "", "", "contextual")
	f("gpp without gpp_sid", `{"gpp":"`+gpp(10, 16, map[int]int{3: 1})+`"}`, "", "", "contextual")
	f("gpp, unreadable", `{"gpp":"x","gpp_sid":[7]}`, "", "", "contextual")
	f("lmt", `{}`, "", `,"lmt":1`, "contextual")
	f("lmt as a string", `{}`, "", `,"lmt":"1"`, "contextual")
	f("lmt no", `{}`, "", `,"lmt":0,"dnt":0`, "all")

	// What cannot be read does not count as absent, nor does what two places say differently.
	opted := gpp(7, 27, map[int]int{8: 1})
	for _, regs := range []string{
		`{"coppa":"Y"}`, `{"coppa":1e400}`, `{"coppa":{}}`, `{"coppa":0.5}`, `{"coppa":-3}`, `{"ext":{"coppa":[[]]}}`, `[{"coppa":1},{}]`, `"coppa"`,
		`{"gdpr":"maybe"}`, `{"gdpr":0.5}`, `{"gdpr":{}}`, `{"gdpr":0,"ext":{"gdpr":1}}`, `{"us_privacy":{}}`, `{"us_privacy":["1YYY",{}]}`,
		`{"us_privacy":"1YNN","ext":{"us_privacy":"1YYY"}}`, `{"ext":{"gpc":{}}}`, `{"gpp":{}}`, `{"gpp":"` + opted + `","gpp_sid":[-1,7]}`,
		`{"gpp":"` + opted + `","gpp_sid":[-5]}`, `{"gpp":"` + opted + `","gpp_sid":["x"]}`, `{"gpp":"` + opted + `","gpp_sid":[` + strings.Repeat("9,", 64) + `7]}`,
		`{"gpp":"` + opted + `","ext":{"gpp":"` + gpp(7, 27, nil) + `"}}`,
	} {
		f(regs, regs, "", "", "contextual")
	}
	for _, regs := range []string{`[]`, `{"ext":[]}`, `null`, `{"coppa":null}`, `{"coppa":[0]}`, `{"coppa":"no"}`, `{"gpp":"` + opted + `","gpp_sid":[-1]}`} {
		f(regs, regs, "", "", "all")
	}
	f("lmt that cannot be read", `{}`, "", `,"lmt":"on"`, "contextual")
	f("dnt that cannot be read", `{}`, "", `,"dnt":{}`, "contextual")
	f("consents that differ", `{"gdpr":1}`, consent(granted)+`,"ext":{"consent":"`+without.String()+`"}`, "", "contextual")
	f("a consent that is none", `{"gdpr":1}`, `,"consent":{"a":1}`, "", "contextual")
}

// What exchanges ask of transparency, on the wire, and what a bid then carries.
func TestTransparencyOnTheWire(t *testing.T) {
	shown := campaign
	shown.DSA = &auction.Transparency{Behalf: "Shop", Paid: "Agency", Renders: true}
	run := func(context.Context, *auction.Request) auction.Result {
		return auction.Result{Bids: []auction.Bid{{ID: "bid1", Price: 1500, Candidate: auction.Candidate{Campaign: &shown, Creative: &bannerCreative}}}}
	}
	_, base, client := startServer(t, &fakeAuctions{run: run}, nil, Options{Encoder: EncoderOptions{AllowInsecure: true}})
	f := func(dsa, want string) {
		t.Helper()
		_, answer := do(t, client, "POST", base+"/openrtb2/bid",
			`{"id":"r","tmax":1000,"imp":[{"id":"1","banner":{"w":300,"h":250}}],"regs":{"gdpr":0,"ext":{"dsa":`+dsa+`}}}`, "Content-Type", "application/json")
		var response openrtb2.BidResponse
		if err := json.Unmarshal([]byte(answer), &response); err != nil {
			t.Fatal(err, answer)
		}
		if got := string(response.SeatBid[0].Bid[0].Ext); got != want {
			t.Errorf("%s: %s, want %s", dsa, got, want)
		}
	}
	const whole, alone = `{"dsa":{"behalf":"Shop","paid":"Agency","adrender":1}}`, `{"dsa":{"adrender":1}}`
	f(`{"dsarequired":2,"pubrender":0,"datatopub":2}`, whole)
	f(`{"dsarequired":3,"pubrender":1,"datatopub":1}`, whole)
	f(`{"dsarequired":"3","pubrender":"0"}`, whole)
	f(`{"dsarequired":2,"pubrender":0,"datatopub":0}`, alone)
	f(`{"dsarequired":1}`, whole)
	f(`{"dsarequired":1,"pubrender":2}`, "")
	f(`{"dsarequired":0,"pubrender":0}`, "")
	f(`{}`, "")
	f(`null`, "")
	f(`"x"`, "")
}
