package auction

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// The candidates of an auction are those that Pair makes, with the same creative, deal and floor.
func TestPair(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var campaigns []Campaign
	for i := range 60 {
		campaigns = append(campaigns, randomCampaign(rng, i))
	}
	set := mustSet(t, campaigns, SetOptions{Limit: 100, MaxCandidates: 1000})
	found := 0
	for i := range 300 {
		req := randomRequest(rng, i)
		candidates, _ := set.Candidates(req, nil)
		for _, want := range candidates {
			for _, creative := range []string{"", want.Creative.ID} {
				got, err := set.Pair(req, req.Impressions[want.Impression].ID, want.Campaign.ID, creative)
				if err != nil || creative == "" && got != want || got.Campaign != want.Campaign || got.Creative.ID != want.Creative.ID {
					t.Fatalf("%s on impression %d with creative %q: %+v, %v; want %+v", want.Campaign.ID, want.Impression, creative, got, err, want)
				}
			}
			found++
		}
	}
	if found < 100 {
		t.Fatalf("only %d candidates", found)
	}
}

func TestPairRefuses(t *testing.T) {
	set := mustSet(t, []Campaign{plainCampaign("c")}, SetOptions{})
	f := func(impression, campaign, creative, want string) {
		t.Helper()
		if _, err := set.Pair(plainRequest(), impression, campaign, creative); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %s %s: %v, want %q", impression, campaign, creative, err, want)
		}
	}
	f("2", "c", "", `no impression "2"`)
	f("1", "d", "", `no campaign "d"`)
	f("1", "c", "x", `campaign "c" has no creative "x"`)
	set = mustSet(t, []Campaign{plainCampaign("c", func(c *Campaign) { c.Creatives[0].Size.W = 1 })}, SetOptions{})
	f("1", "c", "", `no creative of campaign "c" fits impression "1"`)
}
