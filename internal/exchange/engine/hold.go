package engine

import (
	"errors"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bytedance/sonic"
	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/prebid/openrtb/v20/openrtb3"

	"gavel/internal/exchange/auctionhouse"
	"gavel/internal/exchange/clickmodel"
	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/lot"
	"gavel/internal/exchange/notify"
	"gavel/internal/exchange/report"
)

// The random draws about one impression, by purpose.
const (
	drawGzip = iota
	drawRender
	drawRenderDelay
	drawClick
	drawClickDelay
	drawConversion
	drawConversionDelay
)

// hold holds one auction: it sends the request, clears the answer, and queues the notices. It keeps nothing of l.
func (e *Engine) hold(call *call, l *lot.Lot, due time.Time) {
	zipped := e.o.GzipShare > 0 && e.key.With(uint64(l.Seq)).With(drawGzip).Chance(e.o.GzipShare)
	answer, resp, sent, answered, err := call.send(l.Body, zipped, l.TMax)
	if answer == report.Reject && !l.MayReject {
		answer, err = report.Failed, errors.New("engine: the bidder answered 400 to a well-formed request")
	}
	if err != nil {
		e.warned.Warn(e.log, "auction failed", "lot", l.ID, "error", err)
	}
	timing := report.Timing{Due: due, Sent: sent, Answered: answered, TMax: l.TMax}
	if resp == nil {
		e.books.Answered(answer, 0, timing)
		return
	}
	bids, problems := auctionhouse.Bids(l, resp, nil)
	problems = e.check(l, resp, bids, problems)
	e.books.Answered(answer, len(bids), timing)
	if len(problems) > 0 {
		e.warned.Warn(e.log, "invalid bids", "problems", strings.Join(problems, "; "))
	}
	for i := range bids {
		e.books.Bid(campaignOf(bids[i].Bid), bids[i].Loss == 0)
		if bids[i].Loss == 0 && timing.Late() {
			bids[i].Loss = openrtb3.LossExpired // the impression was sold without the late bid
		}
	}
	auctionhouse.Clear(l, bids)
	for i := range bids {
		b := &bids[i]
		macros := auctionhouse.Macros{AuctionID: l.ID, BidID: resp.BidID, ImpID: b.ImpID, SeatID: b.Seat, AdID: b.AdID,
			Currency: "USD", Price: b.Price, MinToWin: b.MinToWin, Loss: int64(b.Loss)}
		if b.Won {
			e.won(l, b, macros, answered)
			continue
		}
		e.books.Lost(strconv.Itoa(int(b.Loss)))
		if b.LURL != "" {
			e.notifier.Send(notify.Notice{Kind: notify.Loss, URL: macros.Expand(b.LURL)})
		}
	}
}

// check calls Validate for an answer that is valid so far. A fault makes all its bids invalid.
func (e *Engine) check(l *lot.Lot, resp *openrtb2.BidResponse, bids []auctionhouse.Bid, problems []string) []string {
	var request openrtb2.BidRequest
	if e.validate == nil || len(problems) > 0 || sonic.Unmarshal(l.Body, &request) != nil {
		return problems
	}
	for _, fault := range e.validate(&request, resp) {
		problems = append(problems, "lot "+l.ID+": "+fault.Error())
	}
	if len(problems) > 0 {
		for i := range bids {
			bids[i].Loss = openrtb3.LossInvalidResponse
		}
	}
	return problems
}

// won queues the notices of a win and of what the user then does with the ad.
func (e *Engine) won(l *lot.Lot, b *auctionhouse.Bid, macros auctionhouse.Macros, now time.Time) {
	imp := &l.Imps[b.Imp]
	campaign := campaignOf(b.Bid)
	e.books.Won(campaign)
	if b.NURL != "" {
		e.notifier.Send(notify.Notice{Kind: notify.Win, URL: macros.Expand(b.NURL)})
	}
	k := e.key.With(uint64(l.Seq)).With(1 + uint64(b.Imp))
	if !k.With(drawRender).Chance(e.o.RenderShare) {
		return
	}
	shown := now.Add(e.o.RenderDelay.Draw(k.With(drawRenderDelay)))
	out := report.Outcome{BidID: b.ID, ImpID: b.ImpID, Time: shown, Campaign: campaign, Price: b.Price,
		TeacherClick: math.NaN(), TeacherConversion: math.NaN()}
	if imp.Label == lot.LabelModel {
		size, ad := ShownSize(b.Bid, imp), clickmodel.Ad{Campaign: campaign, Creative: b.CrID}
		out.TeacherClick = e.clicks.Probability(&l.Context, size, ad, shown)
		out.TeacherConversion = e.conversions.Probability(&l.Context, size, ad, shown)
		out.Clicked = k.With(drawClick).Chance(out.TeacherClick)
		out.Converted = out.Clicked && k.With(drawConversion).Chance(out.TeacherConversion)
	} else {
		out.Clicked = imp.Label == lot.LabelYes
		if imp.Teacher > 0 {
			out.TeacherClick = float64(imp.Teacher)
		}
	}
	teacher := out.TeacherClick
	if math.IsNaN(teacher) {
		teacher = 0
	}
	e.books.Billed(campaign, b.Price, teacher)
	if e.outcomes != nil {
		e.outcomes.Add(out)
	}
	macros.ImpTimeMs = shown.UnixMilli()
	if b.BURL != "" {
		e.notifier.Send(notify.Notice{Kind: notify.Billing, URL: macros.Expand(b.BURL), At: shown})
	}
	pixels, click := notify.Tracked(macros.Expand(b.AdM), e.hosts)
	for _, p := range pixels {
		e.notifier.Send(notify.Notice{Kind: notify.Impression, URL: p, At: shown})
	}
	if out.Clicked {
		e.click(k, l.Context, click, shown.Add(e.o.ClickDelay.Draw(k.With(drawClickDelay))), out)
	}
}

// click queues a click at its time, and what follows it: the ranker's choice if the ad leads to the ranker, else the conversion
// if there is one.
func (e *Engine) click(k dice.Key, user lot.Context, clickURL string, at time.Time, out report.Outcome) {
	campaign := out.Campaign
	if clickURL == "" {
		e.books.Untold()
		e.warned.Warn(e.log, "the markup has no click URL with an allowed host", "bid", out.BidID)
		return
	}
	e.notifier.Send(notify.Notice{Kind: notify.Click, URL: clickURL, At: at, Done: func(r notify.Reply) {
		e.books.Clicked(campaign)
		if e.shoppers != nil && e.shoppers.Leads(r.Location) {
			e.shoppers.Came(r.Location, user.Agent, user.Country, user.UTCOffset)
			return
		}
		if !out.Converted {
			return
		}
		target, err := e.conversionURL(clickURL, r.Location, out.BidID)
		if err != nil {
			e.books.Untold()
			e.warned.Warn(e.log, "conversion not sent", "bid", out.BidID, "error", err)
			return
		}
		e.notifier.Send(notify.Notice{Kind: notify.Conversion, URL: target,
			At:   time.Now().Add(e.o.ConversionDelay.Draw(k.With(drawConversionDelay))),
			Done: func(notify.Reply) { e.books.Converted(campaign) }})
	}})
}

// conversionURL returns the URL that an advertiser would call: the conversion path at the origin of the click URL, with
// the click id that the landing page got.
func (e *Engine) conversionURL(clickURL, landing, order string) (string, error) {
	page, err := url.Parse(landing)
	if err != nil {
		return "", err
	}
	query := page.Query()
	for _, name := range e.o.ClickIDParams {
		if id := query.Get(name); id != "" {
			u, err := url.Parse(clickURL)
			if err != nil {
				return "", err
			}
			u.Path, u.RawQuery = e.o.ConversionPath, url.Values{"t": {id}, "c": {order}}.Encode()
			return u.String(), nil
		}
	}
	return "", errors.New("engine: the landing page got no click id; name its parameter in click_id_params")
}

// campaignOf returns the campaign of a bid, from the fields that a bidder must send.
func campaignOf(b *openrtb2.Bid) string {
	switch {
	case b.CID != "":
		return b.CID
	case len(b.ADomain) > 0:
		return b.ADomain[0]
	}
	return b.CrID
}

// ShownSize returns the bid's format if it has one, else the impression's first.
func ShownSize(b *openrtb2.Bid, imp *lot.Imp) string {
	switch b.MType {
	case openrtb2.MarkupVideo:
		return "video"
	case openrtb2.MarkupAudio:
		return "audio"
	case openrtb2.MarkupNative:
		return "native"
	}
	if b.W > 0 && b.H > 0 {
		return strconv.FormatInt(b.W, 10) + "x" + strconv.FormatInt(b.H, 10)
	}
	return imp.Size
}
