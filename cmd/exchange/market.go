package main

import (
	"context"
	"errors"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/exchange/auctionhouse"
	"gavel/internal/exchange/clickmodel"
	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/engine"
	"gavel/internal/exchange/lot"
	"gavel/internal/exchange/openloop"
	"gavel/internal/openrtb"
	"gavel/internal/privacy"
	"gavel/internal/recipe"
)

// market holds auctions between one bidder, which knows the hidden probabilities, and the rest of the market. It stands
// for a bidder that has learnt well: the same campaigns, pacing and prices as cmd/bidder's, so that the impressions are
// like those that it wins. One goroutine uses it.
type market struct {
	c                   *config
	clicks, conversions *clickmodel.Model
	law                 *privacy.Law
	auctioneer          *auction.Auctioneer
	ledger              *auction.Ledger
	arrivals            *openloop.Arrivals
	key                 dice.Key

	now      time.Time // simulated
	lot      *lot.Lot  // on offer
	bids     int       // ids given
	auctions int
	wins     int
}

// newMarket opens a market. everyRow, for logs, has the campaigns bid without pacing: it would leave out most of the first
// rows, because a pacer starts without credit.
func newMarket(c *config, set *auction.CampaignSet, clicks, conversions *clickmodel.Model, everyRow bool) (*market, error) {
	root := dice.New(c.Seed)
	m := &market{c: c, clicks: clicks, conversions: conversions, key: root.With(0x75736572), now: c.Start}
	draws := root.With(0x6d61726b) // "mark"
	var drawn uint64
	draw := func() dice.Key { drawn++; return draws.With(drawn) }
	var err error
	rules := privacy.Defaults()
	rules.Vendor = 1 // the simulated users consent to every vendor
	if m.law, err = privacy.New(rules, nil); err != nil {
		return nil, err
	}
	if m.ledger, err = auction.NewLedger(auction.LedgerOptions{Rand: func() float64 { return draw().Uniform() }}); err != nil {
		return nil, err
	}
	m.auctioneer, err = auction.NewAuctioneer(auction.AuctioneerOptions{
		Scorer: m, Budget: m.ledger, Now: func() time.Time { return m.now },
		NewID: func() string { m.bids++; return strconv.Itoa(m.bids) },
		Rand:  func() uint32 { return uint32(draw()) },
	})
	if err != nil {
		return nil, err
	}
	m.auctioneer.SetCampaigns(set)
	var plans []auction.Plan
	for _, campaign := range set.All() {
		plan := auction.PlanFor(campaign)
		if everyRow {
			plan.Pacing = auction.PaceASAP
		}
		plans = append(plans, plan)
	}
	m.ledger.SetPlans(plans, m.now)
	for _, plan := range plans {
		m.ledger.Grant(plan.Campaign, auction.DayOf(m.now), plan.Daily)
	}
	if m.arrivals, err = openloop.NewArrivals(c.Arrivals, c.Rate, c.Seed); err != nil {
		return nil, badConfig{err}
	}
	return m, nil
}

// Score implements auction.Scorer with the truth; certainty where a log has labels, so that every row of it is won.
func (m *market) Score(_ context.Context, _ *auction.Request, candidates []auction.Candidate, out []auction.Prediction, ok []bool) error {
	for i := range candidates {
		c := &candidates[i]
		ok[i], out[i] = true, auction.Prediction{Click: 1, Conversion: 1}
		if m.lot.Imps[c.Impression].Label == lot.LabelModel {
			size, ad := m.shown(c)
			out[i].Click = float32(m.clicks.Probability(&m.lot.Context, size, ad, m.now))
			if c.Campaign.Goal.Kind == auction.CPA {
				out[i].Conversion = float32(m.conversions.Probability(&m.lot.Context, size, ad, m.now))
			}
		}
	}
	return nil
}

// shown is what the hidden models see of a candidate.
func (m *market) shown(c *auction.Candidate) (size string, ad clickmodel.Ad) {
	bid := wireBid(c)
	return engine.ShownSize(&bid, &m.lot.Imps[c.Impression]), clickmodel.Ad{Campaign: bid.CID, Creative: bid.CrID}
}

var markupTypes = map[auction.CreativeKind]openrtb2.MarkupType{
	auction.BannerCreative: openrtb2.MarkupBanner, auction.VideoCreative: openrtb2.MarkupVideo,
	auction.AudioCreative: openrtb2.MarkupAudio, auction.NativeCreative: openrtb2.MarkupNative,
}

// wireBid is the part of a bid that the exchange looks at, as openrtb.Encoder writes it.
func wireBid(c *auction.Candidate) openrtb2.Bid {
	bid := openrtb2.Bid{CID: c.Campaign.ID, CrID: c.Campaign.ID + ":" + c.Creative.ID, MType: markupTypes[c.Creative.Kind],
		W: int64(c.Creative.Size.W), H: int64(c.Creative.Size.H)}
	if c.Deal != nil {
		bid.DealID = c.Deal.ID
	}
	return bid
}

// write holds auctions and adds the examples they give.
func (m *market) write(ctx context.Context, source lot.Source, r *recipe.Recipe, files *exampleFiles, rows int) error {
	var l lot.Lot
	var raw auction.Raw
	var offered []auction.Bid
	row := make([]int32, r.Encoder().RowLen())
	m.lot = &l
	for files.rows < rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := source.Next(&l); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		m.auctions++
		m.now = m.c.Start.Add(m.arrivals.Next())
		if _, err := openrtb.Decode(l.Body, &raw, &openrtb.DecodeOptions{Exchange: m.c.Exchange, Received: m.now,
			Timing: openrtb.Timing{Default: time.Second, Min: time.Millisecond, Max: time.Second}}); err != nil {
			if l.MayReject {
				continue
			}
			return err
		}
		req, reason := m.law.Apply(&raw)
		if reason != auction.NoBidNone {
			continue
		}
		offered = m.auctioneer.Run(ctx, req, offered).Bids
		for i, won := range m.clear(req, offered) {
			if won == nil {
				continue
			}
			label, truth, shown, is := m.outcome(&offered[i].Candidate, r.Label)
			if !is {
				continue
			}
			r.Encoder().Encode(req, &offered[i].Candidate, row)
			if err := files.add(row, label, truth, shown); err != nil {
				return err
			}
			if files.rows == rows {
				return nil
			}
		}
	}
	return nil
}

// clear runs the exchange's side of the auction and books it; the result has the bids' places, nil for those that lost.
func (m *market) clear(req *auction.Request, offered []auction.Bid) []*auctionhouse.Bid {
	bids := make([]auctionhouse.Bid, len(offered))
	for i := range offered {
		wire := wireBid(&offered[i].Candidate)
		bids[i] = auctionhouse.Bid{Bid: &wire, Imp: -1, Offer: offered[i].Price}
		for j := range m.lot.Imps { // the request leaves out impressions of formats that it does not know
			if m.lot.Imps[j].ID == req.Impressions[offered[i].Candidate.Impression].ID {
				bids[i].Imp = j
			}
		}
	}
	auctionhouse.Clear(m.lot, bids)
	won := make([]*auctionhouse.Bid, len(offered))
	for i := range bids {
		if !bids[i].Won {
			m.ledger.Release(offered[i].ID)
			continue
		}
		m.wins++
		m.ledger.Book(offered[i].Candidate.Campaign.ID, offered[i].ID, bids[i].Price, m.now)
		won[i] = &bids[i]
	}
	return won
}

// The purposes of the draws about one impression.
const (
	drawRender = iota
	drawClick
	drawConversion
)

// outcome draws what the user does with an ad that won: the example's label, the hidden probability of it, and when the
// impression was. false: no example comes of it, because the ad was not shown or, for conversions, not clicked.
func (m *market) outcome(c *auction.Candidate, want string) (label float32, truth float64, shown time.Time, is bool) {
	k := m.key.With(uint64(m.lot.Seq)).With(1 + uint64(c.Impression))
	if !k.With(drawRender).Chance(m.c.RenderShare) {
		return 0, 0, m.now, false
	}
	imp := &m.lot.Imps[c.Impression]
	yes := func(is bool) float32 {
		if is {
			return 1
		}
		return 0
	}
	if imp.Label != lot.LabelModel {
		truth = math.NaN()
		if imp.Teacher > 0 {
			truth = float64(imp.Teacher)
		}
		return yes(imp.Label == lot.LabelYes), truth, m.now, want == recipe.Click
	}
	size, ad := m.shown(c)
	p := m.clicks.Probability(&m.lot.Context, size, ad, m.now)
	clicked := k.With(drawClick).Chance(p)
	if want == recipe.Click {
		return yes(clicked), p, m.now, true
	}
	p = m.conversions.Probability(&m.lot.Context, size, ad, m.now)
	return yes(k.With(drawConversion).Chance(p)), p, m.now, clicked
}
