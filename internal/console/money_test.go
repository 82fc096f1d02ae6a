package console

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
)

// noScorer is an auction.Scorer without a model.
type noScorer struct{}

func (noScorer) Score(context.Context, *auction.Request, []auction.Candidate, []auction.Prediction, []bool) error {
	return auction.ErrNoModel
}

func TestScrapeMoney(t *testing.T) {
	metrics := prometheus.NewRegistry()
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	auctioneer, err := auction.NewAuctioneer(auction.AuctioneerOptions{Scorer: noScorer{}, Budget: ledger})
	if err != nil {
		t.Fatal(err)
	}
	metrics.MustRegister(NewMoney(ledger, auctioneer))
	counted := NewCountedLedger(ledger, metrics)
	scrape(t, metrics) // without campaigns

	campaign := auction.Campaign{
		ID: "shoes", Advertiser: "Stride", Domain: "stride.example", DailyBudget: 5e6, Goal: auction.Goal{Kind: auction.CPM, Value: 1000},
		Creatives: []auction.Creative{{ID: "box", Kind: auction.BannerCreative, Size: auction.Size{W: 300, H: 250}, Markup: "<p>", ClickURL: "https://stride.example/"}},
	}
	set, err := auction.NewCampaignSet([]auction.Campaign{campaign}, auction.SetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	auctioneer.SetCampaigns(set)
	now := time.Now()
	ledger.SetPlans([]auction.Plan{auction.PlanFor(&campaign)}, now)
	ledger.Grant("shoes", auction.DayOf(now), 4e6)
	if !ledger.Reserve("shoes", "1", 700, now) || !ledger.Reserve("shoes", "2", 500, now) {
		t.Fatal("cannot reserve the prices of two bids")
	}
	counted.Book("shoes", "1", 600, now)
	counted.Book("shoes", "1", 600, now) // the same bid again: not counted
	expect(t, scrape(t, metrics), map[string]string{
		`gavel_spend_micros_total{campaign="shoes"}`: "600",
		`gavel_spent_today_micros{campaign="shoes"}`: "600",
		`gavel_reserved_micros{campaign="shoes"}`:    "500",
		`gavel_allowed_micros{campaign="shoes"}`:     "4e+06",
		`gavel_budget_micros{campaign="shoes"}`:      "5e+06",
		`gavel_ledger_total{outcome="repeated"}`:     "1",
		`gavel_auction_total{step="bids"}`:           "0",
	})
}
