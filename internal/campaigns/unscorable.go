package campaigns

import (
	"cmp"
	"fmt"

	"gavel/internal/auction"
)

// Unscorable returns a warning about the campaigns of set that cannot bid: they pay by conversion, but no model predicts
// conversions for them. conversion names the bidder's model of conversions; "" means that it has none. If all campaigns
// can bid, Unscorable returns "".
func Unscorable(set *auction.CampaignSet, conversion string) string {
	if conversion != "" {
		return ""
	}
	n, first := 0, ""
	for _, c := range set.All() {
		if c.Goal.Kind == auction.CPA && c.Models.Conversion == "" {
			n++
			first = cmp.Or(first, c.ID)
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d campaigns pay by conversion and will not bid, because auction.conversion names no model; the first is %s", n, first)
}
