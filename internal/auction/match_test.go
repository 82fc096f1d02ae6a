package auction

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// scan is a direct form of the targeting rules. The index must agree with it.
func scan(req *Request, imp *Impression, c *Campaign, hour int, seat string) bool {
	t := &c.Targeting
	has := func(list []string, ok func(string) bool) bool { return len(list) == 0 || slices.ContainsFunc(list, ok) }
	is := func(v string) func(string) bool { return func(s string) bool { return s == v } }
	language := req.Device.Language
	if language == "" {
		language = req.Inventory.Language
	}
	inventory := func(s string) bool {
		return req.Inventory.Domain != "" && under(req.Inventory.Domain, s) || strings.EqualFold(req.Inventory.Bundle, s)
	}
	geo := req.Device.Geo
	targeted := has(t.Countries, is(geo.Country)) &&
		has(t.Regions, func(s string) bool { return s == geo.Region || s == geo.Country+"-"+geo.Region }) &&
		(len(t.DeviceTypes) == 0 || slices.Contains(t.DeviceTypes, req.Device.Type)) &&
		has(t.OS, is(req.Device.OS)) && has(t.Languages, is(language)) && has(t.Exchanges, is(req.Exchange)) &&
		has(t.AllowDomains, inventory) && !slices.ContainsFunc(t.DenyDomains, inventory) &&
		has(t.PageCategories, func(want string) bool {
			return slices.ContainsFunc(req.Inventory.Categories, func(s string) bool { return s == want || strings.HasPrefix(s, want+"-") })
		}) && (len(t.HoursOfWeek) == 0 || slices.Contains(t.HoursOfWeek, hour))
	scheduled := (c.Start.IsZero() || !req.Received.Before(c.Start)) && (c.End.IsZero() || req.Received.Before(c.End))
	blocked := slices.ContainsFunc(req.BlockedCategories, func(b string) bool {
		return slices.ContainsFunc(c.Categories, func(s string) bool { return s == b || strings.HasPrefix(s, b+"-") })
	}) || slices.ContainsFunc(req.BlockedDomains, func(b string) bool { return under(c.Domain, b) }) ||
		c.App != "" && slices.ContainsFunc(req.BlockedApps, func(b string) bool { return strings.EqualFold(b, c.App) }) ||
		len(req.Seats) > 0 && !slices.Contains(req.Seats, seat) || slices.Contains(req.BlockedSeats, seat)
	if !targeted || !scheduled || blocked {
		return false
	}
	floors := []Micros{}
	if !imp.PrivateAuction && len(t.Deals) == 0 && (imp.FloorCurrency == "USD" || imp.Floor == 0) {
		floors = append(floors, imp.Floor)
	}
	for _, d := range imp.Deals {
		if has(t.Deals, is(d.ID)) && (len(d.Seats) == 0 || slices.Contains(d.Seats, seat)) &&
			has(d.Advertisers, func(s string) bool { return under(c.Domain, s) }) && (d.FloorCurrency == "USD" || d.Floor == 0) {
			floors = append(floors, d.Floor)
		}
	}
	if len(floors) == 0 || slices.Min(floors) > c.Goal.Value {
		return false
	}
	return slices.ContainsFunc(c.Creatives, func(cr Creative) bool {
		if imp.Secure && strings.Contains(strings.ReplaceAll(cr.Markup, `xmlns:x="http:`, ""), "http://") {
			return false
		}
		mime := func(list []string) bool {
			return has(list, func(s string) bool { return strings.EqualFold(s, cr.MIME) })
		}
		clean := func(list []int) bool {
			return !slices.ContainsFunc(cr.Attributes, func(a int) bool { return slices.Contains(list, a) })
		}
		switch cr.Kind {
		case BannerCreative:
			kind := 2
			if strings.Contains(cr.Markup, "<script") {
				kind = 3
			}
			return imp.Banner != nil && slices.Contains(imp.Banner.Sizes, cr.Size) && clean(imp.Banner.BlockedAttributes) &&
				!slices.Contains(imp.Banner.BlockedTypes, kind)
		case VideoCreative:
			v := imp.Video
			return v != nil && mime(v.MIMEs) && cr.Duration >= v.MinDuration && (v.MaxDuration == 0 || cr.Duration <= v.MaxDuration) &&
				(len(v.Protocols) == 0 || slices.Contains(v.Protocols, cr.Protocol)) && clean(v.BlockedAttributes)
		case AudioCreative:
			a := imp.Audio
			return a != nil && mime(a.MIMEs) && (a.MaxDuration == 0 || cr.Duration <= a.MaxDuration) && clean(a.BlockedAttributes)
		default:
			return imp.Native != nil && clean(imp.Native.BlockedAttributes)
		}
	})
}

// TestIndexAgreesWithScan compares the index with scan on random campaigns and requests.
func TestIndexAgreesWithScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	matches, empty := 0, 0
	for round := range 30 {
		campaigns := make([]Campaign, 1+rng.IntN(300)*round/5)
		for i := range campaigns {
			campaigns[i] = randomCampaign(rng, i)
		}
		hour := one(rng, 0, 1, 2, 50, -1)
		set := mustSet(t, campaigns, SetOptions{
			Limit: 10_000, MaxCandidates: 1 << 20, DefaultSeat: "s0",
			LocalHour: func(*Request) (int, bool) { return hour, hour >= 0 },
		})
		for i := range 40 {
			req := randomRequest(rng, i)
			var want []string
			for j := range req.Impressions {
				for k := range campaigns {
					seat := campaigns[k].Seat
					if seat == "" {
						seat = "s0"
					}
					if scan(req, &req.Impressions[j], &campaigns[k], hour, seat) {
						want = append(want, fmt.Sprint(j, campaigns[k].ID))
					}
				}
			}
			candidates, reason := set.Candidates(req, nil)
			var got []string
			for _, c := range candidates {
				got = append(got, fmt.Sprint(c.Impression, c.Campaign.ID))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("round %d request %d: got %v, want %v\n%+v", round, i, got, want, req)
			}
			if (reason == NoBidNone) != (len(got) > 0) {
				t.Fatalf("reason %q with %d candidates", reason, len(got))
			}
			matches += len(got)
			if len(got) == 0 {
				empty++
			}
		}
	}
	if matches < 1000 || empty < 100 {
		t.Errorf("the worlds are too uniform: %d matches, %d requests without", matches, empty)
	}
}

// TestReasons tests the reason that is reported if no campaign may bid.
func TestReasons(t *testing.T) {
	f := func(name string, campaign func(*Campaign), request func(*Request), want NoBidReason) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			set := mustSet(t, []Campaign{plainCampaign("c", campaign)}, SetOptions{})
			got, reason := set.Candidates(plainRequest(request), nil)
			if reason != want || (want == NoBidNone) != (len(got) == 1) {
				t.Errorf("got %d candidates, reason %q; want reason %q", len(got), reason, want)
			}
		})
	}
	any := func(*Campaign) {}
	f("all fits", any, func(*Request) {}, NoBidNone)
	f("no impressions", any, func(r *Request) { r.Impressions = nil }, NoBidInvalid)
	f("another country", func(c *Campaign) { c.Targeting.Countries = []string{"FR"} }, func(*Request) {}, NoBidNoCampaign)
	f("a region in small letters", func(c *Campaign) { c.Targeting.Regions = []string{"us-ca"} },
		func(r *Request) { r.Device.Geo.Country, r.Device.Geo.Region = "US", "Ca" }, NoBidNone)
	f("a region of the same code elsewhere", func(c *Campaign) { c.Targeting.Regions = []string{"US-CA"} },
		func(r *Request) { r.Device.Geo.Country, r.Device.Geo.Region = "IT", "CA" }, NoBidNoCampaign)
	f("the hour is not known", func(c *Campaign) { c.Targeting.HoursOfWeek = []int{1} }, func(*Request) {}, NoBidNoCampaign)
	f("not begun", func(c *Campaign) { c.Start = noon.Add(time.Second) }, func(*Request) {}, NoBidNoCampaign)
	f("ended", func(c *Campaign) { c.End = noon }, func(*Request) {}, NoBidNoCampaign)
	f("another size", any, func(r *Request) { r.Impressions[0].Banner.Sizes = []Size{{1, 1}} }, NoBidFormat)
	f("an attribute is blocked", func(c *Campaign) { c.Creatives[0].Attributes = []int{3} },
		func(r *Request) { r.Impressions[0].Banner.BlockedAttributes = []int{3} }, NoBidFormat)
	f("a category above is blocked", func(c *Campaign) { c.Categories = []string{"IAB7-39"} },
		func(r *Request) { r.BlockedCategories = []string{"IAB7"} }, NoBidBlocked)
	f("a category below is blocked", func(c *Campaign) { c.Categories = []string{"IAB7"} },
		func(r *Request) { r.BlockedCategories = []string{"IAB7-39"} }, NoBidNone)
	f("a category whose number begins alike", func(c *Campaign) { c.Categories = []string{"IAB1-1"} },
		func(r *Request) { r.BlockedCategories = []string{"IAB11", "IAB1-11"} }, NoBidNone)
	f("the advertiser's domain is blocked", func(c *Campaign) { c.Domain = "eu.shop.example" },
		func(r *Request) { r.BlockedDomains = []string{"shop.example"} }, NoBidBlocked)
	f("a domain that ends alike", func(c *Campaign) { c.Domain = "bigshop.example" },
		func(r *Request) { r.BlockedDomains = []string{"shop.example"} }, NoBidNone)
	f("another seat", any, func(r *Request) { r.Seats = []string{"other"} }, NoBidBlocked)
	f("another currency", any, func(r *Request) { r.Currencies = []string{"EUR", "JPY"} }, NoBidCurrency)
	f("a floor in another currency", any, func(r *Request) { r.Impressions[0].Floor, r.Impressions[0].FloorCurrency = 5, "EUR" }, NoBidCurrency)
	f("a floor above any value", any, func(r *Request) { r.Impressions[0].Floor = 100_001 }, NoBidFloor)
	f("a private auction without deals", any, func(r *Request) { r.Impressions[0].PrivateAuction = true }, NoBidNoCampaign)
	f("a private auction without a deal for us", any, func(r *Request) {
		r.Impressions[0].PrivateAuction = true
		r.Impressions[0].Deals = []Deal{{ID: "d", FloorCurrency: "USD", Seats: []string{"other"}}}
	}, NoBidBlocked)
	f("a second impression fits", any, func(r *Request) {
		r.Impressions = []Impression{{ID: "1", Native: &Native{}}, r.Impressions[0]}
	}, NoBidNone)
}

// TestTerms tests which of several terms is taken.
func TestTerms(t *testing.T) {
	f := func(name string, private bool, listed []string, deals []Deal, wantDeal string, wantFloor Micros) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			set := mustSet(t, []Campaign{plainCampaign("c", func(c *Campaign) { c.Targeting.Deals = listed })}, SetOptions{
				Convert: func(m Micros, from string) (Micros, bool) { return 2 * m, from == "GBP" },
			})
			got, reason := set.Candidates(plainRequest(func(r *Request) {
				r.Impressions[0].Floor, r.Impressions[0].PrivateAuction, r.Impressions[0].Deals = 100, private, deals
			}), nil)
			if len(got) != 1 {
				t.Fatalf("%d candidates, reason %q", len(got), reason)
			}
			deal := ""
			if got[0].Deal != nil {
				deal = got[0].Deal.ID
			}
			if deal != wantDeal || got[0].Floor != wantFloor {
				t.Errorf("got deal %q floor %d, want %q %d", deal, got[0].Floor, wantDeal, wantFloor)
			}
		})
	}
	usd := func(id string, floor Micros) Deal { return Deal{ID: id, Floor: floor, FloorCurrency: "USD"} }
	f("the open auction", false, nil, nil, "", 100)
	f("a dearer deal is left", false, nil, []Deal{usd("d", 101)}, "", 100)
	f("a deal of the same floor is taken", false, nil, []Deal{usd("d", 100)}, "d", 100)
	f("private: the deal is taken at its floor", true, nil, []Deal{usd("d", 500)}, "d", 500)
	f("a campaign of deals takes its own alone", false, []string{"e"}, []Deal{usd("d", 1), usd("e", 900)}, "e", 900)
	f("the cheapest deal", true, nil, []Deal{usd("d", 500), usd("e", 400)}, "e", 400)
	f("a floor is converted", true, nil, []Deal{{ID: "d", Floor: 300, FloorCurrency: "GBP"}}, "d", 600)
}

// TestLimit: the campaigns of highest value always take part, all others in turn.
func TestLimit(t *testing.T) {
	const n, limit = 400, 16
	campaigns := make([]Campaign, n)
	for i := range campaigns {
		campaigns[i] = plainCampaign(fmt.Sprintf("c%03d", i), func(c *Campaign) { c.Goal = Goal{CPM, Micros(1000 - i)} })
	}
	set := mustSet(t, campaigns, SetOptions{Limit: limit})
	seen := map[string]int{}
	for i := range 4000 {
		got, _ := set.Candidates(plainRequest(func(r *Request) { r.ID = fmt.Sprint("r", i) }), nil)
		if len(got) != limit {
			t.Fatalf("%d candidates", len(got))
		}
		inRequest := map[string]bool{}
		for _, c := range got {
			seen[c.Campaign.ID]++
			if inRequest[c.Campaign.ID] {
				t.Fatalf("%s twice in one impression", c.Campaign.ID)
			}
			inRequest[c.Campaign.ID] = true
		}
	}
	for i, c := range campaigns {
		switch got := seen[c.ID]; {
		case i < 12 && got != 4000:
			t.Errorf("%s, among the best twelve, was asked for %d of 4000 times", c.ID, got)
		case i >= 12 && (got < 10 || got > 120): // 4000 × 4 candidates / 388: 41
			t.Errorf("%s was asked for %d times, want about 41", c.ID, got)
		}
	}
}

// Ended campaigns that stay in the file do not displace others.
func TestEndedCampaignsAreInNobodysWay(t *testing.T) {
	campaigns := []Campaign{plainCampaign("live", func(c *Campaign) { c.Goal = Goal{CPM, 1000} })}
	for i := range 5000 {
		campaigns = append(campaigns, plainCampaign(fmt.Sprint("old", i), func(c *Campaign) {
			c.Goal, c.End = Goal{CPM, 5000}, time.Now().Add(-time.Hour)
		}))
	}
	set := mustSet(t, campaigns, SetOptions{})
	for i := range 100 {
		got, reason := set.Candidates(plainRequest(func(r *Request) { r.ID, r.Received = fmt.Sprint(i), time.Now() }), nil)
		if len(got) != 1 || got[0].Campaign.ID != "live" {
			t.Fatalf("request %d: %d candidates, reason %q", i, len(got), reason)
		}
	}
}

func TestMaxCandidates(t *testing.T) {
	var campaigns []Campaign
	for i := range 50 {
		campaigns = append(campaigns, plainCampaign(fmt.Sprint("c", i)))
	}
	set := mustSet(t, campaigns, SetOptions{Limit: 16, MaxCandidates: 40})
	req := plainRequest(func(r *Request) {
		for len(r.Impressions) < 10 {
			r.Impressions = append(r.Impressions, r.Impressions[0])
		}
	})
	got, _ := set.Candidates(req, nil)
	perImpression := map[int]int{}
	for _, c := range got {
		perImpression[c.Impression]++
	}
	if len(got) != 40 || len(perImpression) != 10 || perImpression[9] != 4 {
		t.Errorf("%d candidates, by impression %v; want 4 each", len(got), perImpression)
	}
}

func TestNewCampaignSetReportsEveryFault(t *testing.T) {
	_, err := NewCampaignSet([]Campaign{
		plainCampaign("a"),
		plainCampaign("a", func(c *Campaign) { c.DailyBudget = 0; c.Creatives = nil }),
		plainCampaign("b c", func(c *Campaign) { c.Targeting.HoursOfWeek = []int{168} }),
	}, SetOptions{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"campaigns[1] (a): id: is also the id of campaigns[0]", "campaigns[1] (a): daily_budget: ", "campaigns[1] (a): creatives: ",
		"campaigns[2] (b c): id: ", "campaigns[2] (b c): targeting.hours[0]: 168",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	_, err = NewCampaignSet([]Campaign{plainCampaign("a", func(c *Campaign) {
		c.Targeting.DenyDomains = []string{"www.news.example", "news.example", "https://x.example", "com.Game", "a.example/b"}
	})}, SetOptions{})
	for _, at := range []int{0, 2, 4} { // these would match no request, so each is a fault
		if want := fmt.Sprintf("targeting.deny_domains[%d]: ", at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n != 3 {
		t.Errorf("%d faults, want 3:\n%v", n, err)
	}
	if _, ok := errors.AsType[*Fault](err); !ok {
		t.Error("no Fault to be found in the error")
	}
	if _, err := NewCampaignSet(nil, SetOptions{}); err != nil {
		t.Errorf("an empty set: %v", err)
	}
	if _, err := NewCampaignSet(nil, SetOptions{Limit: -1, PriorClick: 2, Currency: "usd"}); strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three faults of options: %v", err)
	}
}
