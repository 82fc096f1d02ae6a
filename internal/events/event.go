package events

import (
	"fmt"
	"time"

	"gavel/internal/auction"
)

// Schema is the version every event carries. A reader hands events of a later schema out with their header only.
const Schema = 1

// Type says what happened.
type Type string

const (
	TypeBid        Type = "bid"        // we offered a price; carries the request and the candidate
	TypeWin        Type = "win"        // the exchange says we won, at Price
	TypeLoss       Type = "loss"       // the exchange says we lost, for Reason
	TypeBilling    Type = "billing"    // the exchange bills us Price: this, and nothing else, is spend
	TypeImpression Type = "impression" // the ad was shown
	TypeClick      Type = "click"      // and clicked
	TypeConversion Type = "conversion" // and led to what the advertiser wants, worth Price to it where it says so
	TypeTick       Type = "tick"       // a heartbeat: moves the watermark when nothing else happens
)

// Important reports whether money or rare labels hang on the type: win, billing, click and conversion are kept where
// others have to be dropped.
func (t Type) Important() bool {
	switch t {
	case TypeWin, TypeBilling, TypeClick, TypeConversion:
		return true
	}
	return false
}

// Event is one thing that happened. On the wire it is a msgpack array, see package codec.
type Event struct {
	Version int    // schema; 0 is written as Schema
	ID      string // the same thing twice has the same id
	Type    Type
	Key     string // partition: the bid id; "" for a tick
	Time    int64  // Unix ms, by the clock of the bidder that saw it

	// What all types but bid and tick add.
	Campaign string
	Creative string
	Exchange string
	Price    auction.Micros // win, loss: clearing price; billing: spend; conversion: value to the advertiser; else 0
	Reason   int            // loss: OpenRTB list 5.25; else 0

	// Bid is set by whoever publishes a bid. A read event has its Body instead, encoded as it was: most bids are never
	// looked at again, so only codec.Bid pays for it. Body points into the message it was read from.
	Bid  *BidContext
	Body []byte
}

// EventID is the id of the event of type t about a bid; the same notice told twice gets the same.
func EventID(t Type, bid string) string { return string(t) + ":" + bid }

// At is Time as a time.
func (e *Event) At() time.Time { return time.UnixMilli(e.Time) }

// NewTick is a heartbeat of the named bidder.
func NewTick(source string, now time.Time) Event {
	ms := now.UnixMilli()
	return Event{ID: fmt.Sprintf("tick:%s:%d", source, ms), Type: TypeTick, Time: ms}
}
