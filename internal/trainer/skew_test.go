package trainer

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/features"
)

// TestTrainedRowIsTheServedRow: a bid's event carries all that any source reads, so the learnt row equals the scored row.
// The spec uses every source.
func TestTrainedRowIsTheServedRow(t *testing.T) {
	var spec []features.Feature
	for _, s := range features.Sources() {
		f := features.Feature{Name: "f_" + strings.NewReplacer(".", "_", "<data>", "d").Replace(s.Name), Source: strings.Replace(s.Name, "<data>", "cluster", 1),
			Encoder: features.HashEncoder, Buckets: 1 << 20}
		if s.Kind == "list" {
			f.Slots = 4
		}
		if s.Name == "request.time" {
			f.Transform = "hour_of_week"
		}
		spec = append(spec, f)
	}
	encoder, err := features.NewEncoder(spec)
	if err != nil {
		t.Fatal(err)
	}
	req := &auction.Request{
		ID: "r", Exchange: "adx", Received: time.UnixMilli(1_709_677_800_123), Type: 1,
		Impressions: []auction.Impression{
			{ID: "1", TagID: "other", FloorCurrency: "EUR"},
			{ID: "2", TagID: "top", Position: 3, Floor: 777, FloorCurrency: "USD", Secure: true, Interstitial: true, Rewarded: true,
				Banner: &auction.Banner{Sizes: []auction.Size{{W: 300, H: 250}, {W: 1, H: 2}}}, Native: &auction.Native{Request: "{}"},
				Video: &auction.Video{Size: auction.Size{W: 640, H: 360}, Placement: 2}, Audio: &auction.Audio{MIMEs: []string{"audio/mp4"}},
				Deals: []auction.Deal{{ID: "d0"}, {ID: "d1", Type: 3, Floor: 800}}},
		},
		Inventory: auction.Inventory{Kind: auction.Site, ID: "s", Name: "n", Domain: "a.example", Bundle: "com.b", Page: "https://a.example/p",
			Publisher: "p", Categories: []string{"IAB1", "IAB2"}, Language: "en", Keywords: []string{"k1", "k2"}},
		Device: auction.Device{UserAgent: "ua", Type: 4, OS: "ios", OSVersion: "17", Make: "m", Model: "mo", Language: "de", Carrier: "c", Connection: 2,
			W: 390, H: 844, LimitAds: true, Geo: auction.Geo{Country: "US", Region: "CA", City: "LA", Zip: "90001", Metro: "803", UTCOffset: -480, HasOffset: true}},
		User: auction.User{ID: "u", BuyerUID: "b", YearOfBirth: 1980, Gender: "F", Keywords: []string{"uk"},
			Segments: []auction.Segment{{Data: "cluster", Value: "k1"}, {Data: "x", Value: "y"}, {Data: "cluster", Value: "k2"}}},
		Privacy: auction.Privacy{GDPR: true, COPPA: true},
	}
	cand := auction.Candidate{Impression: 1, Floor: 801, Deal: &req.Impressions[1].Deals[1],
		Campaign: &auction.Campaign{ID: "c1", Advertiser: "a", Domain: "ad.example", Categories: []string{"IAB18", "IAB19"}, Seat: "s1", Goal: auction.Goal{Kind: auction.CPC, Value: 1}},
		Creative: &auction.Creative{ID: "cr", Kind: auction.VideoCreative, Size: auction.Size{W: 640, H: 360}, Duration: 15, MIME: "video/mp4", Attributes: []int{1, 6}}}
	served := make([]int32, encoder.RowLen())
	encoder.Encode(req, &cand, served)
	for i, c := range encoder.Columns() {
		if served[i] == 0 && (i == 0 || encoder.Columns()[i-1].Feature != c.Feature) {
			t.Errorf("%s is missing: the test's request must give every source a value", c.Feature)
		}
	}
	event := events.NewBid(req, &auction.Bid{ID: "bid", Candidate: cand, Price: 900}, time.UnixMilli(1_709_677_800_140))
	decoded, err := codec.Decode(codec.Encode([]events.Event{event}))
	if err != nil {
		t.Fatal(err)
	}
	body, err := codec.Bid(&decoded[0])
	if err != nil {
		t.Fatal(err)
	}
	again, candAgain := body.Candidate()
	learnt := make([]int32, encoder.RowLen())
	encoder.Encode(again, &candAgain, learnt)
	var differ []string
	for i, c := range encoder.Columns() {
		if served[i] != learnt[i] {
			differ = append(differ, c.Feature)
		}
	}
	if len(differ) > 0 {
		t.Errorf("the event loses what these read: %v", slices.Compact(differ))
	}
}
