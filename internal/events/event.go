package events

import (
	"fmt"
	"time"

	"gavel/internal/auction"
)

// Schema is the schema version of every event. Of events of a later schema, readers return only the header.
const Schema = 1

// Type says what happened.
type Type string

const (
	TypeBid        Type = "bid"        // we offered a price; carries the request and the candidate
	TypeWin        Type = "win"        // the exchange says we won, at Price
	TypeLoss       Type = "loss"       // the exchange says we lost, for Reason
	TypeBilling    Type = "billing"    // the exchange bills us Price; only this counts as spend
	TypeImpression Type = "impression" // the ad was shown
	TypeClick      Type = "click"      // the user clicked the ad
	TypeConversion Type = "conversion" // the click led to the advertiser's goal, with the value Price if the advertiser reports one
	TypeRanking    Type = "ranking"    // a ranker sent a user's click to Campaign; carries the profile: see Ranking
	TypeSale       Type = "sale"       // the click of a ranking led to a sale, with the value Price if the advertiser reports one
	TypeTick       Type = "tick"       // a heartbeat, which moves the watermark when nothing else happens
)

// Important reports whether money or rare labels depend on the type: win, billing, click, conversion, ranking, sale. If events
// must be dropped, these are kept longest.
func (t Type) Important() bool {
	switch t {
	case TypeWin, TypeBilling, TypeClick, TypeConversion, TypeRanking, TypeSale:
		return true
	}
	return false
}

// Event is one thing that happened. On the wire it is a msgpack array, see package codec.
type Event struct {
	Version int    // schema; 0 is written as Schema
	ID      string // if the same thing is reported twice, both events have the same id
	Type    Type
	Key     string // partition: the bid id, or the id of a ranking's click; "" for a tick
	Time    int64  // Unix ms, by the clock of the bidder that saw it

	// Set for all types but bid and tick.
	Campaign string
	Creative string
	Exchange string
	Price    auction.Micros // win, loss: clearing price; billing: spend; conversion, sale: value to the advertiser; else 0
	Reason   int            // loss: OpenRTB list 5.25; else 0
	BidTime  int64          // billing: when the bid was made, Unix ms; else 0. An earlier build's bills have 0 too

	// Bid is set when a bid is published. An event that was read has the encoded Body instead, which codec.Bid decodes.
	// Most bids are never decoded, so readers save that work. Body points into the message that it was read from.
	Bid  *BidContext
	Body []byte

	// Ranking is set for a ranking, and nil for all other types.
	Ranking *Ranking
}

// EventID is the id of the event of type t about a bid. A repeated notice gets the same id.
func EventID(t Type, bid string) string { return string(t) + ":" + bid }

// At is Time as a time.
func (e *Event) At() time.Time { return time.UnixMilli(e.Time) }

// BidAt is when the bid was made whose bill e is. The day of the bid is charged. For bills without BidTime it is At.
func (e *Event) BidAt() time.Time {
	if e.BidTime == 0 {
		return e.At()
	}
	return time.UnixMilli(e.BidTime)
}

// NewTick is a heartbeat of the named bidder.
func NewTick(source string, now time.Time) Event {
	ms := now.UnixMilli()
	return Event{ID: fmt.Sprintf("tick:%s:%d", source, ms), Type: TypeTick, Time: ms}
}
