package auction

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Shared by tests: a campaign and a request that match, and random worlds.

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func plainCampaign(id string, edits ...func(*Campaign)) Campaign {
	c := Campaign{
		ID: id, Advertiser: "A", Domain: "shop.example", DailyBudget: 1e9, Goal: Goal{CPC, 100_000},
		Creatives: []Creative{{
			ID: "box", Kind: BannerCreative, Size: Size{300, 250}, Markup: "<b>ad</b>", ClickURL: "https://shop.example/",
		}},
	}
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

func plainRequest(edits ...func(*Request)) *Request {
	r := &Request{
		ID: "r1", Exchange: "default", Received: noon, Deadline: noon.Add(100 * time.Millisecond), Type: SecondPrice,
		Impressions: []Impression{{ID: "1", FloorCurrency: "USD", Banner: &Banner{Sizes: []Size{{300, 250}}}}},
		Inventory:   Inventory{Kind: Site, Domain: "news.example", Categories: []string{"IAB12-1"}},
		Device:      Device{Type: 2, OS: "windows", Language: "en", Geo: Geo{Country: "US", Region: "CA"}},
	}
	for _, edit := range edits {
		edit(r)
	}
	return r
}

func mustSet(t interface {
	Helper()
	Fatal(...any)
}, campaigns []Campaign, o SetOptions) *CampaignSet {
	t.Helper()
	set, err := NewCampaignSet(campaigns, o)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// pick returns up to n different values of from, often none, so that the dimension is often open.
func pick[T comparable](rng *rand.Rand, n int, from ...T) (out []T) {
	if rng.IntN(3) > 0 {
		return nil
	}
	for range 1 + rng.IntN(n) {
		if v := from[rng.IntN(len(from))]; !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func one[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

var (
	someSizes      = []Size{{300, 250}, {728, 90}, {320, 50}}
	someDomains    = []string{"news.example", "m.news.example", "sport.example", "example", "a.b.sport.example"}
	someShops      = []string{"shop.example", "eu.shop.example", "bank.example"}
	someCategories = []string{"IAB1", "IAB1-2", "IAB1-3", "IAB7", "IAB7-39"}
)

func randomCampaign(rng *rand.Rand, id int) Campaign {
	c := plainCampaign(fmt.Sprintf("c%d", id))
	c.Domain = one(rng, someShops...)
	c.Categories = pick(rng, 2, someCategories...)
	c.Seat = one(rng, "", "s1", "s2")
	c.App = one(rng, "", "", "com.Shop")
	c.Goal = Goal{one(rng, CPM, CPC, CPA), Micros(1 + rng.IntN(5000))}
	if rng.IntN(4) == 0 {
		c.Start = noon.Add(time.Duration(rng.IntN(3)-1) * time.Hour)
	}
	if end := noon.Add(time.Duration(rng.IntN(3)) * time.Hour); rng.IntN(4) == 0 && c.Start.Before(end) {
		c.End = end
	}
	c.Targeting = Targeting{
		Countries: pick(rng, 2, "US", "GB", "DE"), Regions: pick(rng, 2, "CA", "US-CA", "GB-LND"),
		DeviceTypes: pick(rng, 2, 1, 2, 4), OS: pick(rng, 2, "ios", "android", "windows"),
		Languages: pick(rng, 2, "en", "de"), Exchanges: pick(rng, 2, "default", "x2"),
		PageCategories: pick(rng, 2, someCategories...), HoursOfWeek: pick(rng, 3, 0, 1, 2, 167),
		Deals: pick(rng, 2, "d1", "d2"),
	}
	if rng.IntN(2) == 0 {
		c.Targeting.AllowDomains = pick(rng, 2, "news.example", "sport.example", "com.game")
	} else {
		c.Targeting.DenyDomains = pick(rng, 2, "news.example", "sport.example", "com.game")
	}
	c.Creatives = nil
	for i := range 1 + rng.IntN(3) {
		c.Creatives = append(c.Creatives, Creative{
			ID: fmt.Sprint("cr", i), Kind: one(rng, BannerCreative, BannerCreative, VideoCreative, AudioCreative, NativeCreative),
			Size: one(rng, someSizes...), Duration: one(rng, 5, 15, 30), MIME: one(rng, "video/mp4", "audio/mpeg"), Protocol: one(rng, 2, 3),
			Attributes: pick(rng, 2, 1, 2, 3), ClickURL: "https://shop.example/",
			Markup: one(rng, "<b>ad</b>", `<img src="http://x.example/p">`, "<script src=https://x.example/>", `<VAST xmlns:x="http://w3.example/x"/>`),
		})
	}
	return c
}

func randomRequest(rng *rand.Rand, id int) *Request {
	r := plainRequest()
	r.ID = fmt.Sprintf("r%d", id)
	r.Exchange = one(rng, "default", "x2", "x3")
	r.Device.Geo = one(rng, Geo{Country: "US", Region: "CA"}, Geo{Country: "GB", Region: "LND"}, Geo{}, Geo{Country: "FR"})
	r.Device.Type, r.Device.OS, r.Device.Language = one(rng, 0, 1, 2, 4), one(rng, "", "ios", "windows"), one(rng, "", "en", "fr")
	r.Inventory.Language = one(rng, "", "de")
	r.Inventory.Domain, r.Inventory.Bundle = one(rng, append(someDomains, "")...), one(rng, "", "", "com.Game")
	r.Inventory.Categories = pick(rng, 3, someCategories...)
	r.BlockedCategories = pick(rng, 1, "IAB1-2", "IAB7")
	r.BlockedDomains = pick(rng, 1, "shop.example", "eu.shop.example")
	r.BlockedApps = pick(rng, 1, "com.shop")
	r.Seats, r.BlockedSeats = pick(rng, 2, "s0", "s1"), pick(rng, 1, "s1", "s2")
	r.Impressions = nil
	for i := range 1 + rng.IntN(3) {
		imp := Impression{
			ID: fmt.Sprint(i), Secure: rng.IntN(3) == 0, FloorCurrency: one(rng, "USD", "USD", "EUR"), Floor: Micros(rng.IntN(1000)),
			PrivateAuction: rng.IntN(4) == 0,
		}
		if rng.IntN(4) > 0 {
			imp.Banner = &Banner{Sizes: pick(rng, 3, someSizes...), BlockedTypes: pick(rng, 1, 2, 3, 4), BlockedAttributes: pick(rng, 1, 1, 2)}
		}
		if rng.IntN(3) == 0 {
			imp.Video = &Video{MIMEs: pick(rng, 1, "video/mp4", "video/webm"), MinDuration: one(rng, 0, 10), MaxDuration: one(rng, 0, 20), Protocols: pick(rng, 2, 2, 3, 6)}
		}
		if rng.IntN(3) == 0 {
			imp.Audio = &Audio{MIMEs: pick(rng, 1, "AUDIO/MPEG"), MaxDuration: one(rng, 0, 20), BlockedAttributes: pick(rng, 1, 1, 2)}
		}
		if rng.IntN(3) == 0 {
			imp.Native = &Native{BlockedAttributes: pick(rng, 1, 1, 2)}
		}
		for _, d := range pick(rng, 2, "d1", "d2", "d3") {
			imp.Deals = append(imp.Deals, Deal{
				ID: d, Floor: Micros(rng.IntN(1000)), FloorCurrency: one(rng, "USD", "EUR"),
				Seats: pick(rng, 1, "s1", "s2"), Advertisers: pick(rng, 1, "shop.example"),
			})
		}
		r.Impressions = append(r.Impressions, imp)
	}
	return r
}

// under says whether one domain is the other or a subdomain of it, in the simplest way.
func under(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}
