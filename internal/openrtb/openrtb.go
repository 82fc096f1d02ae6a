// Package openrtb answers OpenRTB 2.5 and 2.6 bid requests, JSON over HTTP.
//
// Decode copies the body of a bid request once. So every string of the auction.Raw stays valid, while the Raw itself
// is reused. The law (package privacy) makes a Request of it, which is all that auctions see. The Server gives the request a deadline, lets Auctions run it, and writes the answer (Encoder). A
// faulty request is answered with 400. A fault of the bidder is answered with a no-bid: a valid request always gets 200
// or 204. Only sellers that are known (internal/sellers) get an answer. Notices that come later (win, billing, loss,
// impression, click, conversion) arrive on a listener of their own and go to Notices.
//
//	POST /openrtb2/bid, /openrtb2/bid/SECRET   200 with bids | 204 no bid | 400, 403, 405, 413, 415 without content
//	GET  /n/KIND?t=TOKEN&p=…&m=…&r=…&c=…&v=…   302 (click) | 200 with a pixel (impression) | 204 | 403, 404, 405, 503
package openrtb

import (
	"context"
	"errors"

	"gavel/internal/auction"
)

// Auctions runs auctions. It is called concurrently.
type Auctions interface {
	// Run answers req by req.Deadline, which is also ctx's. Every fault is a no-bid with its reason; the caller
	// recovers a panic and answers it with a no-bid. After Sent or Withdraw of the last bid, nobody may keep req or
	// what it points to, except strings. Run appends the result's bids to dst[:0], which is the caller's memory.
	Run(ctx context.Context, req *auction.Request, dst []auction.Bid) auction.Result

	// Sent reports that a bid of Run is in the answer that is about to be written, so it can be recorded. Sent must not
	// block. For every bid, either Sent or Withdraw is called once.
	Sent(req *auction.Request, bid *auction.Bid)

	// Withdraw reports that a bid is not sent: it came too late (NoBidExpired), or its markup cannot be shown in this
	// impression (NoBidFormat). The money that it reserves can be released.
	Withdraw(req *auction.Request, bid *auction.Bid, why auction.NoBidReason)
}

// Links are the URLs of one bid. Win, Billing and Loss may have the exchange's macros (${AUCTION_PRICE}, …), which the
// exchange fills in. Impression and Click become part of markup. They must need no escaping in HTML, XML or JSON: no
// quotes, angle brackets, ampersands, backslashes or white space. Impression may have ~${AUCTION_PRICE} after its token.
// An empty link is left out.
type Links struct {
	Win, Billing, Loss, Impression, Click string
}

// Linker makes the links of a bid. It is called concurrently, once a bid, just before the bid is encoded.
type Linker interface {
	Links(req *auction.Request, bid *auction.Bid, dst *Links)
}

// NoticeKind says what a notice reports.
type NoticeKind string

const (
	Win        NoticeKind = "win"
	Billing    NoticeKind = "billing"
	Loss       NoticeKind = "loss"
	Impression NoticeKind = "impression"
	Click      NoticeKind = "click"
	Conversion NoticeKind = "conversion"
)

// noticeKinds are all kinds. A kind is also the last part of its route.
var noticeKinds = []NoticeKind{Win, Billing, Loss, Impression, Click, Conversion}

// The query parameters of a notice. A Linker uses the same names.
const (
	ParamToken      = "t" // identifies the bid; signed
	ParamPrice      = "p" // ${AUCTION_PRICE}: a price, "AUDIT" or empty
	ParamQuantity   = "m" // ${AUCTION_MULTIPLIER}
	ParamReason     = "r" // ${AUCTION_LOSS}
	ParamConversion = "c" // the advertiser's id of the conversion
	ParamValue      = "v" // the value of the conversion, in units of the campaign currency
)

// MaxNoticeField bounds each field of a notice, in bytes. A longer price or quantity counts as empty; any other such field is
// refused (400).
const MaxNoticeField = 4096

// Notice is what an exchange, a browser or an advertiser reports about a bid, not interpreted. The price is a string,
// because it may be "AUDIT" or empty. The strings may be kept.
type Notice struct {
	Kind         NoticeKind
	Token        string
	Price        string
	Quantity     string
	Reason       string
	ConversionID string
	Value        string
}

// NoticeResult says how a notice is answered.
type NoticeResult struct {
	Redirect string // of a click: the landing page, absolute http or https
}

// The errors of Notices that have answers of their own.
var (
	// ErrBadToken: this bidder did not sign the token, or the token is too old. Answered with 403.
	ErrBadToken = errors.New("openrtb: notice token is not valid")
	// ErrUnknownNotice: the token is valid, but what it identifies is unknown. Answered with 404.
	ErrUnknownNotice = errors.New("openrtb: notice identifies nothing known")
	// ErrBadNotice: a field cannot be parsed. Answered with 400.
	ErrBadNotice = errors.New("openrtb: notice is malformed")
)

// Notices books notices. It is called concurrently.
type Notices interface {
	// Notice books n. A repeated notice is not an error: it gets the same answer and changes nothing. The errors above
	// have answers of their own. Any other error is answered with 503, so that the caller can try again. ctx ends with
	// the server.
	Notice(ctx context.Context, n *Notice) (NoticeResult, error)
}
