package main

import (
	"cmp"
	"fmt"
	"io"

	"gavel/internal/auction"
	"gavel/internal/campaigns"
)

// check reads the configuration and the campaign file it names, and reports every fault of both.
func check(path string, stdout io.Writer) error {
	config, err := LoadConfig(path)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	set, err := campaigns.Load(config.Campaigns, setOptions(config))
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	report := fmt.Sprintf("%s: sound\n%s: sound, %d campaigns\n", path, config.Campaigns, set.Len())
	if warning := unscorable(config, set); warning != "" {
		report += config.Campaigns + ": warning: " + warning + "\n"
	}
	_, err = io.WriteString(stdout, report)
	return err
}

// unscorable says which campaigns cannot bid because no model of conversions is configured; "" if all can.
func unscorable(config Config, set *auction.CampaignSet) string {
	n, first := 0, ""
	for _, c := range set.All() {
		if config.Auction.Conversion == "" && c.Models.Conversion == "" && c.Goal.Kind == auction.CPA {
			n++
			first = cmp.Or(first, c.ID)
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d campaigns pay by conversion (%s, to begin with) and will not bid: auction.conversion names no model", n, first)
}
