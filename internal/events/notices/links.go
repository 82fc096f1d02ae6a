package notices

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
)

// Links are the URLs of one bid. openrtb.Links(l) converts them.
type Links struct {
	Win, Billing, Loss, Impression, Click string
}

// Linker makes the links by which notices of a bid arrive. Safe for concurrent use.
type Linker struct {
	base string // without a slash at the end
	keys *Keyring
	now  func() time.Time
	bufs sync.Pool // of *linkBuf
}

type linkBuf struct{ payload, text []byte }

// NewLinker returns a Linker. base is the URL by which exchanges and browsers reach the bidder, as in
// "https://bid.example.com". now is the clock; nil means the system's.
func NewLinker(base string, keys *Keyring, now func() time.Time) (*Linker, error) {
	u, err := url.Parse(base)
	if err == nil {
		switch {
		case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			err = errors.New("want http:// or https:// and a host")
		case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
			err = errors.New("want no user, query or fragment")
		case strings.ContainsAny(base, "\"'<>&\\ \t\r\n"):
			err = errors.New("it needs escaping in markup")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("notices: cannot link below %q: %w (public_url)", base, err)
	}
	if now == nil {
		now = time.Now
	}
	l := &Linker{base: strings.TrimRight(base, "/"), keys: keys, now: now}
	l.bufs.New = func() any { return &linkBuf{} }
	return l, nil
}

// The paths, and the macros that the exchange fills in.
var linkParts = [...]struct {
	kind events.Type
	tail string
}{
	{events.TypeWin, "&p=${AUCTION_PRICE}"},
	{events.TypeBilling, "&p=${AUCTION_PRICE}"},
	{events.TypeLoss, "&p=${AUCTION_PRICE}&r=${AUCTION_LOSS}"},
	{events.TypeImpression, ""},
	{events.TypeClick, ""},
}

// Links returns the links of bid, which include req.Exchange. If an id is too long to be signed (more than 255 bytes), the
// links are empty. The campaign loader refuses such ids.
func (l *Linker) Links(req *auction.Request, bid *auction.Bid) Links {
	c := Claims{Bid: bid.ID, Exchange: req.Exchange, MaxPrice: bid.Price, Issued: l.now()}
	if bid.Candidate.Campaign != nil {
		c.Campaign = bid.Candidate.Campaign.ID
	}
	if bid.Candidate.Creative != nil {
		c.Creative = bid.Candidate.Creative.ID
	}
	buf := l.bufs.Get().(*linkBuf)
	defer l.bufs.Put(buf)
	s, err := l.keys.sign(&c, buf.payload)
	if err != nil {
		return Links{}
	}
	text := buf.text[:0]
	var ends [len(linkParts)]int
	for i, p := range linkParts {
		text = append(text, l.base...)
		text = append(text, "/n/"...)
		text = append(text, p.kind...)
		text = append(text, "?t="...)
		text = s.append(text, p.kind)
		text = append(text, p.tail...)
		ends[i] = len(text)
	}
	buf.payload, buf.text = s.payload, text
	all := string(text) // one allocation for the five
	return Links{
		Win:        all[:ends[0]],
		Billing:    all[ends[0]:ends[1]],
		Loss:       all[ends[1]:ends[2]],
		Impression: all[ends[2]:ends[3]],
		Click:      all[ends[3]:ends[4]],
	}
}
