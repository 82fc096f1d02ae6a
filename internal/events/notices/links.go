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

// Links are the URLs of one bid, as openrtb.Links has them: openrtb.Links(l) converts.
type Links struct {
	Win, Billing, Loss, Impression, Click string
}

// Linker makes the links under which notices of a bid come back. Safe for concurrent use.
type Linker struct {
	base string // without a slash at the end
	keys *Keyring
	now  func() time.Time
	bufs sync.Pool // of *linkBuf
}

type linkBuf struct{ payload, text []byte }

// NewLinker makes links below base, the URL under which exchanges and browsers reach the bidder, as in
// "https://bid.example.com". now is the clock, nil the system's.
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

// The paths and what is left for the exchange to fill in.
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

// Links returns the links of bid; req.Exchange goes into them. Empty links mean that an id was too long to be signed
// (more than 255 bytes), which the loader of campaigns rules out.
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
