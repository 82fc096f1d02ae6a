package features

import (
	"strings"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/race"
)

// sample is a request with two impressions and its candidates.
func sample() (*auction.Request, []auction.Candidate) {
	req := &auction.Request{
		ID: "r1", Exchange: "adx", Received: time.Date(2024, 3, 5, 22, 30, 0, 0, time.UTC), Type: 1, // a Tuesday
		Impressions: []auction.Impression{
			{ID: "1", TagID: "top", Floor: 250, FloorCurrency: "USD", Position: 1, Secure: true,
				Banner: &auction.Banner{Sizes: []auction.Size{{W: 300, H: 250}, {W: 320, H: 50}}}},
			{ID: "2", TagID: "pre", Floor: 4000, FloorCurrency: "USD",
				Video: &auction.Video{Size: auction.Size{W: 640, H: 360}, Placement: 1}},
		},
		Inventory: auction.Inventory{Kind: auction.Site, ID: "s9", Domain: "news.example.co.uk", Page: "https://news.example.co.uk/a",
			Publisher: "p1", Categories: []string{"IAB1", "IAB12", "IAB1", "IAB3", "IAB9"}},
		Device: auction.Device{Type: 4, OS: "ios", OSVersion: "17.4.1", Make: "Apple", Language: "en", Connection: 2, W: 390, H: 844,
			Geo: auction.Geo{Country: "US", Region: "CA", City: "San José"}},
		User: auction.User{ID: "u1", BuyerUID: "b1", YearOfBirth: 1984,
			Segments: []auction.Segment{{Data: "cluster", Value: "k3"}, {Data: "interest", Value: "cars"}, {Data: "interest", Value: "tea"}}},
	}
	camps := []*auction.Campaign{
		{ID: "c1", Advertiser: "a1", Domain: "shoes.example", Categories: []string{"IAB18"}, Goal: auction.Goal{Kind: auction.CPC, Value: 500000}},
		{ID: "c2", Advertiser: "a2", Domain: "tea.example", Goal: auction.Goal{Kind: auction.CPA, Value: 9000000}},
	}
	cre := &auction.Creative{ID: "cr1", Kind: auction.BannerCreative, Size: auction.Size{W: 300, H: 250}, Attributes: []int{1, 13}}
	video := &auction.Creative{ID: "cr2", Kind: auction.VideoCreative, Duration: 15, MIME: "video/mp4"}
	deal := &auction.Deal{ID: "d1", Type: 3}
	return req, []auction.Candidate{
		{Impression: 0, Campaign: camps[0], Creative: cre, Floor: 250},
		{Impression: 0, Campaign: camps[1], Creative: cre, Floor: 250},
		{Impression: 1, Campaign: camps[1], Creative: video, Deal: deal, Floor: 5000},
		{Impression: 0, Campaign: camps[0], Creative: cre, Floor: 250}, // as the first: nothing of the others may remain
	}
}

// wide is a spec with every kind of feature, 32 indices a row.
func wide() []Feature {
	hash := func(name, source, transform string, slots int) Feature {
		return Feature{Name: name, Source: source, Transform: transform, Slots: slots, Encoder: HashEncoder, Buckets: 1 << 14}
	}
	return []Feature{
		hash("hour", "request.time", "hour_of_week", 0),
		hash("exchange", "request.exchange", "", 0),
		{Name: "country", Source: "device.geo.country", Transform: "country_alpha2", Encoder: VocabularyEncoder, Values: Values{"US", "GB"}},
		hash("city", "device.geo.city", "lower", 0),
		hash("domain", "inventory.domain", "domain", 0),
		hash("publisher", "inventory.publisher", "", 0),
		hash("categories", "inventory.categories", "", 3),
		hash("tag", "impression.tag_id", "", 0),
		hash("size", "impression.size", "", 0),
		hash("floor", "impression.floor", "log_bucket", 0),
		hash("formats", "impression.formats", "", 2),
		{Name: "device", Source: "device.type", Encoder: VocabularyEncoder, Values: Values{"1", "2", "4"}},
		hash("os", "device.os", "", 0),
		hash("osv", "device.os_version", "os_major", 0),
		hash("make", "device.make", "", 0),
		hash("screen", "device.size", "", 0),
		hash("user", "user.buyer_uid", "", 0),
		hash("yob", "user.year_of_birth", "", 0),
		hash("cluster", "user.segment.cluster", "", 0),
		hash("interest", "user.segment.interest", "", 2),
		hash("campaign", "campaign.id", "", 0),
		hash("advertiser", "campaign.advertiser", "", 0),
		hash("creative", "creative.id", "", 0),
		hash("attributes", "creative.attributes", "", 2),
		hash("deal", "deal.id", "", 0),
		{Name: "campaign_x_domain", Transform: CrossTransform, Of: []string{"campaign", "domain"}, Encoder: HashEncoder, Buckets: 1 << 16},
		{Name: "campaign_x_categories", Transform: CrossTransform, Of: []string{"campaign", "categories"}, Slots: 2, Encoder: HashEncoder, Buckets: 1 << 16},
	}
}

func mustEncoder(t testing.TB, spec []Feature) *Encoder {
	t.Helper()
	e, err := NewEncoder(spec)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestIndexSpace(t *testing.T) {
	e := mustEncoder(t, []Feature{
		{Name: "a", Source: "device.os", Encoder: HashEncoder, Buckets: 10},
		{Name: "b", Source: "device.geo.country", Encoder: VocabularyEncoder, Values: Values{"US", "CA", "GB"}},
		{Name: "c", Source: "inventory.categories", Slots: 3, Encoder: HashEncoder, Buckets: 5},
	})
	if e.RowLen() != 5 || e.TableRows() != 1+10+4+5 {
		t.Fatalf("row length %d, table rows %d; want 5, 20", e.RowLen(), e.TableRows())
	}
	row := make([]int32, 5)
	req := &auction.Request{}
	f := func(country string, want int32) {
		t.Helper()
		req.Device.Geo.Country = country
		if e.Encode(req, &auction.Candidate{}, row); row[1] != want {
			t.Errorf("%q: index %d, want %d", country, row[1], want)
		}
	}
	f("US", 11)
	f("CA", 12)
	f("GB", 13)
	f("FR", 14) // other
	f("", 0)    // missing
	req.Inventory.Categories = []string{"", "x", "x", "y"}
	e.Encode(req, &auction.Candidate{}, row)
	if row[2] < 15 || row[3] < 15 || row[4] != 0 {
		t.Errorf("categories %v: want two values, without the empty and the repeated one, then 0", row[2:])
	}
}

func TestRowsAreIndependent(t *testing.T) {
	e := mustEncoder(t, wide())
	req, cands := sample()
	rows := e.Begin(req)
	defer rows.End()
	for i := range cands {
		together, alone := make([]int32, e.RowLen()), make([]int32, e.RowLen())
		rows.Encode(&cands[i], together)
		e.Encode(req, &cands[i], alone)
		if !equal(together, alone) {
			t.Errorf("candidate %d: %v with the others, %v alone", i, together, alone)
		}
	}
}

func equal(a, b []int32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func TestMissingParts(t *testing.T) {
	e := mustEncoder(t, wide())
	row := make([]int32, e.RowLen())
	e.Encode(&auction.Request{}, &auction.Candidate{Impression: 7}, row)
	for i, c := range e.Columns() {
		if c.Feature != "floor" && row[i] != 0 {
			t.Errorf("%s: index %d of an empty request, want 0", c.Feature, row[i])
		}
	}
}

func TestRawValuesEncodeAlike(t *testing.T) {
	e := mustEncoder(t, wide())
	req, cands := sample()
	want := make([]int32, e.RowLen())
	e.Encode(req, &cands[0], want)
	values := map[string]string{
		"hour": "2024-03-05T17:30:00-05:00", "exchange": "adx", "country": "USA", "city": " SAN JOSÉ", "domain": "http://news.example.co.uk:80/x",
		"publisher": "p1", "categories": "IAB1|IAB12|IAB1|IAB3|IAB9", "tag": "top", "size": "300x250", "floor": "250", "formats": "banner",
		"device": "4", "os": "ios", "osv": "17.4.1", "make": "Apple", "screen": "390x844", "user": "b1", "yob": "1984", "cluster": "k3",
		"interest": "cars|tea", "campaign": "c1", "advertiser": "a1", "creative": "cr1", "attributes": "1|13", "deal": "",
	}
	var columns []string
	for _, name := range e.RawColumns() {
		value, ok := values[name]
		if !ok {
			t.Fatalf("no value for %s", name)
		}
		columns = append(columns, value)
	}
	got := make([]int32, e.RowLen())
	if err := e.EncodeValues(columns, got); err != nil {
		t.Fatal(err)
	}
	for i, c := range e.Columns() {
		if got[i] != want[i] {
			t.Errorf("%s: raw %d, request %d", c.Feature, got[i], want[i])
		}
	}
	for i, name := range e.RawColumns() {
		if name == "floor" {
			columns[i] = "cheap"
		}
	}
	if err := e.EncodeValues(columns, got); err == nil || !strings.Contains(err.Error(), `floor: log_bucket does not take "cheap"`) {
		t.Errorf("a floor that is no number: %v", err)
	}
	if err := e.EncodeValues(columns[1:], got); err == nil {
		t.Error("a column too few: expected an error")
	}
	if err := e.EncodeValues(append(columns, "x"), got); err == nil {
		t.Error("a column too many: expected an error")
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	e := mustEncoder(t, wide())
	req, cands := sample()
	req.Device.Geo.City = "San Jose" // text that is not ASCII may allocate
	row := make([]int32, e.RowLen())
	rows := e.Begin(req)
	defer rows.End()
	if n := testing.AllocsPerRun(200, func() {
		for i := range cands {
			rows.Encode(&cands[i], row)
		}
	}); n > 0 {
		t.Errorf("%v allocations for %d candidates, want 0", n, len(cands))
	}
	if race.Enabled {
		return
	}
	if n := testing.AllocsPerRun(200, func() { e.Encode(req, &cands[0], row) }); n > 0 {
		t.Errorf("%v allocations a row, want 0", n)
	}
}

func TestCrossTellsItsPartsApart(t *testing.T) {
	e := mustEncoder(t, []Feature{
		{Name: "a", Source: "device.os", Encoder: HashEncoder, Buckets: 8},
		{Name: "b", Source: "device.make", Encoder: HashEncoder, Buckets: 8},
		{Name: "ab", Transform: CrossTransform, Of: []string{"a", "b"}, Encoder: HashEncoder, Buckets: 1 << 24},
		{Name: "ba", Transform: CrossTransform, Of: []string{"b", "a"}, Encoder: HashEncoder, Buckets: 1 << 24},
	})
	seen := map[int32]string{}
	row := make([]int32, 4)
	for _, pair := range [][2]string{{"x", "y"}, {"y", "x"}, {"xy", "z"}, {"x", "yz"}, {"x", "x"}} {
		req := &auction.Request{Device: auction.Device{OS: pair[0], Make: pair[1]}}
		e.Encode(req, &auction.Candidate{}, row)
		for _, index := range row[2:] {
			if before, ok := seen[index]; ok {
				t.Errorf("%v and %s share index %d", pair, before, index)
			}
			seen[index] = pair[0] + "×" + pair[1]
		}
	}
	e.Encode(&auction.Request{Device: auction.Device{OS: "x"}}, &auction.Candidate{}, row)
	if row[2] != 0 || row[3] != 0 {
		t.Errorf("a cross with a part missing: %v, want 0", row[2:])
	}
}

func BenchmarkEncode(b *testing.B) {
	req, cands := sample()
	run := func(name string, candidates int, encode func(e *Encoder, row []int32)) {
		b.Run(name, func(b *testing.B) {
			e := mustEncoder(b, wide())
			row := make([]int32, e.RowLen())
			b.ReportAllocs()
			for b.Loop() {
				encode(e, row)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*candidates), "ns/row")
			b.ReportMetric(float64(e.RowLen()), "indices")
		})
	}
	run("candidates=1", 1, func(e *Encoder, row []int32) { e.Encode(req, &cands[0], row) })
	run("candidates=8", 8, func(e *Encoder, row []int32) {
		rows := e.Begin(req)
		for i := range 8 {
			rows.Encode(&cands[i&1], row)
		}
		rows.End()
	})
}
