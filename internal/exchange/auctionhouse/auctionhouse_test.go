package auctionhouse

import (
	"strings"
	"testing"

	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/prebid/openrtb/v20/openrtb3"

	"gavel/internal/auction"
	"gavel/internal/exchange/lot"
)

func offer(price auction.Micros, deal string) Bid {
	return Bid{Bid: &openrtb2.Bid{DealID: deal}, Offer: price}
}

func TestClear(t *testing.T) {
	const lost, belowFloor, belowDeal, noDeal, toDeal = openrtb3.LossLostToHigherBid, openrtb3.LossBelowAuctionFloor,
		openrtb3.LossBelowDealFloor, openrtb3.LossInvalidDealID, openrtb3.LossLostToDealBid
	type want struct {
		price auction.Micros // of a winner; 0: it lost
		loss  openrtb3.LossReason
	}
	f := func(name string, first bool, imp lot.Imp, bids []Bid, wants ...want) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			Clear(&lot.Lot{FirstBid: first, Imps: []lot.Imp{imp}}, bids)
			for i, w := range wants {
				b := bids[i]
				if b.Won != (w.price > 0) || b.Won && b.Price != w.price || b.Loss != w.loss {
					t.Errorf("bid %d: won %v at %d, loss %d; want price %d, loss %d", i, b.Won, b.Price, b.Loss, w.price, w.loss)
				}
			}
		})
	}
	deals := []lot.Deal{{ID: "fixed", Floor: 700, Type: 3}, {ID: "first", Floor: 600, Type: 1}, {ID: "as", Floor: 500}}
	f("first price pays its bid", true, lot.Imp{Floor: 100, Rival: 900}, []Bid{offer(1000, "")}, want{price: 1000})
	f("second price pays the rival", false, lot.Imp{Floor: 100, Rival: 900}, []Bid{offer(1000, "")}, want{price: 900})
	f("second price pays the floor", false, lot.Imp{Floor: 100, Rival: 90}, []Bid{offer(1000, "")}, want{price: 100})
	f("nothing against it: the least price", false, lot.Imp{}, []Bid{offer(1000, "")}, want{price: MinPrice})
	f("equal to the rival wins", false, lot.Imp{Rival: 1000}, []Bid{offer(1000, "")}, want{price: 1000})
	f("below the rival loses", false, lot.Imp{Rival: 1001}, []Bid{offer(1000, "")}, want{loss: lost})
	f("equal to the floor wins", true, lot.Imp{Floor: 1000}, []Bid{offer(1000, "")}, want{price: 1000})
	f("below the floor loses", false, lot.Imp{Floor: 1001}, []Bid{offer(1000, "")}, want{loss: belowFloor})
	f("two of ours: second pays first's", false, lot.Imp{Floor: 10}, []Bid{offer(300, ""), offer(500, "")}, want{loss: lost}, want{price: 300})
	f("equal bids: the first", false, lot.Imp{}, []Bid{offer(500, ""), offer(500, "")}, want{price: 500}, want{loss: lost})
	f("a fixed deal comes first", false, lot.Imp{Rival: 9000, Deals: deals}, []Bid{offer(8000, ""), offer(800, "fixed")}, want{loss: toDeal}, want{price: 700})
	f("a first-price deal in a second-price auction", false, lot.Imp{Rival: 650, Deals: deals}, []Bid{offer(800, "first")}, want{price: 800})
	f("a deal as the auction, second price", false, lot.Imp{Floor: 1, Rival: 100, Deals: deals}, []Bid{offer(800, "as")}, want{price: 500})
	f("below the deal's floor", false, lot.Imp{Deals: deals}, []Bid{offer(699, "fixed")}, want{loss: belowDeal})
	f("a deal nobody offered", false, lot.Imp{Deals: deals}, []Bid{offer(9000, "other")}, want{loss: noDeal})
	f("private: an open bid loses", false, lot.Imp{Private: true, Deals: deals}, []Bid{offer(9000, ""), offer(600, "as")}, want{loss: noDeal}, want{price: 500})
	f("private: the rival is out", false, lot.Imp{Private: true, Rival: 9000, Deals: deals}, []Bid{offer(600, "as")}, want{price: 500})
	invalid := offer(9000, "")
	invalid.Loss = openrtb3.LossMissingCreativeID
	f("an invalid bid neither wins nor sets the price", false, lot.Imp{}, []Bid{invalid, offer(500, "")},
		want{loss: openrtb3.LossMissingCreativeID}, want{price: MinPrice})
}

func TestClearKeepsImpressionsApart(t *testing.T) {
	bids := []Bid{offer(500, ""), offer(900, "")}
	bids[1].Imp = 1
	Clear(&lot.Lot{Imps: []lot.Imp{{Rival: 400}, {Rival: 1000}}}, bids)
	if !bids[0].Won || bids[0].Price != 400 || bids[1].Won || bids[1].MinToWin != 1000 {
		t.Errorf("got %+v and %+v", bids[0], bids[1])
	}
}

func TestBids(t *testing.T) {
	good := func() *openrtb2.BidResponse {
		return &openrtb2.BidResponse{ID: "a", Cur: "USD", SeatBid: []openrtb2.SeatBid{{Bid: []openrtb2.Bid{
			{ID: "b", ImpID: "1", Price: 1.5, CrID: "c", AdM: "<a>"}}}}}
	}
	f := func(name string, change func(*openrtb2.BidResponse), wantLoss openrtb3.LossReason, wantText string) {
		t.Helper()
		r := good()
		change(r)
		bids, problems := Bids(&lot.Lot{ID: "a", Imps: []lot.Imp{{ID: "1"}}}, r, nil)
		last := bids[len(bids)-1]
		if last.Loss != wantLoss || !strings.Contains(strings.Join(problems, "; "), wantText) || (wantText == "") != (len(problems) == 0) {
			t.Errorf("%s: loss %d, problems %q; want %d, %q", name, last.Loss, problems, wantLoss, wantText)
		}
	}
	bid := func(r *openrtb2.BidResponse) *openrtb2.Bid { return &r.SeatBid[0].Bid[0] }
	f("valid", func(*openrtb2.BidResponse) {}, 0, "")
	f("default currency", func(r *openrtb2.BidResponse) { r.Cur = "" }, 0, "")
	f("another auction", func(r *openrtb2.BidResponse) { r.ID = "z" }, openrtb3.LossInvalidAuctionID, `auction "z"`)
	f("currency", func(r *openrtb2.BidResponse) { r.Cur = "EUR" }, openrtb3.LossInvalidResponse, "EUR")
	f("no id", func(r *openrtb2.BidResponse) { bid(r).ID = "" }, openrtb3.LossInvalidResponse, "no id")
	f("foreign impid", func(r *openrtb2.BidResponse) { bid(r).ImpID = "2" }, openrtb3.LossInvalidResponse, `"2"`)
	f("no crid", func(r *openrtb2.BidResponse) { bid(r).CrID = "" }, openrtb3.LossMissingCreativeID, "crid")
	f("no price", func(r *openrtb2.BidResponse) { bid(r).Price = 0 }, openrtb3.LossMissingBidPrice, "above 0")
	f("no markup", func(r *openrtb2.BidResponse) { bid(r).AdM = "" }, openrtb3.LossMissingMarkup, "adm")
	f("id twice", func(r *openrtb2.BidResponse) {
		r.SeatBid = append(r.SeatBid, r.SeatBid[0])
	}, openrtb3.LossInvalidResponse, "twice")
}

func TestExpand(t *testing.T) {
	m := Macros{AuctionID: "A", BidID: "B", ImpID: "I", SeatID: "S", AdID: "D", Currency: "USD", Price: 1234, MinToWin: 2000, Loss: 102}
	f := func(in, want string) {
		t.Helper()
		if got := m.Expand(in); got != want {
			t.Errorf("Expand(%q) = %q, want %q", in, got, want)
		}
	}
	f("http://x/?p=${AUCTION_PRICE}&a=${AUCTION_ID}", "http://x/?p=1.234&a=A")
	f("${AUCTION_BID_ID}|${AUCTION_IMP_ID}|${AUCTION_SEAT_ID}|${AUCTION_AD_ID}|${AUCTION_CURRENCY}|${AUCTION_LOSS}", "B|I|S|D|USD|102")
	f("${AUCTION_PRICE:B64}", "MS4yMzQ=")
	f("${AUCTION_MIN_TO_WIN} ${AUCTION_MULTIPLIER} ${AUCTION_MBR}.", "2 1 .")
	f("no macro, ${OTHER}", "no macro, ${OTHER}")
	f("unfinished ${AUCTION_PRICE", "unfinished ${AUCTION_PRICE")
	f("", "")
	m.Price = 0
	f("p=${AUCTION_PRICE}", "p=")
}

func FuzzExpand(f *testing.F) {
	f.Add("x${AUCTION_PRICE}y${AUCTION_")
	f.Fuzz(func(t *testing.T, s string) {
		m := Macros{Price: 5}
		out := m.Expand(s)
		if !strings.Contains(s, macroStart) && out != s {
			t.Errorf("%q without macros became %q", s, out)
		}
	})
}
