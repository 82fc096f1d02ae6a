package openrtb

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/encoder"
	"github.com/prebid/openrtb/v20/adcom1"
	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/prebid/openrtb/v20/openrtb3"

	"gavel/internal/auction"
	"gavel/internal/sellers"
)

// EncoderOptions are the settings of all bid responses.
type EncoderOptions struct {
	Currency    string        // of every price, ISO 4217; "" means USD
	DefaultSeat string        // seat of campaigns without a seat; "" leaves it out
	Expire      time.Duration // how long a won bid is valid (exp), in whole seconds; 0 leaves it out
	// AllowInsecure sends markup with http: URLs to impressions that require https (imp.secure). Set it only for tests
	// on one machine, where links are http://127.0.0.1. Without it such bids are withdrawn, because exchanges drop
	// them.
	AllowInsecure bool
}

// Encoder writes bid responses. It is safe for concurrent use.
type Encoder struct {
	options EncoderOptions
	linker  Linker
	scratch sync.Pool // *response
}

// response is the memory of one answer.
type response struct {
	wire  openrtb2.BidResponse
	bids  []openrtb2.Bid // by seat, in the order of seats
	seats []string       // of bids
	links Links
	nbr   openrtb3.NoBidReason
}

// NewEncoder returns an encoder whose bids carry the links of linker.
func NewEncoder(linker Linker, options EncoderOptions) (*Encoder, error) {
	options.Currency = cmp.Or(options.Currency, "USD")
	var faults []error
	if linker == nil {
		faults = append(faults, errors.New("openrtb: encoder: no linker given"))
	}
	if len(options.Currency) != 3 || options.Currency != strings.ToUpper(options.Currency) {
		faults = append(faults, fmt.Errorf("openrtb: encoder: currency %q is not an ISO 4217 code, as in USD", options.Currency))
	}
	if options.Expire < 0 {
		faults = append(faults, fmt.Errorf("openrtb: encoder: expire %v must not be negative", options.Expire))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if err := sonic.Pretouch(reflect.TypeFor[openrtb2.BidResponse]()); err != nil {
		return nil, fmt.Errorf("openrtb: cannot compile the JSON encoder: %w", err)
	}
	e := &Encoder{options: options, linker: linker}
	e.scratch.New = func() any { return new(response) }
	return e, nil
}

// Bids appends the bid response for result's bids to dst, as the seller wants it. verdict must be as long as result.Bids. Bids sets verdict[i]
// to NoBidNone if bid i is in the response, or else to the reason. If no bid is in it, dst is returned unchanged.
func (e *Encoder) Bids(dst []byte, req *auction.Request, seller *sellers.Seller, result *auction.Result, verdict []auction.NoBidReason) ([]byte, error) {
	r := e.scratch.Get().(*response)
	defer e.release(r)
	for i := range result.Bids {
		bid := &result.Bids[i]
		r.links = Links{}
		e.linker.Links(req, bid, &r.links)
		var wire openrtb2.Bid
		if verdict[i] = e.bid(&wire, req, seller, bid, &r.links); verdict[i] == auction.NoBidNone {
			r.add(e.seat(seller, bid.Candidate.Campaign), wire)
		}
	}
	if len(r.bids) == 0 {
		return dst, nil
	}
	r.wire = openrtb2.BidResponse{ID: req.ID, Cur: e.options.Currency, SeatBid: r.wire.SeatBid[:0]}
	for from := 0; from < len(r.bids); {
		to := from + 1
		for to < len(r.bids) && r.seats[to] == r.seats[from] {
			to++
		}
		r.wire.SeatBid = append(r.wire.SeatBid, openrtb2.SeatBid{Seat: r.seats[from], Bid: r.bids[from:to:to]})
		from = to
	}
	return e.write(dst, r)
}

// NoBid appends a bid response without bids that gives the reason.
func (e *Encoder) NoBid(dst []byte, id string, reason auction.NoBidReason) ([]byte, error) {
	r := e.scratch.Get().(*response)
	defer e.release(r)
	r.nbr = NoBidCode(reason)
	r.wire = openrtb2.BidResponse{ID: id, NBR: &r.nbr, SeatBid: r.wire.SeatBid[:0]}
	return e.write(dst, r)
}

// add inserts bid after the other bids of its seat.
func (r *response) add(seat string, bid openrtb2.Bid) {
	at := len(r.bids)
	for i := len(r.seats) - 1; i >= 0; i-- {
		if r.seats[i] == seat {
			at = i + 1
			break
		}
	}
	r.bids = append(r.bids, openrtb2.Bid{})
	r.seats = append(r.seats, "")
	copy(r.bids[at+1:], r.bids[at:])
	copy(r.seats[at+1:], r.seats[at:])
	r.bids[at], r.seats[at] = bid, seat
}

func (e *Encoder) write(dst []byte, r *response) ([]byte, error) {
	if err := encoder.EncodeInto(&dst, &r.wire, encoder.ValidateString|encoder.NoEncoderNewline); err != nil {
		return dst, fmt.Errorf("openrtb: cannot encode the response: %w", err)
	}
	return dst, nil
}

// release returns the memory to the pool, without pointers to campaigns or requests.
func (e *Encoder) release(r *response) {
	clear(r.bids)
	clear(r.seats)
	clear(r.wire.SeatBid[:cap(r.wire.SeatBid)])
	*r = response{bids: r.bids[:0], seats: r.seats[:0], wire: openrtb2.BidResponse{SeatBid: r.wire.SeatBid[:0]}}
	e.scratch.Put(r)
}

// seat returns the seat of a campaign's bids.
func (e *Encoder) seat(seller *sellers.Seller, c *auction.Campaign) string {
	if seller.OmitSeat {
		return ""
	}
	return cmp.Or(seller.Seat, c.Seat, e.options.DefaultSeat)
}

// bid fills wire, or returns the reason why the bid cannot be sent.
func (e *Encoder) bid(wire *openrtb2.Bid, req *auction.Request, seller *sellers.Seller, bid *auction.Bid, links *Links) auction.NoBidReason {
	candidate := &bid.Candidate
	campaign, creative := candidate.Campaign, candidate.Creative
	imp := &req.Impressions[candidate.Impression]
	markup, ok := markupOf(imp, creative.Kind, seller.Markup(creative.Markup), links)
	if !ok || imp.Secure && !e.options.AllowInsecure && insecure(markup) {
		return auction.NoBidFormat
	}
	*wire = openrtb2.Bid{
		ID:      bid.ID,
		ImpID:   imp.ID,
		Price:   bid.Price.CPM(),
		NURL:    links.Win,
		BURL:    links.Billing,
		LURL:    links.Loss,
		AdM:     markup,
		AdID:    creative.ID,
		ADomain: []string{campaign.Domain},
		Bundle:  campaign.App,
		IURL:    creative.ImageURL,
		CID:     campaign.ID,
		CrID:    campaign.ID + ":" + creative.ID,
		Cat:     campaign.Categories,
		Exp:     int64(e.options.Expire / time.Second),
	}
	wire.Ext = transparency(req, campaign.DSA)
	if seller.OmitCID {
		wire.CID = ""
	}
	if candidate.Deal != nil {
		wire.DealID = candidate.Deal.ID
	}
	if n := len(creative.Attributes); n > 0 {
		wire.Attr = make([]adcom1.CreativeAttribute, n)
		for i, a := range creative.Attributes {
			wire.Attr[i] = adcom1.CreativeAttribute(a)
		}
	}
	switch creative.Kind {
	case auction.BannerCreative:
		wire.MType = openrtb2.MarkupBanner
		wire.W, wire.H = int64(creative.Size.W), int64(creative.Size.H)
	case auction.VideoCreative:
		wire.MType = openrtb2.MarkupVideo
		wire.W, wire.H = int64(creative.Size.W), int64(creative.Size.H)
		wire.Dur, wire.Protocol = int64(creative.Duration), adcom1.MediaCreativeSubtype(creative.Protocol)
	case auction.AudioCreative:
		wire.MType = openrtb2.MarkupAudio
		wire.Dur, wire.Protocol = int64(creative.Duration), adcom1.MediaCreativeSubtype(creative.Protocol)
	case auction.NativeCreative:
		wire.MType = openrtb2.MarkupNative
	}
	if seller.Version == "2.5" { // which knows neither
		wire.MType, wire.Dur = 0, 0
	}
	return auction.NoBidNone
}

// NoBidCode returns the number of a reason in OpenRTB's list 5.24. Reasons without a number there get numbers from 501
// on, in the range that the list leaves to exchanges and bidders.
func NoBidCode(reason auction.NoBidReason) openrtb3.NoBidReason {
	switch reason {
	case auction.NoBidInvalid:
		return openrtb3.NoBidInvalidRequest
	case auction.NoBidInternal, auction.NoBidNoModel, auction.NoBidRow:
		return openrtb3.NoBidTechnicalError
	case auction.NoBidShed, auction.NoBidExpired, auction.NoBidDraining:
		return openrtb3.NoBidInsufficientTime
	case auction.NoBidNoCampaign:
		return 501
	case auction.NoBidBlocked:
		return 502
	case auction.NoBidFormat:
		return 503
	case auction.NoBidCurrency:
		return 504
	case auction.NoBidFloor:
		return 505
	case auction.NoBidBudget:
		return 506
	case auction.NoBidPacing:
		return 507
	case auction.NoBidPrivacy:
		return 508
	}
	return openrtb3.NoBidUnknownError
}
