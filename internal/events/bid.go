package events

import (
	"time"

	"gavel/internal/auction"
	"gavel/internal/privacy"
)

// BidContext is the body of a bid event. It holds everything that a recipe's features, today's or later ones, can use,
// and the models' predictions. It never holds markup, landing pages, targeting, budgets, block lists, the
// native request text or consent strings. What the law erased is not there; if the user allows the bid, but not that it is
// stored with identifiers and profile, they are not in the event either.
type BidContext struct {
	// Request holds only the impression of the bid. If the bid was for a deal, that is the impression's only deal. Currencies,
	// BlockedCategories, BlockedDomains, BlockedApps, Seats, BlockedSeats and Native.Request are empty, as are Seats and
	// Advertisers of the deal. Of Privacy it has GDPR and COPPA.
	Request auction.Request
	// Campaign has ID, Advertiser, Domain, App, Categories, Seat and Goal. Creatives is empty: see Creative.
	Campaign auction.Campaign
	// Creative has ID, Kind, Size, Duration, MIME, Protocol and Attributes.
	Creative auction.Creative
	Deal     *auction.Deal // nil: open auction; ID, floor and type
	Floor    auction.Micros

	Price      auction.Micros
	Value      auction.Micros
	Prediction auction.Prediction
}

// NewBid makes the event of bid, sent in answer to req at now. The event points into req and bid, so publish it before req
// is reused. NewBid does not change req.
func NewBid(req *auction.Request, bid *auction.Bid, now time.Time) Event {
	c := &bid.Candidate
	b := &BidContext{
		Request:    *req,
		Floor:      c.Floor,
		Price:      bid.Price,
		Value:      bid.Value,
		Prediction: bid.Prediction,
		Deal:       c.Deal,
	}
	if b.Request.Privacy.Unstored {
		b.Request.User = auction.User{} // Erase would clear what req still has
		privacy.Erase(&b.Request)
	}
	if c.Impression >= 0 && c.Impression < len(req.Impressions) {
		b.Request.Impressions = req.Impressions[c.Impression : c.Impression+1 : c.Impression+1]
	}
	if c.Campaign != nil {
		b.Campaign = *c.Campaign
	}
	if c.Creative != nil {
		b.Creative = *c.Creative
	}
	return Event{ID: EventID(TypeBid, bid.ID), Type: TypeBid, Key: bid.ID, Time: now.UnixMilli(), Bid: b}
}

// Candidate rebuilds the encoder's input at the time of the bid. Encoding the pair yields the row that was scored. Both
// point into b. Candidate.Impression is 0, the index of the only impression.
func (b *BidContext) Candidate() (*auction.Request, auction.Candidate) {
	return &b.Request, auction.Candidate{
		Campaign: &b.Campaign,
		Creative: &b.Creative,
		Deal:     b.Deal,
		Floor:    b.Floor,
	}
}
