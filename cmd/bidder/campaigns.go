package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"gavel/internal/auction"
	"gavel/internal/campaigns"
	"gavel/internal/console"
	"gavel/internal/features"
	"gavel/internal/leases"
	"gavel/internal/scoring"
	"gavel/internal/sellers"
)

// startCampaigns makes the auctioneer, gives it the campaign file, and follows the file's changes.
func (b *bidder) startCampaigns(ctx context.Context) (err error) {
	b.auctioneer, err = auction.NewAuctioneer(auction.AuctioneerOptions{
		Scorer:  scoring.NewScorer(b.models, b.config.Auction.Click, b.config.Auction.Conversion, b.log),
		Budget:  b.ledger,
		Shading: auction.Shading{Bidders: b.config.Auction.FirstPriceBidders},
	})
	if err != nil {
		return err
	}
	b.metrics.MustRegister(console.NewMoney(b.ledger, b.auctioneer))
	b.campaigns, err = campaigns.Open(campaigns.Options{
		Path: b.config.Campaigns, Set: setOptions(b.config), Log: b.log, Registerer: b.metrics,
		OnLoad: b.useCampaigns,
	})
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	if err := b.leases.Renew(ctx); err != nil {
		return err
	}
	b.leases.Start()
	b.parts.Loop("campaign watch", closeTimeout, b.campaigns.Run)
	return nil
}

// useCampaigns gives a campaign set to the parts that need it. The ledger and the leases come before the auctioneer, so
// that each campaign has a budget before it bids.
func (b *bidder) useCampaigns(set *auction.CampaignSet) {
	if warning := campaigns.Unscorable(set, b.config.Auction.Conversion); warning != "" {
		b.log.Warn(warning)
	}
	plans := make([]auction.Plan, 0, set.Len())
	budgets := make([]leases.Budget, 0, set.Len())
	for _, c := range set.All() {
		plans = append(plans, auction.PlanFor(c))
		budgets = append(budgets, leases.Budget{Campaign: c.ID, Daily: c.DailyBudget})
	}
	b.landings.Learn(set)
	b.ledger.SetPlans(plans, time.Now())
	b.leases.SetBudgets(budgets)
	b.auctioneer.SetCampaigns(set)
}

// setOptions are the options with which the campaign file is compiled.
func setOptions(c Config) auction.SetOptions {
	return auction.SetOptions{
		Currency: c.Auction.Currency, DefaultSeat: c.Auction.Seat, Limit: c.Auction.MaxCandidates,
		LocalHour: features.LocalHourOfWeek, Models: c.served(),
	}
}

// check reads the configuration and the campaign file that it names. If a file has faults, the error lists them all.
func check(path string, stdout io.Writer) error {
	config, err := LoadConfig(path)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	if _, err := sellers.New(config.Sellers, config.Auction.Currency); err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	set, err := campaigns.Load(config.Campaigns, setOptions(config))
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	report := fmt.Sprintf("%s: sound\n%s: sound, %d campaigns\n", path, config.Campaigns, set.Len())
	if len(config.Sellers) == 0 {
		report += path + ": warning: sellers: there are none, so every bid request is refused\n"
	}
	if warning := campaigns.Unscorable(set, config.Auction.Conversion); warning != "" {
		report += config.Campaigns + ": warning: " + warning + "\n"
	}
	_, err = io.WriteString(stdout, report)
	return err
}
