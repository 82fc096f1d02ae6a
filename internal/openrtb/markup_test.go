package openrtb

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	nativeresponse "github.com/prebid/openrtb/v20/native1/response"

	"gavel/internal/auction"
)

var links = Links{Impression: "https://b.test/i?t=1", Click: "https://b.test/c?t=1"}

func TestBannerMarkup(t *testing.T) {
	f := func(markup, want string) {
		t.Helper()
		if got := bannerMarkup(markup, &links); got != want {
			t.Errorf("%q\n got %q\nwant %q", markup, got, want)
		}
	}
	const pixel = `<img src="https://b.test/i?t=1" width="1" height="1" style="display:none" alt="">`
	f(``, pixel)
	f(`<b>${CLICK_URL}</b>`, `<b>https://b.test/c?t=1</b>`+pixel)
	f(`${IMPRESSION_URL}${CLICK_URL}`, `https://b.test/i?t=1https://b.test/c?t=1`)
	f(`x?c=${CLICK_URL_ENC}&i=${IMPRESSION_URL}`, `x?c=https%3A%2F%2Fb.test%2Fc%3Ft%3D1&i=https://b.test/i?t=1`)
	f(`${AUCTION_PRICE}${CLICK_UR${${IMPRESSION_URL}$`, `${AUCTION_PRICE}${CLICK_UR${https://b.test/i?t=1$`)
}

func TestVASTMarkup(t *testing.T) {
	f := func(name, markup string, wantImpressions, wantClicks int) {
		t.Helper()
		got := vastMarkup(markup, &links)
		impressions, clicks := 0, 0
		decoder := xml.NewDecoder(strings.NewReader(got))
		inside := ""
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: not well-formed: %v in %s", name, err, got)
			}
			switch token := token.(type) {
			case xml.StartElement:
				inside = token.Name.Local
			case xml.CharData:
				switch {
				case inside == "Impression" && string(token) == links.Impression:
					impressions++
				case (inside == "ClickTracking" || inside == "ClickThrough") && string(token) == links.Click:
					clicks++
				}
			}
		}
		if impressions != wantImpressions || clicks != wantClicks {
			t.Errorf("%s: %d impressions and %d clicks tracked, want %d and %d, in %s", name, impressions, clicks, wantImpressions, wantClicks, got)
		}
	}
	inline := func(impression, linear string) string {
		return `<VAST version="3.0"><Ad id="1"><InLine><AdSystem>x</AdSystem><AdTitle>y</AdTitle>` + impression +
			`<Creatives><Creative><Linear>` + linear + `</Linear></Creative></Creatives></InLine></Ad></VAST>`
	}
	f("nothing tracked", inline("", "<Duration>00:00:15</Duration>"), 1, 1)
	f("another's impression stays", inline("<Impression>https://x.test</Impression>", ""), 1, 1)
	f("clicks of their own", inline("", "<VideoClicks><ClickThrough>https://x.test</ClickThrough></VideoClicks>"), 1, 1)
	f("with macros", inline("<Impression>${IMPRESSION_URL}</Impression>",
		"<VideoClicks><ClickThrough><![CDATA[${CLICK_URL}]]></ClickThrough></VideoClicks>"), 1, 1)
	f("wrapper", `<VAST version="3.0"><Ad><Wrapper><VASTAdTagURI>https://x.test</VASTAdTagURI><Creatives></Creatives></Wrapper></Ad></VAST>`, 1, 0)
}

const nativeCreative = `{"native":{"assets":[{"title":{"text":"Buy shoes"}},{"img":{"type":3,"url":"https://cdn.test/m.png","w":1200,"h":627}},
{"img":{"type":1,"url":"https://cdn.test/i.png","w":80,"h":80}},{"data":{"type":1,"value":"Shop"}},{"data":{"type":12,"value":"Buy"}},{"data":{"type":2,"value":"Good ones"}}],
"link":{"url":"https://shop.test"}}}`

func TestNativeMarkup(t *testing.T) {
	f := func(name, request, creative, want string, check func(*testing.T, *nativeresponse.Response)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			markup, ok := nativeMarkup(&auction.Native{Request: request}, creative, &links)
			if !ok {
				if want != "" {
					t.Fatal("refused")
				}
				return
			}
			var got nativeresponse.Response
			if err := json.Unmarshal([]byte(markup), &got); err != nil {
				t.Fatalf("%v in %s", err, markup)
			}
			var assets []string
			for _, a := range got.Assets {
				id, err := json.Marshal(a.ID)
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case a.Title != nil:
					assets = append(assets, string(id)+"="+a.Title.Text)
				case a.Img != nil:
					assets = append(assets, string(id)+"="+a.Img.URL)
				case a.Data != nil:
					assets = append(assets, string(id)+"="+a.Data.Value)
				}
			}
			if joined := strings.Join(assets, " "); joined != want {
				t.Errorf("assets %q, want %q", joined, want)
			}
			if got.Ver != "1.2" || strings.Contains(markup, "${") || strings.Count(markup, links.Click) != 1 || strings.Count(markup, links.Impression) != 1 {
				t.Errorf("version, click or impression are not right: %s", markup)
			}
			if check != nil {
				check(t, &got)
			}
		})
	}
	const all = "1=Buy shoes 2=https://cdn.test/m.png 3=https://cdn.test/i.png 4=Shop 5=Buy 6=Good ones"
	f("nothing asked", "", nativeCreative, all, nil)
	f("no assets asked", "{}", nativeCreative, all, nil)
	f("numbered as asked", `{"ver":"1.2","assets":[{"id":7,"required":1,"img":{"type":1,"wmin":50}},{"id":0,"required":1,"title":{"len":25}},{"id":9,"data":{"type":3}}]}`,
		nativeCreative, "7=https://cdn.test/i.png 0=Buy shoes", nil)
	f("wrapped, of other types", `{"native":{"assets":[{"id":"7","required":"1","title":{"len":"25"}}]}}`, nativeCreative, "7=Buy shoes", nil)
	f("event tracker where asked", `{"assets":[{"id":1,"title":{"len":90}}],"eventtrackers":[{"event":1,"methods":[1,2]}]}`, nativeCreative, "1=Buy shoes",
		func(t *testing.T, r *nativeresponse.Response) {
			if len(r.EventTrackers) != 1 || len(r.ImpTrackers) != 0 {
				t.Errorf("trackers %v and %v", r.EventTrackers, r.ImpTrackers)
			}
		})
	f("link with the macro and impression tracker of its own", "", `{"assets":[],"link":{"url":"${CLICK_URL}"},"imptrackers":["${IMPRESSION_URL}"]}`, "",
		func(t *testing.T, r *nativeresponse.Response) {
			if r.Link.URL != links.Click || len(r.ImpTrackers) != 1 {
				t.Errorf("%+v", r)
			}
		})
	f("required title too long", `{"assets":[{"id":1,"required":1,"title":{"len":3}}]}`, nativeCreative, "", nil)
	f("required image too small", `{"assets":[{"id":1,"required":1,"img":{"type":3,"wmin":2000}}]}`, nativeCreative, "", nil)
	f("required data lacking", `{"assets":[{"id":1,"required":1,"data":{"type":3}}]}`, nativeCreative, "", nil)
	f("request not JSON", `{json string}`, nativeCreative, "", nil)
	f("creative not JSON", `{}`, `<b>`, "", nil)
}

// Markup without a required asset is refused, not sent.
func TestNativeMarkupRefuses(t *testing.T) {
	for _, request := range []string{`{"assets":[{"id":1,"required":1,"title":{"len":3}}]}`, `{json string}`, `[]`, strings.Repeat("[", 1000)} {
		if markup, ok := nativeMarkup(&auction.Native{Request: request}, nativeCreative, &links); ok {
			t.Errorf("%.40s answered with %s", request, markup)
		}
	}
	if _, ok := nativeMarkup(&auction.Native{}, "<b>", &links); ok {
		t.Error("a creative that is no JSON was sent")
	}
}
