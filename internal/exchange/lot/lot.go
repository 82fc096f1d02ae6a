// Package lot has the types that the exchange's parts share: an auction on offer, and the source of auctions.
//
// The life of a lot: a Source fills it, the engine sends its Body to the bidder, and the auction house clears the
// answer against the competitors and floors in the lot. What the user then does with the ad comes from the row's Label,
// or, without a label, from the hidden click model over Context.
package lot

import (
	"time"

	"gavel/internal/auction"
)

// Lot is one auction on offer. The engine owns its memory and reuses it after the auction. A Source overwrites every
// field and keeps nothing of it.
type Lot struct {
	Seq  int64  // 0, 1, 2, … in the order of the source; seeds every random draw about this lot
	ID   string // BidRequest.id
	Body []byte // the bid request, JSON; a Source may reuse the slice from [:0]
	// Due is when the auction is to be sent, from the start of the run. Negative: the source has no clock, and the
	// engine's arrivals decide.
	Due       time.Duration
	FirstBid  bool          // at = 1: the winner pays its bid. Else second price.
	TMax      time.Duration // how long the bidder may take
	MayReject bool          // the body may be malformed, so 400 is not an error
	Imps      []Imp
	Context   Context
}

// Imp is one impression of a lot: everything that the auction house must know.
type Imp struct {
	ID      string
	Floor   auction.Micros // of the open auction, per impression, in USD
	Rival   auction.Micros // the highest competing bid; 0: none
	Private bool           // pmp.private_auction: bids without a deal lose
	Deals   []Deal
	Size    string  // "300x250", "video", "native" or "audio", for the click model
	Label   Label   // what the user does if the bidder's ad is shown
	Teacher float32 // the row's click probability if it is known, else NaN; 0 with LabelModel: the click model's
}

// Deal is a private deal on offer for one impression.
type Deal struct {
	ID    string
	Floor auction.Micros
	Type  int // at: 0 as in the auction, 1 first price, 2 second price, 3 fixed price (Floor)
}

// Label says what is known of a click before the auction.
type Label int8

const (
	LabelModel Label = iota // nothing: the hidden click model decides
	LabelNo                 // the row was not clicked
	LabelYes                // the row was clicked
)

// Context is what the hidden click model may depend on, apart from the ad. An empty string is a value like any other.
type Context struct {
	Domain     string // site domain or app bundle
	Category   string // first IAB category of the inventory
	DeviceType int    // OpenRTB devicetype
	Country    string // alpha-3
	UTCOffset  int    // minutes east of UTC, for the local hour
	Cluster    string // the user's group
	Agent      string // User-Agent, for a ranker; the click model does not depend on it
}

// Source makes lots. It is used from one goroutine.
type Source interface {
	// Next fills l with the next lot, or returns io.EOF after the last one. Any other error ends the run.
	Next(l *Lot) error
}
