package campaigns_test

import (
	"testing"

	"gavel/internal/auction"
	"gavel/internal/campaigns"
)

func TestLandingsOutliveTheirCampaign(t *testing.T) {
	var l campaigns.Landings
	set := func(id, url string) *auction.CampaignSet {
		set, err := auction.NewCampaignSet([]auction.Campaign{{
			ID: id, Advertiser: "Stride", Domain: "stride.example", DailyBudget: 1, Goal: auction.Goal{Kind: auction.CPM, Value: 1},
			Creatives: []auction.Creative{{ID: "x", Kind: auction.NativeCreative, Markup: "{}", ClickURL: url}},
		}}, auction.SetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	f := func(campaign, creative, want string) {
		t.Helper()
		if got, ok := l.Page(campaign, creative); got != want || ok != (want != "") {
			t.Errorf("%s/%s: got %q, %v, want %q", campaign, creative, got, ok, want)
		}
	}
	f("shoes", "x", "")
	l.Learn(set("shoes", "https://stride.example/old"))
	l.Learn(set("shoes", "https://stride.example/new"))
	l.Learn(set("boots", "https://stride.example/boots"))
	f("shoes", "x", "https://stride.example/new")
	f("boots", "x", "https://stride.example/boots")
	f("boots", "y", "")
}
