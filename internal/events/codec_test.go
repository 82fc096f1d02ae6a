package events

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/auction"
)

// sampleRequest and sampleBid are one realistic auction, fixed for all time: golden bytes hang on it.
func sampleRequest() *auction.Request {
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
		Privacy: auction.Privacy{GDPR: true, Consent: "CPconsent"},
	}
}

func sampleBid(req *auction.Request) *auction.Bid {
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

// sampleEvents are one event of each type.
func sampleEvents() []Event {
	req := sampleRequest()
	bid := sampleBid(req)
	t0 := time.UnixMilli(1_770_000_000_200)
	events := []Event{NewBid(req, bid, t0)}
	for i, typ := range []Type{TypeWin, TypeLoss, TypeBilling, TypeImpression, TypeClick, TypeConversion} {
		e := Event{ID: EventID(typ, bid.ID), Type: typ, Key: bid.ID, Time: t0.UnixMilli() + int64(i), Campaign: "c-1", Creative: "cr-1", Exchange: "default"}
		switch typ {
		case TypeWin, TypeBilling:
			e.Price = 1100
		case TypeLoss:
			e.Reason = 102
		case TypeConversion:
			e.ID += ":order-1"
			e.Price = 25_000_000
		}
		events = append(events, e)
	}
	return append(events, NewTick("bidder-1", t0.Add(time.Second)))
}

// TestGolden pins the bytes of schema 1: what is on the stream today must be read by every later build.
func TestGolden(t *testing.T) {
	path := filepath.Join("..", "..", "tests", "golden", "events_v1.msgpack")
	got := EncodeMessage(sampleEvents())
	if os.Getenv("GOLDEN") == "write" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the encoding of schema 1 changed: fields may be added at the end of an array (then GOLDEN=write), all else needs a new schema")
	}
	var any []any
	if err := msgpack.Unmarshal(want, &any); err != nil || len(any) != 8 {
		t.Fatalf("another msgpack library reads %d events: %v", len(any), err)
	}
	events, err := DecodeMessage(want)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range sampleEvents() {
		g := events[i]
		if e.Type == TypeBid {
			b, err := g.DecodeBid()
			if err != nil {
				t.Fatal(err)
			}
			if b.Prediction.Click != 0.00375 || b.Request.Impressions[0].ID != "1" || b.Request.Impressions[0].Deals[0].ID != "d1" {
				t.Errorf("bid read back as %+v", b)
			}
			g.body, e.Bid = nil, nil
		}
		e.Version = Schema
		if !reflect.DeepEqual(g, e) {
			t.Errorf("event %d: got %+v, want %+v", i, g, e)
		}
	}
}

// left out of a bid event, by the words of BidContext.
var leftOut = map[string]bool{
	"Request.Currencies": true, "Request.BlockedCategories": true, "Request.BlockedDomains": true, "Request.BlockedApps": true,
	"Request.Seats": true, "Request.BlockedSeats": true, "Privacy.Consent": true, "Privacy.USPrivacy": true, "Privacy.GPP": true,
	"Native.Request": true, "Deal.Seats": true, "Deal.Advertisers": true,
	"Campaign.DailyBudget": true, "Campaign.Pacing": true, "Campaign.Start": true, "Campaign.End": true, "Campaign.Targeting": true, "Campaign.Creatives": true,
	"Creative.Markup": true, "Creative.ClickURL": true, "Creative.ImageURL": true,
}

// fill sets every exported field that an event carries to a random value, so that a field added to the domain
// without a place in the event makes TestRoundTrip fail.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(0, r.Int64N(1<<62)).UTC()))
			return
		}
		for i := range v.NumField() {
			if !leftOut[v.Type().Name()+"."+v.Type().Field(i).Name] && v.Type().Field(i).IsExported() {
				fill(v.Field(i), r)
			}
		}
	case reflect.Slice:
		n := 1 + r.IntN(20)
		if v.Type().Elem() == reflect.TypeFor[auction.Impression]() {
			n = 1
		}
		if v.Type().Elem() == reflect.TypeFor[auction.Deal]() {
			return // set from BidContext.Deal
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i), r)
		}
	case reflect.String:
		v.SetString(strings.Repeat("x", r.IntN(300)) + "é")
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64() >> r.IntN(64) * (1 - 2*r.Int64N(2)))
	case reflect.Float32:
		v.SetFloat(float64(r.Float32()))
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("no way to fill a " + v.Kind().String())
	}
}

// differ names the first exported field in which two values differ, "" if none does.
func differ(a, b reflect.Value) string {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() != b.IsNil() {
				return " is nil in one"
			}
			return ""
		}
		return differ(a.Elem(), b.Elem())
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() {
			break
		}
		for i := range a.NumField() {
			if f := a.Type().Field(i); f.IsExported() {
				if where := differ(a.Field(i), b.Field(i)); where != "" {
					return "." + f.Name + where
				}
			}
		}
		return ""
	case reflect.Slice:
		if a.Len() != b.Len() {
			return ": other length"
		}
		for i := range a.Len() {
			if where := differ(a.Index(i), b.Index(i)); where != "" {
				return "[]" + where
			}
		}
		return ""
	}
	if !reflect.DeepEqual(a.Interface(), b.Interface()) {
		return " "
	}
	return ""
}

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		want := &BidContext{}
		fill(reflect.ValueOf(want).Elem(), rand.New(rand.NewPCG(seed, 1)))
		want.Request.Impressions[0].Deals = []auction.Deal{*want.Deal}
		e := Event{ID: "bid:x", Type: TypeBid, Key: "x", Bid: want}
		events, err := DecodeMessage(EncodeMessage([]Event{e}))
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeMessage(EncodeMessage(events)) // a read event is written as it was
		if err != nil {
			t.Fatal(err)
		}
		got, err := again[0].DecodeBid()
		if err != nil {
			t.Fatal(err)
		}
		if where := differ(reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()); where != "" {
			t.Fatalf("seed %d: lost or changed: BidContext%s (a new field of the domain? carry it, or list it in leftOut)", seed, where)
		}
		req, c := got.Candidate()
		if req != &got.Request || c.Campaign.ID != want.Campaign.ID || c.Creative.ID != want.Creative.ID || c.Deal.ID != want.Deal.ID || c.Floor != want.Floor {
			t.Fatalf("candidate %+v", c)
		}
	}
}

// A later build may add fields at the end of any array, and types of event.
func TestLaterSchemas(t *testing.T) {
	enc := func(v any) []byte {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	events, err := DecodeMessage(enc([]any{
		[]any{1, "win:a", "win", "a", 5, "c", "k", "x", 7, 0, "new", map[string]any{"more": []any{1.5, []byte{1}}}},
		[]any{1, "view:a", "viewable", "a", 6},
		[]any{2, "bid:b", "bid", "b", 7, "another body altogether"},
		[]any{1, "bid:c", "bid", "c", 8, []any{[]any{"req"}}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if events[0].Price != 7 || events[1].Type != "viewable" || events[2].Key != "b" {
		t.Errorf("got %+v", events)
	}
	if _, err := events[2].DecodeBid(); !errors.Is(err, ErrSchema) {
		t.Errorf("body of schema 2: %v", err)
	}
	b, err := events[3].DecodeBid()
	if err != nil || b.Request.ID != "req" || len(b.Request.Impressions) != 0 || b.Deal != nil {
		t.Errorf("short body: %+v, %v", b, err)
	}
}

func TestDamage(t *testing.T) {
	whole := EncodeMessage(sampleEvents())
	for n := range whole {
		if _, err := DecodeMessage(whole[:n]); err == nil {
			t.Fatalf("cut off at %d of %d: no error", n, len(whole))
		}
	}
	for _, b := range [][]byte{nil, {0xc0}, {0xdd, 255, 255, 255, 255}, {0x91, 0xdd, 255, 255, 255, 255}, append(EncodeMessage(nil), 1), bytes.Repeat([]byte{0x91}, 1000)} {
		if _, err := DecodeMessage(b); err == nil {
			t.Errorf("%x: no error", b[:min(len(b), 8)])
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(EncodeMessage(sampleEvents()))
	f.Add([]byte{0x91, 0x96, 1, 0xa1, 'x', 0xa3, 'b', 'i', 'd', 0xa1, 'x', 5, 0x91, 0x90})
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := DecodeMessage(b)
		for i := range events {
			if events[i].Type == TypeBid {
				_, _ = events[i].DecodeBid()
			}
		}
		if err == nil {
			if _, err := DecodeMessage(EncodeMessage(events)); err != nil {
				t.Fatalf("what was read cannot be read again: %v", err)
			}
		}
	})
}

func BenchmarkEncodeBid(b *testing.B) {
	req := sampleRequest()
	bid := sampleBid(req)
	e := NewBid(req, bid, time.UnixMilli(1_770_000_000_200))
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendEvent(buf[:0], &e)
	}
	b.ReportMetric(float64(len(buf)), "bytes/event")
}

// The same event as a msgpack map through a library, for comparison.
func BenchmarkEncodeBidLibrary(b *testing.B) {
	req := sampleRequest()
	bid := sampleBid(req)
	e := NewBid(req, bid, time.UnixMilli(1_770_000_000_200))
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		out, err := msgpack.Marshal(&e)
		if err != nil {
			b.Fatal(err)
		}
		n = len(out)
	}
	b.ReportMetric(float64(n), "bytes/event")
}

func BenchmarkDecodeHeader(b *testing.B) {
	msg := EncodeMessage(sampleEvents()[:1])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeMessage(msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBid(b *testing.B) {
	msg := EncodeMessage(sampleEvents()[:1])
	b.ReportAllocs()
	for b.Loop() {
		events, err := DecodeMessage(msg)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := events[0].DecodeBid(); err != nil {
			b.Fatal(err)
		}
	}
}
