package openrtb

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/sellers"
)

// testLinker makes links with the bid's id, under https by default.
type testLinker struct{ base string }

func (l testLinker) Links(_ *auction.Request, bid *auction.Bid, dst *Links) {
	base := l.base
	if base == "" {
		base = "https://bid.test"
	}
	*dst = Links{
		Win:        base + "/n/win?t=" + bid.ID + "&p=${AUCTION_PRICE}",
		Billing:    base + "/n/billing?t=" + bid.ID + "&p=${AUCTION_PRICE}",
		Loss:       base + "/n/loss?t=" + bid.ID + "&p=${AUCTION_PRICE}&r=${AUCTION_LOSS}",
		Impression: base + "/n/impression?t=" + bid.ID, Click: base + "/n/click?t=" + bid.ID,
	}
}

var bannerCreative = auction.Creative{
	ID: "b1", Kind: auction.BannerCreative, Size: auction.Size{W: 300, H: 250}, Attributes: []int{1, 3},
	Markup:   `<a href="${CLICK_URL}" target="_blank"><img src="https://cdn.test/\"x\".png?a=${AUCTION_ID}"></a>`,
	ClickURL: "https://shop.test", ImageURL: "https://cdn.test/x.png",
}

var campaign = auction.Campaign{
	ID: "c1", Advertiser: "Shop", Domain: "shop.test", App: "com.shop", Categories: []string{"IAB22"}, Seat: "s1",
	Creatives: []auction.Creative{bannerCreative},
}

func encoder1(t testing.TB, o EncoderOptions) *Encoder {
	t.Helper()
	e, err := NewEncoder(testLinker{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func bannerRequest() *auction.Request {
	var r auction.Raw
	r.ID, r.Exchange = "req-\"1\"\xff\n", "adx"
	for _, id := range []string{"i1", "i2", "i3"} {
		imp := r.AddImpression()
		imp.ID, imp.Secure = id, true
		imp.UseBanner().Sizes = []auction.Size{{W: 300, H: 250}}
	}
	return (*auction.Request)(&r.Draft)
}

func TestEncodeBid(t *testing.T) {
	r := bannerRequest()
	result := &auction.Result{Bids: []auction.Bid{{ID: "bid1", Price: 1234, Candidate: auction.Candidate{
		Impression: 1, Campaign: &campaign, Creative: &bannerCreative, Deal: &auction.Deal{ID: "d1"},
	}}}}
	verdict := make([]auction.NoBidReason, 1)
	out, err := encoder1(t, EncoderOptions{Expire: 90 * time.Second}).Bids([]byte("before"), r, &sellers.Seller{}, result, verdict)
	if err != nil || verdict[0] != auction.NoBidNone {
		t.Fatalf("error %v, verdict %q", err, verdict[0])
	}
	body, ok := strings.CutPrefix(string(out), "before")
	if !ok {
		t.Fatalf("what stood in dst is gone: %.40q", out)
	}
	var got openrtb2.BidResponse
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	want := openrtb2.BidResponse{ID: "req-\"1\"\ufffd\n", Cur: "USD", SeatBid: []openrtb2.SeatBid{{Seat: "s1", Bid: []openrtb2.Bid{{
		ID: "bid1", ImpID: "i2", Price: 1.234, AdID: "b1", CrID: "c1:b1", CID: "c1", DealID: "d1", Exp: 90,
		ADomain: []string{"shop.test"}, Bundle: "com.shop", Cat: []string{"IAB22"}, IURL: "https://cdn.test/x.png",
		MType: openrtb2.MarkupBanner, W: 300, H: 250,
		NURL: "https://bid.test/n/win?t=bid1&p=${AUCTION_PRICE}",
		BURL: "https://bid.test/n/billing?t=bid1&p=${AUCTION_PRICE}",
		LURL: "https://bid.test/n/loss?t=bid1&p=${AUCTION_PRICE}&r=${AUCTION_LOSS}",
		AdM: `<a href="https://bid.test/n/click?t=bid1" target="_blank"><img src="https://cdn.test/\"x\".png?a=${AUCTION_ID}"></a>` +
			`<img src="https://bid.test/n/impression?t=bid1" width="1" height="1" style="display:none" alt="">`,
	}}}}}
	want.SeatBid[0].Bid[0].Attr = got.SeatBid[0].Bid[0].Attr
	if !reflect.DeepEqual(got, want) || len(want.SeatBid[0].Bid[0].Attr) != 2 {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestEncodeSeats(t *testing.T) {
	other := campaign
	other.ID, other.Seat = "c2", ""
	bid := func(id string, imp int, c *auction.Campaign) auction.Bid {
		return auction.Bid{ID: id, Price: 1, Candidate: auction.Candidate{Impression: imp, Campaign: c, Creative: &bannerCreative}}
	}
	result := &auction.Result{Bids: []auction.Bid{bid("a", 0, &campaign), bid("b", 1, &other), bid("c", 2, &campaign)}}
	e := encoder1(t, EncoderOptions{DefaultSeat: "house"})
	for range 2 { // the second time with reused memory
		out, err := e.Bids(nil, bannerRequest(), &sellers.Seller{}, result, make([]auction.NoBidReason, 3))
		if err != nil {
			t.Fatal(err)
		}
		var got openrtb2.BidResponse
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		var seats []string
		for _, s := range got.SeatBid {
			line := s.Seat + ":"
			for _, b := range s.Bid {
				line += b.ID
			}
			seats = append(seats, line)
		}
		if want := []string{"s1:ac", "house:b"}; !reflect.DeepEqual(seats, want) {
			t.Errorf("seats %v, want %v", seats, want)
		}
	}
}

// An answer has the fields that its seller wants, and its macros.
func TestEncodeForSeller(t *testing.T) {
	no := false
	set, err := sellers.New(map[string]sellers.Settings{"s": {
		Addresses: []string{"192.0.2.1"}, Version: "2.5", Seat: "77", Fields: sellers.Fields{CID: &no},
		Macros: sellers.Macros{Markup: map[string]string{"${CLICK_URL}": "%%CLICK%%${CLICK_URL_ENC}", "${AUCTION_ID}": "%%ID%%"}},
	}, "bare": {Addresses: []string{"192.0.2.2"}, Fields: sellers.Fields{Seat: &no}}}, "USD")
	if err != nil {
		t.Fatal(err)
	}
	f := func(name, wantSeat, wantCID string, wantType openrtb2.MarkupType, wantMarkup string) {
		t.Helper()
		out, err := encoder1(t, EncoderOptions{}).Bids(nil, bannerRequest(), set.Named(name), &auction.Result{Bids: oneBid(nil).Bids}, make([]auction.NoBidReason, 1))
		if err != nil {
			t.Fatal(err)
		}
		var got openrtb2.BidResponse
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		bid := got.SeatBid[0].Bid[0]
		if got.SeatBid[0].Seat != wantSeat || bid.CID != wantCID || bid.MType != wantType || !strings.Contains(bid.AdM, wantMarkup) {
			t.Errorf("%s: seat %q, %+v", name, got.SeatBid[0].Seat, bid)
		}
	}
	f("s", "77", "", 0, `<a href="%%CLICK%%https%3A%2F%2Fbid.test%2Fn%2Fclick%3Ft%3Dbid1" target="_blank"><img src="https://cdn.test/\"x\".png?a=%%ID%%">`)
	f("bare", "", "c1", openrtb2.MarkupBanner, `<a href="https://bid.test/n/click?t=bid1"`)
}

// A bid that cannot be shown is left out, and the others stay.
func TestEncodeVerdicts(t *testing.T) {
	video := bannerCreative
	video.Kind = auction.VideoCreative
	plain := bannerCreative
	plain.Markup = `<img src="http://cdn.test/x.png">`
	f := func(name string, o EncoderOptions, linker Linker, creative *auction.Creative, want auction.NoBidReason) {
		t.Helper()
		e, err := NewEncoder(linker, o)
		if err != nil {
			t.Fatal(err)
		}
		result := &auction.Result{Bids: []auction.Bid{{ID: "x", Price: 1, Candidate: auction.Candidate{Campaign: &campaign, Creative: creative}}}}
		verdict := make([]auction.NoBidReason, 1)
		out, err := e.Bids(nil, bannerRequest(), &sellers.Seller{}, result, verdict)
		if err != nil || verdict[0] != want || (len(out) == 0) != (want != auction.NoBidNone) {
			t.Errorf("%s: verdict %q, %d bytes, error %v; want %q", name, verdict[0], len(out), err, want)
		}
	}
	insecureLinks := testLinker{"http://127.0.0.1:8080"}
	f("secure", EncoderOptions{}, testLinker{}, &bannerCreative, auction.NoBidNone)
	f("http markup and links", EncoderOptions{}, insecureLinks, &plain, auction.NoBidFormat)
	f("http markup and links, allowed", EncoderOptions{AllowInsecure: true}, insecureLinks, &plain, auction.NoBidNone)
	f("another format", EncoderOptions{}, testLinker{}, &video, auction.NoBidFormat)
}

func TestNoBid(t *testing.T) {
	out, err := encoder1(t, EncoderOptions{}).NoBid(nil, "r1", auction.NoBidShed)
	if err != nil || string(out) != `{"id":"r1","nbr":15}` {
		t.Errorf("%s, error %v", out, err)
	}
	seen := map[int64]bool{}
	for _, r := range reasons {
		if code := int64(NoBidCode(r)); code == 0 {
			t.Errorf("reason %q has no code", r)
		} else {
			seen[code] = true
		}
	}
	if len(seen) < 8 {
		t.Errorf("only %d codes", len(seen))
	}
}

func TestEncoderFaults(t *testing.T) {
	_, err := NewEncoder(nil, EncoderOptions{Currency: "usd", Expire: -1})
	for _, want := range []string{"no linker", `currency "usd"`, "expire -1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}
