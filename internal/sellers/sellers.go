// Package sellers holds the exchanges that call the bidder, as its configuration describes them: how each is known, which
// of its notices are bills, how its prices are written, and what its answers look like.
//
// A seller is never known by what a request says of itself. It is known by a secret in the path of its bid requests, by the
// address from which it calls, or by both. Notices need none of this: their signed tokens say whose bid they are about.
//
// settings.go is the form in the configuration, price.go reads prices, crypt.go decrypts them.
package sellers

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Seller is one seller. It does not change, and is safe for concurrent use.
type Seller struct {
	Name string
	Test bool // its auctions are tests: answered, but never billed, paced or learnt from

	Version      string      // of OpenRTB; "" is that of the request
	AuctionTypes map[int]int // nil: none of its own
	Seat         string      // "": the campaign's
	OmitSeat     bool
	OmitCID      bool
	NBR          *bool // nil: as the server's setting

	Billing    Trigger
	NoticeTime time.Duration
	Macros     Macros

	markup    *strings.Replacer // nil: nothing to replace
	price     priceForm
	addresses []netip.Prefix // empty: any
}

// Set holds all sellers. It does not change, and is safe for concurrent use.
type Set struct {
	byName   map[string]*Seller
	bySecret map[[sha256.Size]byte]*Seller
	byOrigin []origin // of sellers without a secret
	longest  time.Duration
	other    *Seller // of bids of sellers that are no longer there
}

type origin struct {
	addresses netip.Prefix
	seller    *Seller
}

// New reads the files that the settings name, and returns the sellers. currency is that of the campaigns. The error joins
// every fault.
func New(settings map[string]Settings, currency string) (*Set, error) {
	s := &Set{
		byName:   make(map[string]*Seller, len(settings)),
		bySecret: make(map[[sha256.Size]byte]*Seller),
		longest:  DefaultNoticeTime,
		other:    (&Settings{}).seller(""),
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		one := settings[name]
		found := one.Faults(name, currency)
		if len(found) == 0 {
			found = s.add(name, &one)
		}
		faults = append(faults, found...)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return s, nil
}

// add adds a seller whose settings have no fault.
func (s *Set) add(name string, settings *Settings) (faults []error) {
	seller := settings.seller(name)
	fault := func(err error) { faults = append(faults, fmt.Errorf("sellers.%s.%w", name, err)) }
	secrets, err := settings.secrets()
	if err != nil {
		fault(err)
	}
	for _, secret := range secrets {
		sum := sha256.Sum256([]byte(secret))
		if other := s.bySecret[sum]; other != nil {
			fault(fmt.Errorf("secret: is also that of %s; each seller needs its own", other.Name))
		}
		s.bySecret[sum] = seller
	}
	if settings.Price.KeysFile != "" {
		if seller.price.encryption, seller.price.integrity, err = settings.Price.keys(); err != nil {
			fault(err)
		}
	}
	if settings.Secret == "" && settings.SecretFile == "" {
		for _, p := range seller.addresses {
			for _, o := range s.byOrigin {
				if o.addresses.Overlaps(p) && o.seller != seller {
					fault(fmt.Errorf("addresses: %v is also an address of %s (%v); give one of them a secret", p, o.seller.Name, o.addresses))
				}
			}
			s.byOrigin = append(s.byOrigin, origin{p, seller})
		}
	}
	s.byName[name] = seller
	s.longest = max(s.longest, seller.NoticeTime)
	return faults
}

// seller compiles settings without faults. It reads no files.
func (s *Settings) seller(name string) *Seller {
	no := func(wanted *bool) bool { return wanted != nil && !*wanted }
	seller := &Seller{
		Name: name, Test: s.Test, Version: s.Version, AuctionTypes: s.AuctionTypes, Seat: s.Seat,
		OmitSeat: no(s.Fields.Seat), OmitCID: no(s.Fields.CID), NBR: s.Fields.NBR,
		Billing: cmp.Or(s.Billing, BillingURL), NoticeTime: cmp.Or(s.NoticeTime, DefaultNoticeTime), Macros: s.Macros,
		price: priceForm{form: cmp.Or(s.Price.Form, Plain), rate: cmp.Or(s.Price.Rate, 1)},
	}
	price := "${AUCTION_PRICE}"
	if s.Price.Form == OpenX {
		price = "${AUCTION_PRICE:OXCRYPT}"
	}
	seller.Macros.Price = cmp.Or(s.Macros.Price, price)
	seller.Macros.Loss = cmp.Or(s.Macros.Loss, "${AUCTION_LOSS}")
	seller.Macros.Quantity = cmp.Or(s.Macros.Quantity, "${AUCTION_MULTIPLIER}")
	if len(s.Macros.Markup) > 0 {
		var pairs []string
		for _, macro := range slices.Sorted(maps.Keys(s.Macros.Markup)) {
			pairs = append(pairs, macro, s.Macros.Markup[macro])
		}
		seller.markup = strings.NewReplacer(pairs...)
	}
	for _, text := range s.Addresses {
		if p, err := parsePrefix(text); err == nil {
			seller.addresses = append(seller.addresses, p)
		}
	}
	return seller
}

// Len is the number of sellers.
func (s *Set) Len() int { return len(s.byName) }

// Names returns the names of all sellers, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Find returns the seller that sent a bid request, or nil if none is known by what it brings. secret is what the path has
// after the endpoint, empty if it has nothing; from is the address of the connection.
func (s *Set) Find(secret []byte, from netip.Addr) *Seller {
	from = from.Unmap().WithZone("")
	if len(secret) > 0 {
		if len(secret) > mostSecret {
			return nil
		}
		seller := s.bySecret[sha256.Sum256(secret)] // by the hash, so that the time of a look-up tells nothing of a secret
		if seller == nil || !seller.calls(from) {
			return nil
		}
		return seller
	}
	for i := range s.byOrigin {
		if s.byOrigin[i].addresses.Contains(from) {
			return s.byOrigin[i].seller
		}
	}
	return nil
}

// calls reports whether the seller may call from an address.
func (s *Seller) calls(from netip.Addr) bool {
	return len(s.addresses) == 0 || slices.ContainsFunc(s.addresses, func(p netip.Prefix) bool { return p.Contains(from) })
}

// Named returns the seller of a bid by its name. If it is not there any more, Named returns one with all defaults.
func (s *Set) Named(name string) *Seller {
	if seller := s.byName[name]; seller != nil {
		return seller
	}
	return s.other
}

// LongestNoticeTime is the longest time after a bid in which any seller's notices are taken.
func (s *Set) LongestNoticeTime() time.Duration { return s.longest }

// Markup returns a creative's markup with the seller's own macros in it.
func (s *Seller) Markup(markup string) string {
	if s.markup == nil {
		return markup
	}
	return s.markup.Replace(markup)
}

// AuctionType returns what the seller means by its value of at.
func (s *Seller) AuctionType(at int) int {
	if meaning, ok := s.AuctionTypes[at]; ok {
		return meaning
	}
	return at
}

// CutSecret splits a path into the endpoint and the secret after it, as in /openrtb2/bid/SECRET. It returns false if the
// path is another one.
func CutSecret(path []byte, endpoint string) (secret []byte, ok bool) {
	rest, ok := bytes.CutPrefix(path, []byte(endpoint))
	if !ok || len(rest) > 0 && rest[0] != '/' {
		return nil, false
	}
	if len(rest) > 0 {
		rest = rest[1:]
	}
	return rest, true
}
