// Package openrtb is the edge: OpenRTB 2.5 and 2.6 JSON over HTTP in and out.
//
// A bid request is read into memory of its own (Decode), so that every string of the auction.Request stays valid for
// as long as anybody holds it, while the Request itself is reused. The Handler gives it a deadline, lets Auctions run
// it, and writes the answer (Encoder). Faults of a request are answered 400, faults of ours with a no-bid: whoever asks
// well is always answered 200 or 204. The notices that come back later (win, billing, loss, impression, click,
// conversion) arrive on the same server and are handed to Notices.
//
//	POST /openrtb2/bid?exchange=NAME     200 with bids | 204 no bid | 400, 405, 413, 415 without content
//	GET  /n/KIND?t=TOKEN&p=…&r=…&c=…&v=…  302 (click) | 200 with a pixel (impression) | 204 | 403, 404, 405, 503
package openrtb

import (
	"context"
	"errors"

	"gavel/internal/auction"
)

// Auctions runs auctions. It is called concurrently.
type Auctions interface {
	// Run answers req by req.Deadline, which is also ctx's. An error is a no-bid with its reason; a panic is recovered
	// by the caller and answered as one. Neither req nor anything it points at may be kept after Sent or Withdraw of
	// the last bid, but strings may. The result's bids are appended to dst[:0], which is the caller's memory.
	Run(ctx context.Context, req *auction.Request, dst []auction.Bid) auction.Result

	// Sent says that bid, which Run returned, is in the answer about to be written: now is the time to record it. It
	// must not block. Either Sent or Withdraw is called once for every bid.
	Sent(req *auction.Request, bid *auction.Bid)

	// Withdraw says that a bid is not sent, and why: it came too late (NoBidExpired), or its markup cannot be shown in
	// this impression (NoBidFormat). What it holds of a budget can be freed.
	Withdraw(req *auction.Request, bid *auction.Bid, why auction.NoBidReason)
}

// Links are the URLs of one bid. Win, Billing and Loss may hold the exchange's macros (${AUCTION_PRICE}, …), which
// are left for it to fill. Impression and Click go into markup and must need no escaping in HTML, XML or JSON: no
// quotes, angle brackets, ampersands, backslashes or white space. An empty link is left out.
type Links struct {
	Win, Billing, Loss, Impression, Click string
}

// Linker makes the links of a bid. It is called concurrently, once a bid, just before it is written.
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

// noticeKinds are all of them, as the routes name them.
var noticeKinds = []NoticeKind{Win, Billing, Loss, Impression, Click, Conversion}

// The query parameters of a notice; whoever makes Links uses the same names.
const (
	ParamToken      = "t" // names the bid, signed
	ParamPrice      = "p" // ${AUCTION_PRICE}: a CPM price, "AUDIT" or empty
	ParamReason     = "r" // ${AUCTION_LOSS}
	ParamConversion = "c" // the advertiser's id of the conversion
	ParamValue      = "v" // what the conversion was worth, in units of the campaign currency
)

// MaxNoticeField bounds each field of a notice, in bytes; a longer one is refused (400).
const MaxNoticeField = 4096

// Notice is what the exchange, a browser or an advertiser tells us of a bid, not interpreted: the price is a string,
// for it may be "AUDIT" or empty. Its strings may be kept.
type Notice struct {
	Kind         NoticeKind
	Token        string
	Price        string
	Reason       string
	ConversionID string
	Value        string
}

// NoticeResult says how a notice is answered.
type NoticeResult struct {
	Redirect string // of a click: the landing page, absolute http or https
}

// The errors of Notices that the edge tells apart.
var (
	// ErrBadToken: the token was not signed by us, or is too old. Answered 403.
	ErrBadToken = errors.New("openrtb: notice token is not valid")
	// ErrUnknownNotice: the token is ours, but what it names is not there. Answered 404.
	ErrUnknownNotice = errors.New("openrtb: notice is about nothing known")
	// ErrBadNotice: a field does not parse. Answered 400.
	ErrBadNotice = errors.New("openrtb: notice is malformed")
)

// Notices takes what is told of bids. It is called concurrently.
type Notices interface {
	// Notice books n. A notice told twice is no error: it is answered as the first time and changes nothing. The
	// errors above have answers of their own; any other is answered 503, so that a caller who can retries. ctx ends
	// with the server.
	Notice(ctx context.Context, n *Notice) (NoticeResult, error)
}
