package notices

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/sellers"
)

// Links are the URLs of one bid. openrtb.Links(l) converts them.
type Links struct {
	Win, Billing, Loss, Impression, Click string
}

// Linker makes the links by which notices of a bid arrive. Safe for concurrent use.
type Linker struct {
	base    string // without a slash at the end
	keys    *Keyring
	sellers *sellers.Set
	bufs    sync.Pool // of *linkBuf
}

type linkBuf struct{ payload, text []byte }

// NewLinker returns a Linker. base is the URL by which exchanges and browsers reach the bidder, as in
// "https://bid.example.com".
func NewLinker(base string, keys *Keyring, all *sellers.Set) (*Linker, error) {
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
	l := &Linker{base: strings.TrimRight(base, "/"), keys: keys, sellers: all}
	l.bufs.New = func() any { return &linkBuf{} }
	return l, nil
}

// linkKinds are the kinds of a bid's links.
var linkKinds = [...]events.Type{events.TypeWin, events.TypeBilling, events.TypeLoss, events.TypeImpression, events.TypeClick}

// appendTail appends what follows the token: the macros that the seller fills in. The link of impressions becomes part of
// markup, where an ampersand would need escaping. So there ~ is between token, price and quantity.
func appendTail(b []byte, kind events.Type, seller *sellers.Seller, quantity bool) []byte {
	price, times := "&p=", "&m="
	switch {
	case kind == events.TypeClick, kind == events.TypeImpression && seller.Billing != sellers.Impression:
		return b
	case kind == events.TypeImpression:
		price, times = "~", "~"
	}
	b = append(append(b, price...), seller.Macros.Price...)
	if kind == events.TypeLoss {
		return append(append(b, "&r="...), seller.Macros.Loss...)
	}
	if quantity {
		b = append(append(b, times...), seller.Macros.Quantity...)
	}
	return b
}

// Links returns the links of bid, which include req.Exchange. The billing link is empty if another notice of the seller is
// its bill. If an id is too long to be signed (more than 255 bytes), all links are empty. The campaign loader refuses such ids.
func (l *Linker) Links(req *auction.Request, bid *auction.Bid) Links {
	seller := l.sellers.Named(req.Exchange)
	c := Claims{Bid: bid.ID, Exchange: req.Exchange, MaxPrice: bid.Price, Quantity: bid.Quantity, Test: req.Test, Issued: bid.Made}
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
	var ends [len(linkKinds)]int
	for i, kind := range linkKinds {
		if kind != events.TypeBilling || seller.Billing == sellers.BillingURL {
			text = append(text, l.base...)
			text = append(text, "/n/"...)
			text = append(text, kind...)
			text = append(text, "?t="...)
			text = s.append(text, kind)
			text = appendTail(text, kind, seller, c.Quantity != 0 && c.Quantity != 1)
		}
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
