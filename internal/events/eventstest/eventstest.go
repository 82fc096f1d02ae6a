// Package eventstest has one realistic auction for the tests of events' packages. Never change it: the codec's golden
// bytes depend on it.
package eventstest

import (
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
)

// Request is the bid request of the auction.
func Request() *auction.Request {
	at := time.Unix(1_770_000_000, 123_456_789).UTC()
	return &auction.Request{
		ID: "7979d0c78074638bbdf739ffdf285c7e1c74a691", Exchange: "default", Received: at, Deadline: at.Add(90 * time.Millisecond),
		Type: 2, Currencies: []string{"USD"}, BlockedCategories: []string{"IAB25"}, Seats: []string{"seat"},
		Impressions: []auction.Impression{
			{ID: "other"},
			{
				ID: "1", TagID: "top", Secure: true, Position: 1, Floor: 250, FloorCurrency: "USD",
				Banner: &auction.Banner{Sizes: []auction.Size{{W: 300, H: 250}, {W: 320, H: 50}}, BlockedAttributes: []int{1, 14}},
				Native: &auction.Native{Request: "{}", Version: "1.2"},
				Deals:  []auction.Deal{{ID: "unused"}, {ID: "d1", Floor: 300, FloorCurrency: "USD", Type: 1, Seats: []string{"seat"}}},
			},
		},
		Inventory: auction.Inventory{
			Kind: auction.Site, ID: "s1", Name: "News", Domain: "news.example", Page: "https://news.example/a/b.html",
			Publisher: "p1", Categories: []string{"IAB12", "IAB1-3"}, Language: "en", Keywords: []string{"sport"},
		},
		Device: auction.Device{
			UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15", IP: "192.0.2.1",
			Type: 4, OS: "ios", OSVersion: "17.4", Make: "Apple", Model: "iPhone", Language: "en", Connection: 2, W: 390, H: 844,
			Geo: auction.Geo{Country: "US", Region: "CA", City: "Oakland", Zip: "94601", Metro: "807", UTCOffset: -480, HasOffset: true},
		},
		User: auction.User{
			ID: "u-3f2a", BuyerUID: "b-99", YearOfBirth: 1984, Gender: "F", Keywords: []string{"travel"},
			Segments: []auction.Segment{{Data: "dmp", Value: "17"}, {Data: "dmp", Value: "23"}},
		},
		Privacy: auction.Privacy{GDPR: true},
	}
}

// Bid answers req, which Request made.
func Bid(req *auction.Request) *auction.Bid {
	campaign := &auction.Campaign{
		ID: "c-1", Advertiser: "adv", Domain: "shop.example", Categories: []string{"IAB22"}, Seat: "s",
		DailyBudget: 5_000_000, Goal: auction.Goal{Kind: auction.CPC, Value: 400_000},
		Targeting: auction.Targeting{Countries: []string{"US"}},
	}
	creative := &auction.Creative{
		ID: "cr-1", Kind: auction.BannerCreative, Size: auction.Size{W: 300, H: 250}, Attributes: []int{3},
		Markup: "<a href=…>", ClickURL: "https://shop.example/", ImageURL: "https://shop.example/i.png",
	}
	return &auction.Bid{
		ID: "0123456789abcdefghijkl",
		Candidate: auction.Candidate{
			Impression: 1, Campaign: campaign, Creative: creative, Deal: &req.Impressions[1].Deals[1], Floor: 300,
		},
		Price: 1234, Value: 1500,
		Prediction: auction.Prediction{Click: 0.00375, Conversion: 1, ClickVersion: 17},
	}
}

// Events returns one event of each type, about that bid.
func Events() []events.Event {
	req := Request()
	bid := Bid(req)
	t0 := time.UnixMilli(1_770_000_000_200)
	all := []events.Event{events.NewBid(req, bid, t0)}
	for i, typ := range []events.Type{events.TypeWin, events.TypeLoss, events.TypeBilling, events.TypeImpression, events.TypeClick, events.TypeConversion} {
		e := events.Event{ID: events.EventID(typ, bid.ID), Type: typ, Key: bid.ID, Time: t0.UnixMilli() + int64(i), Campaign: "c-1", Creative: "cr-1", Exchange: "default"}
		switch typ {
		case events.TypeWin:
			e.Price = 1100
		case events.TypeBilling:
			e.Price, e.BidTime = 1100, t0.Truncate(time.Second).UnixMilli()
		case events.TypeLoss:
			e.Reason = 102
		case events.TypeConversion:
			e.ID += ":order-1"
			e.Price = 25_000_000
		}
		all = append(all, e)
	}
	return append(all, events.NewTick("bidder-1", t0.Add(time.Second)))
}
