package openrtb

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"gavel/internal/auction"
)

var received = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testOptions(t testing.TB) *DecodeOptions {
	t.Helper()
	o := &DecodeOptions{Received: received}
	if err := o.Timing.fill(); err != nil {
		t.Fatal(err)
	}
	return o
}

func typical(t testing.TB) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/request_typical.json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestDecodeTypical(t *testing.T) {
	var got auction.Raw
	o := testOptions(t)
	o.Exchange = "adx"
	coerced, err := Decode(typical(t), &got, o)
	if err != nil || coerced {
		t.Fatalf("coerced %v, error %v", coerced, err)
	}
	want := auction.Raw{Draft: auction.Draft{
		ID: "80ce30c53c16e6ede735f123ef6e32361bfc7b22", Exchange: "adx", Received: received,
		Deadline: received.Add(110 * time.Millisecond), Type: 1, Currencies: []string{"USD"},
		BlockedCategories: []string{"IAB25", "IAB26", "IAB7-39"}, BlockedDomains: []string{"competitor.com", "gambling.example"},
		Inventory: auction.Inventory{
			Kind: auction.Site, ID: "102855", Name: "Example News", Domain: "example-news.com", Publisher: "8953",
			Page:       "https://www.example-news.com/politics/2024/10/some-long-article-title.html?utm_source=newsletter",
			Categories: []string{"IAB12", "IAB12-3"}, Language: "en",
		},
		Device: auction.Device{
			UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
				"Version/17.5 Mobile/15E148 Safari/604.1",
			IP: "203.0.113.57", Type: 4, OS: "ios", OSVersion: "17.5.1", Make: "Apple", Model: "iPhone", Language: "en",
			Carrier: "Verizon", Connection: 2, W: 390, H: 844,
			Geo: auction.Geo{Country: "US", Region: "NY", City: "New York", Zip: "10001", Metro: "501", UTCOffset: -240, HasOffset: true},
		},
		User: auction.User{
			ID: "55816b39711f9b5acf3b90e313ed29e51665623f", BuyerUID: "gavel-8f14e45fceea167a", YearOfBirth: 1984, Gender: "F",
			Segments: []auction.Segment{{Data: "example-dmp", Value: "seg-17"}, {Data: "example-dmp", Value: "seg-93"}, {Data: "example-dmp", Value: "seg-204"}},
		},
	}, Signals: auction.Signals{GDPR: auction.No, Consent: "CPc7TgAPc7TgAAGABCENDJCgAAAAAAAAAAAAAAAAAAAA", USPrivacy: "1YNN"}}
	imp := want.AddImpression()
	imp.ID, imp.TagID, imp.Secure, imp.Position = "1", "homepage-atf-728x90", true, 1
	imp.Floor, imp.FloorCurrency = 350, "USD"
	imp.Deals = []auction.Deal{{ID: "deal-7731", Floor: 1250, FloorCurrency: "USD", Type: 1, Seats: []string{"gavel"}}}
	*imp.UseBanner() = auction.Banner{
		Sizes:        []auction.Size{{W: 728, H: 90}, {W: 970, H: 90}, {W: 970, H: 250}},
		BlockedTypes: []int{4}, BlockedAttributes: []int{1, 3, 13, 14}, MIMEs: []string{"text/html", "application/javascript"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// Each case decodes a request with the given part and checks one value.
func TestDecode(t *testing.T) {
	f := func(name, body string, wantCoerced bool, look func(*auction.Raw) any, want any) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			var r auction.Raw
			coerced, err := Decode([]byte(body), &r, testOptions(t))
			if err != nil {
				t.Fatal(err)
			}
			if coerced != wantCoerced {
				t.Errorf("coerced is %v, want %v", coerced, wantCoerced)
			}
			if got := look(&r); !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, want %#v", got, want)
			}
		})
	}
	top := func(extra string) string {
		return `{"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250}}]` + extra + `}`
	}
	imp := func(extra string) string { return `{"id":"r","imp":[{"id":"1",` + extra + `}]}` }
	tmax := func(r *auction.Raw) any { return r.Deadline.Sub(r.Received) }

	f("tmax less margin", top(`,"tmax":80`), false, tmax, 70*time.Millisecond)
	f("no tmax", top(``), false, tmax, 90*time.Millisecond)
	f("tmax 0", top(`,"tmax":0`), false, tmax, 90*time.Millisecond)
	f("tmax negative", top(`,"tmax":-5`), false, tmax, 90*time.Millisecond)
	f("tmax tiny: at most half is margin", top(`,"tmax":3`), false, tmax, 5*time.Millisecond)
	f("tmax huge", top(`,"tmax":30000`), false, tmax, 990*time.Millisecond)
	f("tmax beyond any duration", top(`,"tmax":9223372036854775807`), false, tmax, 990*time.Millisecond)
	f("tmax as float", top(`,"tmax":100.0`), true, tmax, 90*time.Millisecond)
	f("tmax as string", top(`,"tmax":"200"`), true, tmax, 190*time.Millisecond)
	f("tmax as empty string", top(`,"tmax":""`), true, tmax, 90*time.Millisecond)
	f("tmax as object", top(`,"tmax":{}`), true, tmax, 90*time.Millisecond)

	kind := func(r *auction.Raw) any { return r.Type }
	f("at absent", top(``), false, kind, 2)
	f("at first", top(`,"at":1`), false, kind, 1)
	f("at as string", top(`,"at":"1"`), true, kind, 1)
	f("test as boolean", top(`,"test":true`), true, func(r *auction.Raw) any { return r.Test }, true)
	f("cur upper case", top(`,"cur":["eur","USD"]`), false, func(r *auction.Raw) any { return r.Currencies }, []string{"EUR", "USD"})
	f("cur as string", top(`,"cur":"EUR"`), true, func(r *auction.Raw) any { return r.Currencies }, []string{"EUR"})
	f("bcat with a number", top(`,"bcat":["IAB1",7]`), true, func(r *auction.Raw) any { return r.BlockedCategories }, []string{"IAB1", "7"})
	f("badv normalised", top(`,"badv":["WWW.Foo.com","https://bar.com/x"]`), false,
		func(r *auction.Raw) any { return r.BlockedDomains }, []string{"foo.com", "bar.com"})
	f("bapp, wseat, bseat", top(`,"bapp":["a"],"wseat":["s"],"bseat":["t"]`), false,
		func(r *auction.Raw) any { return [][]string{r.BlockedApps, r.Seats, r.BlockedSeats} }, [][]string{{"a"}, {"s"}, {"t"}})
	f("keys in other case", `{"ID":"r","Imp":[{"id":"1","Banner":{"w":1,"h":2}}]}`, false,
		func(r *auction.Raw) any { return r.Impressions[0].Banner.Sizes }, []auction.Size{{W: 1, H: 2}})
	f("keys in other case, coerced", `{"ID":5,"Imp":[{"id":"1","Banner":{"w":"1","h":2}}]}`, true,
		func(r *auction.Raw) any { return []any{r.ID, r.Impressions[0].Banner.Sizes} }, []any{"5", []auction.Size{{W: 1, H: 2}}})
	f("long numeric ids keep every digit", `{"id":12345678901234567890,"imp":{"id":2,"banner":{}}}`, true,
		func(r *auction.Raw) any { return []string{r.ID, r.Impressions[0].ID} }, []string{"12345678901234567890", "2"})
	f("null everywhere", `{"id":"r","imp":[{"id":"1","banner":{"w":null,"format":null},"video":null,"pmp":null,"secure":null}],
		"site":null,"device":null,"user":null,"regs":null,"cur":null,"tmax":null,"test":null}`, false, tmax, 90*time.Millisecond)

	banner := func(r *auction.Raw) any { return r.Impressions[0].Banner.Sizes }
	f("sizes from both places once", imp(`"banner":{"w":300,"h":250,"format":[{"w":728,"h":90},{"w":300,"h":250},{"w":0,"h":9}]}`),
		false, banner, []auction.Size{{W: 300, H: 250}, {W: 728, H: 90}})
	f("size as strings", imp(`"banner":{"w":"728","h":"90"}`), true, banner, []auction.Size{{W: 728, H: 90}})
	f("size as floats", imp(`"banner":{"w":728.0,"h":90.9}`), true, banner, []auction.Size{{W: 728, H: 90}})
	f("size beyond int", imp(`"banner":{"w":1e300,"h":-4}`), true, banner, []auction.Size(nil))
	f("format as one object", imp(`"banner":{"format":{"w":1,"h":2}}`), true, banner, []auction.Size{{W: 1, H: 2}})
	secure := func(r *auction.Raw) any { return r.Impressions[0].Secure }
	f("secure as string", imp(`"banner":{},"secure":"1"`), true, secure, true)
	f("secure as boolean", imp(`"banner":{},"secure":true`), true, secure, true)
	f("secure false", imp(`"banner":{},"secure":"false"`), true, secure, false)
	floors := func(r *auction.Raw) any { return []any{r.Impressions[0].Floor, r.Impressions[0].FloorCurrency} }
	f("no floor", imp(`"banner":{}`), false, floors, []any{auction.Micros(0), "USD"})
	f("floor", imp(`"banner":{},"bidfloor":0.150,"bidfloorcur":"eur"`), false, floors, []any{auction.Micros(150), "EUR"})
	f("a floor finer than micros is rounded up", imp(`"banner":{},"bidfloor":0.1503213`), false, floors, []any{auction.Micros(151), "USD"})
	f("a floor below the first micro", imp(`"banner":{},"bidfloor":0.0001`), false, floors, []any{auction.Micros(1), "USD"})
	f("a floor that is a whole micro", imp(`"banner":{},"bidfloor":1.235`), false, floors, []any{auction.Micros(1235), "USD"})
	f("floor as string", imp(`"banner":{},"bidfloor":"1.5"`), true, floors, []any{auction.Micros(1500), "USD"})
	f("floor negative", imp(`"banner":{},"bidfloor":-1`), false, floors, []any{auction.Micros(0), "USD"})
	f("floor beyond micros cannot be met", imp(`"banner":{},"bidfloor":1e300`), false,
		func(r *auction.Raw) any { return r.Impressions[0].Floor > 1e15 }, true)
	f("several formats", imp(`"banner":{"w":1,"h":1},"video":{"mimes":["video/mp4"],"protocols":[2],"protocol":3,"w":640,"h":480,
		"minduration":5,"maxduration":30,"placement":1,"plcmt":4,"pos":7,"battr":[1]},"audio":{"mimes":["audio/mpeg"],"maxduration":60},
		"native":{"request":"{}","ver":"1.2"},"instl":1,"rwdd":1`), false, func(r *auction.Raw) any {
		i := r.Impressions[0]
		return []any{*i.Video, *i.Audio, *i.Native, i.Interstitial, i.Rewarded, i.Position}
	}, []any{
		auction.Video{Size: auction.Size{W: 640, H: 480}, MIMEs: []string{"video/mp4"}, MinDuration: 5, MaxDuration: 30,
			Protocols: []int{2, 3}, BlockedAttributes: []int{1}, Placement: 4},
		auction.Audio{MIMEs: []string{"audio/mpeg"}, MaxDuration: 60},
		auction.Native{Request: "{}", Version: "1.2"}, true, true, 7,
	})
	f("native request as an object", imp(`"native":{"request":{"assets":[{"id":1}]}}`), true,
		func(r *auction.Raw) any { return r.Impressions[0].Native.Request }, `{"assets":[{"id":1}]}`)
	f("protocol as list", imp(`"video":{"protocol":[2,3]}`), true, func(r *auction.Raw) any { return r.Impressions[0].Video.Protocols }, []int{2})
	f("deals", imp(`"banner":{},"pmp":{"private_auction":1,"deals":[{"id":"d","bidfloor":2,"at":3,"wseat":["s"],"wadomain":["A.com"]},{"bidfloor":1}]}`),
		false, func(r *auction.Raw) any { return []any{r.Impressions[0].PrivateAuction, r.Impressions[0].Deals} },
		[]any{true, []auction.Deal{{ID: "d", Floor: 2000, FloorCurrency: "USD", Type: 3, Seats: []string{"s"}, Advertisers: []string{"a.com"}}}})
	ids := func(r *auction.Raw) any {
		var ids []string
		for _, i := range r.Impressions {
			ids = append(ids, i.ID)
		}
		return ids
	}
	f("impressions without a format, and with an id again", `{"id":"r","imp":[{"id":"1"},{"id":"2","banner":{}},{"id":"2","video":{}},{"id":"3","audio":{}}]}`,
		false, ids, []string{"2", "3"})
	f("no impression with a format", imp(`"ext":{}`), false, ids, []string(nil))

	country := func(r *auction.Raw) any { return r.Device.Geo.Country }
	f("alpha-3", top(`,"device":{"geo":{"country":"DEU"}}`), false, country, "DE")
	f("alpha-2", top(`,"device":{"geo":{"country":"us"}}`), false, country, "US")
	f("no country", top(`,"device":{"geo":{"country":"Mars"}}`), false, country, "")
	f("user's geo", top(`,"device":{"ip":"1.2.3.4"},"user":{"geo":{"country":"CAN"}}`), false, country, "CA")
	offset := func(r *auction.Raw) any { return []any{r.Device.Geo.UTCOffset, r.Device.Geo.HasOffset} }
	f("offset 0 is one", top(`,"device":{"geo":{"utcoffset":0}}`), false, offset, []any{0, true})
	f("offset as string", top(`,"device":{"geo":{"utcoffset":"60"}}`), true, offset, []any{60, true})
	f("offset impossible", top(`,"device":{"geo":{"utcoffset":99999}}`), false, offset, []any{0, false})
	f("ipv6 and do not track", top(`,"device":{"ipv6":"::1","dnt":1,"os":"iOS","language":"EN-us"}`), false,
		func(r *auction.Raw) any {
			return []any{r.Device.IP, r.Device.LimitAds, r.Device.OS, r.Device.Language}
		},
		[]any{"::1", true, "ios", "en"})
	f("language spelt out", top(`,"device":{"language":"English","langb":"en-GB"}`), false, func(r *auction.Raw) any { return r.Device.Language }, "en")

	f("domain of the page", top(`,"site":{"page":"https://user@WWW.Example.com:8080/a?b#c"}`), false,
		func(r *auction.Raw) any { return r.Inventory.Domain }, "example.com")
	f("app", top(`,"app":{"bundle":"com.foo","cat":"IAB1","keywords":"a, b,,c","kwarray":["d"],"publisher":{"id":7},"content":{"language":"fr"}}`),
		true, func(r *auction.Raw) any { return r.Inventory }, auction.Inventory{
			Kind: auction.App, Bundle: "com.foo", Categories: []string{"IAB1"}, Keywords: []string{"a", "b", "c", "d"}, Publisher: "7", Language: "fr"})
	f("keywords as list", top(`,"site":{"keywords":["a","b"]}`), true, func(r *auction.Raw) any { return r.Inventory.Keywords }, []string{"a", "b"})
	f("dooh", top(`,"dooh":{"id":"d"}`), false, func(r *auction.Raw) any { return r.Inventory.Kind }, auction.DOOH)
	f("categories once", top(`,"site":{"cat":["A","B"],"sectioncat":["B"],"pagecat":["C","A"]}`), false,
		func(r *auction.Raw) any { return r.Inventory.Categories }, []string{"A", "B", "C"})
	f("segments", top(`,"user":{"yob":"1984","data":[{"id":"d","segment":[{"id":"1","name":"x"},{"name":"n"},{"value":"v"},{}]},{"id":"e","name":"E","segment":[{"id":"2"}]}]}`),
		true, func(r *auction.Raw) any { return []any{r.User.YearOfBirth, r.User.Segments} },
		[]any{1984, []auction.Segment{{Data: "d", Value: "1"}, {Data: "d", Value: "n"}, {Data: "d", Value: "v"}, {Data: "E", Value: "2"}}})

	rights := func(r *auction.Raw) any { return r.Signals }
	f("consent as of 2.6", top(`,"regs":{"gdpr":1,"us_privacy":"1YYN","gpp":"G","gpp_sid":[2,7],"coppa":1},"user":{"consent":"C"}`), false, rights,
		auction.Signals{GDPR: auction.Yes, Consent: "C", USPrivacy: "1YYN", GPP: "G", Sections: []int{2, 7}, COPPA: true})
	f("consent as of 2.5", top(`,"regs":{"ext":{"gdpr":1,"us_privacy":"1YYN","gpp":"G","gpp_sid":[-1]}},"user":{"ext":{"consent":"C"}}`), false, rights,
		auction.Signals{GDPR: auction.Yes, Consent: "C", USPrivacy: "1YYN", GPP: "G", Sections: []int{-1}})
	f("consent of other types", top(`,"regs":{"ext":{"gdpr":"1"}},"user":{"ext":{"consent":1}}`), true, rights, auction.Signals{GDPR: auction.Yes, Consent: "1"})
	f("ext as a string", top(`,"regs":{"ext":"x","gdpr":true},"user":{"ext":99,"consent":"C"}`), true, rights, auction.Signals{GDPR: auction.Yes, Consent: "C", COPPA: true})
	f("no answer", top(`,"regs":{}`), false, rights, auction.Signals{})
	f("null", top(`,"regs":{"gdpr":null,"ext":{"gdpr":null}}`), false, rights, auction.Signals{})
	f("no regs", top(`,"regs":null`), false, rights, auction.Signals{})
	f("gdpr -1", top(`,"regs":{"gdpr":-1}`), false, rights, auction.Signals{})
	f("gdpr in ext alone", top(`,"regs":{"ext":{"gdpr":0}}`), false, rights, auction.Signals{GDPR: auction.No})
	f("gdpr as an object", top(`,"regs":{"gdpr":{}}`), true, rights, auction.Signals{GDPR: auction.Yes})
	f("gdpr no", top(`,"regs":{"gdpr":0}`), false, rights, auction.Signals{GDPR: auction.No})
	f("gdpr no and yes", top(`,"regs":{"gdpr":0,"ext":{"gdpr":1}}`), false, rights, auction.Signals{GDPR: auction.Yes})
	f("gpc as specified", top(`,"regs":{"ext":{"gpc":"1"}}`), false, rights, auction.Signals{GPC: true})
	f("gpc as a number", top(`,"regs":{"ext":{"gpc":1}}`), true, rights, auction.Signals{GPC: true})
	f("gpc as a boolean", top(`,"regs":{"ext":{"gpc":true}}`), true, rights, auction.Signals{GPC: true})
	f("gpc off", top(`,"regs":{"ext":{"gpc":"0"}}`), false, rights, auction.Signals{})
	f("lmt", top(`,"device":{"lmt":1}`), false, rights, auction.Signals{LimitAds: true})
	f("dnt as a boolean", top(`,"device":{"dnt":true}`), true, rights, auction.Signals{DoNotTrack: true})
	f("coppa in ext", top(`,"regs":{"ext":{"coppa":1}}`), false, rights, auction.Signals{COPPA: true})
	f("coppa of another number", top(`,"regs":{"coppa":2}`), false, rights, auction.Signals{COPPA: true})
	f("gpp_sid as a number", top(`,"regs":{"gpp":"G","gpp_sid":7}`), true, rights, auction.Signals{GPP: "G", Sections: []int{7}})

	dsa := func(r *auction.Raw) any { return r.Privacy.DSA }
	f("no dsa", top(`,"regs":{"ext":{}}`), false, dsa, auction.DSA{})
	f("dsa not required", top(`,"regs":{"ext":{"dsa":{"dsarequired":0}}}`), false, dsa, auction.DSA{})
	f("dsa taken", top(`,"regs":{"ext":{"dsa":{"dsarequired":1,"pubrender":1,"datatopub":1}}}`), false, dsa, auction.DSA{Asked: true, Render: auction.RenderEither})
	f("dsa required", top(`,"regs":{"ext":{"dsa":{"dsarequired":2,"pubrender":0,"datatopub":2}}}`), false, dsa,
		auction.DSA{Asked: true, Required: true, Render: auction.RenderNever})
	f("dsa of a platform", top(`,"regs":{"ext":{"dsa":{"dsarequired":3,"pubrender":2,"datatopub":0}}}`), false, dsa,
		auction.DSA{Asked: true, Required: true, Withheld: true, Render: auction.RenderAlways})
}

func TestDecodeRefuses(t *testing.T) {
	f := func(body, place, problem string) {
		t.Helper()
		_, err := Decode([]byte(body), new(auction.Raw), testOptions(t))
		var refused *RequestError
		if !errors.As(err, &refused) {
			t.Errorf("%.60s: error is %v, want a *RequestError", body, err)
			return
		}
		if refused.Place != place || !strings.Contains(refused.Problem, problem) {
			t.Errorf("%.60s: refused at %q: %q, want %q: %q", body, refused.Place, refused.Problem, place, problem)
		}
	}
	f(``, "", "is not JSON")
	f(`{"id":"1",`, "", "is not JSON")
	f(`{"id":"1","imp":[{"id":"1","banner":{}}]} trailing`, "", "is not JSON")
	f(`bid please`, "", "is not JSON")
	f("\x00\xff\x1f\x8b", "", "is not JSON")
	f(`[]`, "", "is not a JSON object")
	f(`"x"`, "", "is not a JSON object")
	f(`17`, "", "is not a JSON object")
	f(`null`, "id", "is missing")
	f(`{}`, "id", "is missing")
	f(`{"imp":[{"id":"1","banner":{}}]}`, "id", "is missing")
	f(`{"id":"","imp":[{"id":"1","banner":{}}]}`, "id", "is missing")
	f(`{"id":{},"imp":[{"id":"1","banner":{}}]}`, "id", "is missing")
	f(`{"id":"1"}`, "imp", "is missing or empty")
	f(`{"id":"1","imp":[]}`, "imp", "is missing or empty")
	f(`{"id":"1","imp":null}`, "imp", "is missing or empty")
	f(`{"id":"1","imp":"1"}`, "imp", "is not an array of objects")
	f(`{"id":"1","imp":[{"banner":{}}]}`, "imp[0].id", "is missing")
	f(`{"id":"1","imp":[{"id":"1","banner":{}},{"id":null}]}`, "imp[1].id", "is missing")
	f(`{"id":"1","imp":[{"id":"1"},7]}`, "imp[1].id", "is missing")
	f(strings.Repeat("[", 100_000), "", "nested deeper")
	f(`{"id":"1","x":`+strings.Repeat(`{"a":`, 100_000), "", "nested deeper")
}

// A request's strings stay valid after the body and the request are reused.
func TestDecodeOwnsItsStrings(t *testing.T) {
	body := typical(t)
	var r auction.Raw
	if _, err := Decode(body, &r, testOptions(t)); err != nil {
		t.Fatal(err)
	}
	page, segment := r.Inventory.Page, r.User.Segments[0].Value
	clear(body)
	if _, err := Decode([]byte(`{"id":"2","imp":[{"id":"9","video":{}}]}`), &r, testOptions(t)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(page, "https://www.example-news.com/") || segment != "seg-17" {
		t.Errorf("strings changed under their holder: %q, %q", page, segment)
	}
	if len(r.Impressions) != 1 || r.Impressions[0].Banner != nil || r.User.Segments != nil && len(r.User.Segments) != 0 || len(r.Impressions[0].Deals) != 0 {
		t.Errorf("something of the earlier request is left: %+v", r)
	}
}

func TestManyImpressions(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"id":"1","imp":[`)
	for i := range 20_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"id":"` + strings.Repeat("x", i%300+1) + `","banner":{}}`)
	}
	b.WriteString(`]}`)
	var r auction.Raw
	if _, err := Decode([]byte(b.String()), &r, testOptions(t)); err != nil {
		t.Fatal(err)
	}
	if len(r.Impressions) != MaxImpressions {
		t.Errorf("%d impressions, want %d", len(r.Impressions), MaxImpressions)
	}
}

func TestTimingFaults(t *testing.T) {
	f := func(timing Timing, want string) {
		t.Helper()
		if err := timing.fill(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error is %v, want one with %q", timing, err, want)
		}
	}
	f(Timing{Min: time.Second, Max: time.Millisecond}, "min ≤ default ≤ max")
	f(Timing{Default: time.Hour}, "min ≤ default ≤ max")
	f(Timing{Margin: -1}, "must not be negative")
}
