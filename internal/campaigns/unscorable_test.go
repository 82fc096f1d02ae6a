package campaigns_test

import (
	"testing"

	"gavel/internal/auction"
	"gavel/internal/campaigns"
)

func TestUnscorable(t *testing.T) {
	campaign := func(id string, kind auction.GoalKind, model string) auction.Campaign {
		return auction.Campaign{
			ID: id, Advertiser: "Stride", Domain: "stride.example", DailyBudget: 1, Goal: auction.Goal{Kind: kind, Value: 1},
			Models:    auction.CampaignModels{Conversion: model},
			Creatives: []auction.Creative{{ID: "x", Kind: auction.NativeCreative, Markup: "{}", ClickURL: "https://stride.example"}},
		}
	}
	f := func(conversion, want string, all ...auction.Campaign) {
		t.Helper()
		set, err := auction.NewCampaignSet(all, auction.SetOptions{Models: []string{"ctr", "cvr"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := campaigns.Unscorable(set, conversion); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	click, own := campaign("a", auction.CPC, ""), campaign("b", auction.CPA, "cvr")
	sale, sales := campaign("c", auction.CPA, ""), campaign("d", auction.CPA, "")
	f("", "", click, own)
	f("cvr", "", sale)
	f("", "2 campaigns pay by conversion and will not bid, because auction.conversion names no model; the first is c", click, own, sale, sales)
}
