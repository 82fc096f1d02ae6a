package openrtb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
)

// constant gives every candidate the same prediction.
type constant struct{}

func (constant) Score(_ context.Context, _ *auction.Request, _ []auction.Candidate, out []auction.Prediction, ok []bool) error {
	for i := range out {
		out[i], ok[i] = auction.Prediction{Click: 0.05, Conversion: 0.1}, true
	}
	return nil
}

// unpaced is the ledger without pacing, so that the test does not depend on the hour.
type unpaced struct{ *auction.Ledger }

func (unpaced) Admit(string, time.Time) auction.NoBidReason { return auction.NoBidNone }

// house holds real auctions over real campaigns; only the predictions are constant.
type house struct {
	*auction.Auctioneer
	ledger *auction.Ledger
}

func (house) Sent(*auction.Request, *auction.Bid) {}
func (h house) Withdraw(_ *auction.Request, bid *auction.Bid, _ auction.NoBidReason) {
	h.ledger.Release(bid.ID)
}

// newHouse has a campaign for every format, and one for each of the common banner sizes.
func newHouse(t testing.TB) house {
	t.Helper()
	base := func(id string, creatives ...auction.Creative) auction.Campaign {
		return auction.Campaign{
			ID: id, Advertiser: id, Domain: id + ".test", Categories: []string{"IAB22"}, DailyBudget: 1e12, Creatives: creatives,
			Goal: auction.Goal{Kind: auction.CPC, Value: 2e6},
		}
	}
	var campaigns []auction.Campaign
	for _, size := range []auction.Size{{W: 300, H: 250}, {W: 728, H: 90}, {W: 320, H: 50}, {W: 300, H: 600}, {W: 160, H: 600}, {W: 970, H: 250}, {W: 468, H: 60}, {W: 100, H: 123}, {W: 1024, H: 768}} {
		campaigns = append(campaigns, base(fmt.Sprintf("banner-%dx%d", size.W, size.H), auction.Creative{
			ID: "b", Kind: auction.BannerCreative, Size: size, ClickURL: "https://shop.test",
			Markup: `<a href="${CLICK_URL}"><img src="https://cdn.test/b.png"></a>`,
		}))
	}
	vast := `<VAST version="3.0"><Ad id="1"><InLine><AdSystem>x</AdSystem><AdTitle>y</AdTitle><Creatives><Creative><Linear>` +
		`<Duration>00:00:15</Duration></Linear></Creative></Creatives></InLine></Ad></VAST>`
	for _, protocol := range []int{2, 3, 7} {
		campaigns = append(campaigns, base(fmt.Sprintf("video-%d", protocol), auction.Creative{
			ID: "v", Kind: auction.VideoCreative, Size: auction.Size{W: 640, H: 480}, Duration: 15, MIME: "video/mp4", Protocol: protocol,
			Markup: vast, ClickURL: "https://shop.test",
		}))
	}
	campaigns = append(campaigns,
		base("audio", auction.Creative{ID: "a", Kind: auction.AudioCreative, Duration: 15, MIME: "audio/mpeg", Protocol: 3, Markup: vast, ClickURL: "https://shop.test"}),
		base("native", auction.Creative{ID: "n", Kind: auction.NativeCreative, Markup: nativeCreative, ClickURL: "https://shop.test"}))
	set, err := auction.NewCampaignSet(campaigns, auction.SetOptions{Convert: func(amount auction.Micros, _ string) (auction.Micros, bool) { return amount, true }})
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var plans []auction.Plan
	now := time.Now()
	for _, c := range set.All() {
		plans = append(plans, auction.PlanFor(c))
	}
	ledger.SetPlans(plans, now)
	for _, c := range set.All() {
		ledger.Grant(c.ID, auction.DayOf(now), c.DailyBudget)
		ledger.Grant(c.ID, auction.DayOf(now)+1, c.DailyBudget)
	}
	auctioneer, err := auction.NewAuctioneer(auction.AuctioneerOptions{Scorer: constant{}, Budget: unpaced{ledger}, PerCampaign: 8, Rand: func() uint32 { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	auctioneer.SetCampaigns(set)
	return house{auctioneer, ledger}
}

// The whole corpus over HTTP: every request is answered with 200 or 204, and every bid passes an exchange's checks.
func TestCorpusHTTP(t *testing.T) {
	// Long deadlines, so that every request gets its auction even on a slow machine.
	_, base, client := startServer(t, newHouse(t), nil, Options{Timing: Timing{Min: time.Minute, Default: time.Minute, Max: time.Minute}})
	statuses, formats, bids := map[int]int{}, map[openrtb2.MarkupType]int{}, 0
	for _, c := range corpus(t) {
		resp, answer := do(t, client, "POST", base+"/openrtb2/bid", string(c.Body), "Content-Type", "application/json")
		statuses[resp.StatusCode]++
		switch resp.StatusCode {
		case 200:
		case 204:
			continue
		default:
			t.Errorf("%s: status %d", c.Path, resp.StatusCode)
			continue
		}
		var parsed openrtb2.BidResponse
		if err := json.Unmarshal([]byte(answer), &parsed); err != nil {
			t.Errorf("%s: %v", c.Path, err)
			continue
		}
		request, err := ReadStandard(c.Body)
		if err != nil {
			t.Errorf("%s: %v", c.Path, err)
			continue
		}
		for _, fault := range ValidateResponse(request, &parsed) {
			t.Errorf("%s: %v", c.Path, fault)
		}
		for _, seat := range parsed.SeatBid {
			for i := range seat.Bid {
				bids++
				formats[seat.Bid[i].MType]++
				if strings.Contains(seat.Bid[i].AdM, ClickMacro) || strings.Contains(seat.Bid[i].AdM, ImpressionMacro) {
					t.Errorf("%s: a macro of ours was not filled in: %s", c.Path, seat.Bid[i].AdM)
				}
			}
		}
	}
	t.Logf("answers by status %v, %d bids, by format %v", statuses, bids, formats)
	if statuses[200] < 1000 || formats[openrtb2.MarkupBanner] < 500 || formats[openrtb2.MarkupVideo] < 50 ||
		formats[openrtb2.MarkupNative] < 20 || formats[openrtb2.MarkupAudio] < 1 {
		t.Errorf("too few bids to have tested anything: statuses %v, formats %v", statuses, formats)
	}
}
