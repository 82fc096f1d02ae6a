package openrtb

import (
	"strings"
	"testing"

	"gavel/internal/auction"
)

// prebidAccepts applies the published rules of Prebid Server on transparency (its package dsa): which bids it rejects.
func prebidAccepts(required int, pubRender *int, ext string) string {
	has := ext != ""
	adRender := -1
	switch {
	case strings.Contains(ext, `"adrender":1`):
		adRender = 1
	case strings.Contains(ext, `"adrender":0`):
		adRender = 0
	}
	switch {
	case !has && required >= 2:
		return "DSA object missing when required"
	case !has:
	case pubRender != nil && *pubRender == 0 && adRender != 1:
		return "DSA publisher and buyer both signal will not render"
	case pubRender != nil && *pubRender == 2 && adRender == 1:
		return "DSA publisher and buyer both signal will render"
	}
	return ""
}

// Whatever a request asks: of the campaigns that an auction lets bid, every bid is one that Prebid Server accepts.
func TestTransparencyIsAccepted(t *testing.T) {
	campaigns := []auction.Campaign{}
	for i, d := range []*auction.Transparency{
		nil, {Behalf: "Shop", Paid: "Agency", Users: []auction.TransparencyUser{{Domain: "data.example", Params: []int{1, 2}}}}, {Behalf: "Shop", Paid: "Shop", Renders: true},
	} {
		c := auction.Campaign{
			ID: string(rune('a' + i)), Advertiser: "A", Domain: "shop.example", DailyBudget: 1e9, Goal: auction.Goal{Kind: auction.CPC, Value: 100_000},
			Creatives: []auction.Creative{{ID: "b", Kind: auction.BannerCreative, Size: auction.Size{W: 300, H: 250}, Markup: "<b>", ClickURL: "https://shop.example/"}},
			DSA:       d,
		}
		campaigns = append(campaigns, c)
	}
	set, err := auction.NewCampaignSet(campaigns, auction.SetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bids, sent := 0, 0
	for required := -1; required <= 3; required++ {
		for render := -1; render <= 2; render++ {
			for publish := -1; publish <= 2; publish++ {
				w := &wireDSA{Required: demand(max(required, 0))}
				var pub *int
				if render >= 0 {
					r := int64(render)
					w.PubRender, pub = &r, &render
				}
				if publish >= 0 {
					p := int64(publish)
					w.DataToPub = &p
				}
				if required < 0 {
					w, pub = nil, nil
				}
				req := bannerRequest()
				dsa(w, &req.Privacy.DSA)
				candidates, _ := set.Candidates(req, nil)
				for _, c := range candidates {
					ext := string(transparency(req, c.Campaign.DSA))
					bids++
					if ext != "" {
						sent++
					}
					if why := prebidAccepts(required, pub, ext); why != "" {
						t.Errorf("required %d, pubrender %d, campaign %s: %s: %s", required, render, c.Campaign.ID, ext, why)
					}
					if publish == 0 && strings.Contains(ext, "Shop") {
						t.Errorf("sent although it is not wanted: %s", ext)
					}
				}
				if required >= 2 && len(candidates) == 0 {
					t.Errorf("required %d, pubrender %d: no campaign bids", required, render)
				}
			}
		}
	}
	if bids < 100 || sent < 50 {
		t.Errorf("%d bids, %d with transparency: nothing was tested", bids, sent)
	}
	req := bannerRequest()
	req.Privacy.DSA = auction.DSA{Asked: true, Required: true}
	want := `{"dsa":{"behalf":"Shop","paid":"Agency","transparency":[{"domain":"data.example","dsaparams":[1,2]}],"adrender":0}}`
	if got := string(transparency(req, campaigns[1].DSA)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
