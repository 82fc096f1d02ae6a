package console

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
)

// nobody scores nothing.
type nobody struct{}

func (nobody) Score(context.Context, *auction.Request, []auction.Candidate, []auction.Prediction, []bool) error {
	return auction.ErrNoModel
}

func TestMoneyInOneScrape(t *testing.T) {
	metrics := prometheus.NewRegistry()
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	auctioneer, err := auction.NewAuctioneer(auction.AuctioneerOptions{Scorer: nobody{}, Budget: ledger})
	if err != nil {
		t.Fatal(err)
	}
	metrics.MustRegister(NewMoney(ledger, auctioneer))
	booked := NewCountedLedger(ledger, metrics)
	scrape(t, metrics) // before there is anything

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
		t.Fatal("nothing was reserved")
	}
	booked.Book("shoes", "1", 600, now)
	booked.Book("shoes", "1", 600, now) // a repeat
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
