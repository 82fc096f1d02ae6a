// Package lot is the vocabulary the exchange's parts share: one auction on offer, and who makes them.
//
// The life of a lot: a Source fills it, the engine sends its Body to the bidder and hands the answer to the auction
// house, which clears it against the competitors and the floors written here; what the user does with the ad then
// comes from the row's own Label, or where there is none, from the hidden click model over Context.
package lot

import (
	"time"

	"gavel/internal/auction"
)

// Lot is one auction on offer. Its memory belongs to the engine, which reuses it after the auction is over: a Source
// overwrites every field, and may keep nothing of it.
type Lot struct {
	Seq  int64  // 0, 1, 2, … in the order of the source; seeds every random draw about this lot
	ID   string // BidRequest.id
	Body []byte // the bid request, JSON; the slice may be appended to from [:0]
	// Due is when the auction is to be sent, counted from the start of the run; negative: the source has no clock and
	// the engine's arrivals decide.
	Due       time.Duration
	FirstBid  bool          // at = 1: the winner pays its bid; else second price
	TMax      time.Duration // how long the bidder may take
	MayReject bool          // the body may be malformed: a 400 is an answer, not an error
	Imps      []Imp
	Context   Context
}

// Imp is one impression of a lot: everything the auction house must know of it.
type Imp struct {
	ID      string
	Floor   auction.Micros // of the open auction, per impression, in USD
	Rival   auction.Micros // the highest competing bid; 0: nobody else bids
	Private bool           // pmp.private_auction: bids without a deal lose
	Deals   []Deal
	Size    string  // "300x250", "video", "native", "audio": what the click model sees
	Label   Label   // what the user does if our ad is shown
	Teacher float32 // NaN or the probability known of the row from elsewhere; 0 with LabelModel: ask the model
}

// Deal is a private deal on offer for one impression.
type Deal struct {
	ID    string
	Floor auction.Micros
	Type  int // at: 0 as the auction, 1 first, 2 second price, 3 fixed price = Floor
}

// Label says what is known beforehand of a click.
type Label int8

const (
	LabelModel Label = iota // nothing: the hidden click model draws
	LabelNo                 // the row was not clicked
	LabelYes                // the row was clicked
)

// Context is what the hidden click model may depend on, besides the ad. Empty strings are values like any other.
type Context struct {
	Domain     string // site domain or app bundle
	Category   string // first IAB category of the inventory
	DeviceType int    // OpenRTB devicetype
	Country    string // alpha-3
	UTCOffset  int    // minutes east of UTC: the model sees the local hour
	Cluster    string // the user's group
}

// Source makes lots. It is used from one goroutine.
type Source interface {
	// Next fills l with the next lot, or returns io.EOF after the last one. Any other error ends the run.
	Next(l *Lot) error
}
