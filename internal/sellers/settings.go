package sellers

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gavel/internal/files"
)

// Secret is a text that no log and no error shows.
type Secret string

// String returns a placeholder.
func (Secret) String() string { return "(hidden)" }

// GoString returns a placeholder.
func (Secret) GoString() string { return "(hidden)" }

// Settings describe one seller, as an operator writes them (docs/configuration.md). The zero value of all but the ways in
// which the seller is known is usable.
type Settings struct {
	Secret     Secret   `yaml:"secret"`      // in the path of its bid requests: /openrtb2/bid/SECRET
	SecretFile string   `yaml:"secret_file"` // one or two lines, each a secret; two while the seller changes to another one
	Addresses  []string `yaml:"addresses"`   // from which it calls: 192.0.2.0/24, 2001:db8::1
	Test       bool     `yaml:"test"`        // all of its auctions are tests

	Version      string      `yaml:"version"`       // of OpenRTB that it reads: 2.5 or 2.6; "": as in its requests
	AuctionTypes map[int]int `yaml:"auction_types"` // what its own values of at mean: 1 first price, 2 second price
	Seat         string      `yaml:"seat"`          // its id for the buyer; "": the campaign's, or auction.seat
	Fields       Fields      `yaml:"fields"`

	Billing    Trigger       `yaml:"billing"`     // "": burl
	NoticeTime time.Duration `yaml:"notice_time"` // how long after the bid its notices are taken; 0: 3 h
	Price      PriceSettings `yaml:"price"`
	Macros     Macros        `yaml:"macros"`
}

// Fields say which optional fields of an answer the seller wants; nil is the default.
type Fields struct {
	Seat *bool `yaml:"seat"` // seatbid.seat; default: yes
	CID  *bool `yaml:"cid"`  // bid.cid, the campaign; default: yes
	NBR  *bool `yaml:"nbr"`  // the reason of a no-bid, with status 200; default: as auction.no_bid_status
}

// PriceSettings describe the prices in a seller's notices.
type PriceSettings struct {
	Form     Form    `yaml:"form"`      // "": plain
	KeysFile string  `yaml:"keys_file"` // of google and openx: the encryption key, then the integrity key, each on a line
	Currency string  `yaml:"currency"`  // ISO 4217; "": that of the campaigns
	Rate     float64 `yaml:"rate"`      // units of the campaigns' currency for one of Currency
}

// Macros are the texts that the seller replaces, where they differ from OpenRTB's.
type Macros struct {
	Price    string            `yaml:"price"`    // in links; "": ${AUCTION_PRICE}, or ${AUCTION_PRICE:OXCRYPT} of openx
	Loss     string            `yaml:"loss"`     // in links; "": ${AUCTION_LOSS}
	Quantity string            `yaml:"quantity"` // in links; "": ${AUCTION_MULTIPLIER}
	Markup   map[string]string `yaml:"markup"`   // texts of creatives' markup, and what to write in their place
}

// Trigger says which notice of a seller is a bill.
type Trigger string

const (
	BillingURL Trigger = "burl"
	WinURL     Trigger = "nurl"
	Impression Trigger = "impression"
)

// Form says how prices in notices are written.
type Form string

const (
	Plain  Form = "plain"
	Google Form = "google"
	OpenX  Form = "openx"
)

const (
	// DefaultNoticeTime is how long notices are taken if the settings do not say.
	DefaultNoticeTime = 3 * time.Hour
	// MostNoticeTime bounds NoticeTime: a ledger keeps the books of yesterday and no older ones.
	MostNoticeTime          = 24 * time.Hour
	leastSecret, mostSecret = 16, 128
	maxName                 = 64
)

// Faults returns every fault of the settings. name is the seller's; currency is that of the campaigns. Files are not read.
func (s *Settings) Faults(name, currency string) (faults []error) {
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("sellers."+name+key+": "+format, args...))
	}
	if !ValidName(name) {
		fault("", "the name must be 1 to %d letters, digits, '-', '_' or '.'", maxName)
	}
	if s.Secret == "" && s.SecretFile == "" && len(s.Addresses) == 0 {
		fault("", "nothing says how it is known; set secret_file, or addresses")
	}
	if s.Secret != "" && s.SecretFile != "" {
		fault(".secret", "secret_file is set too; keep one")
	}
	if s.Secret != "" {
		if err := checkSecret(string(s.Secret)); err != nil {
			fault(".secret", "%w", err)
		}
	}
	for _, text := range s.Addresses {
		if _, err := parsePrefix(text); err != nil {
			fault(".addresses", "%q is no address and no range; write 192.0.2.7 or 192.0.2.0/24", text)
		}
	}
	if !slices.Contains([]string{"", "2.5", "2.6"}, s.Version) {
		fault(".version", "%q is neither 2.5 nor 2.6", s.Version)
	}
	for at, meaning := range s.AuctionTypes {
		if meaning != 1 && meaning != 2 {
			fault(".auction_types", "%d: %d is neither 1 (first price) nor 2 (second price)", at, meaning)
		}
	}
	if !slices.Contains([]Trigger{"", BillingURL, WinURL, Impression}, s.Billing) {
		fault(".billing", "%q is none of burl, nurl, impression", s.Billing)
	}
	if s.NoticeTime < 0 || s.NoticeTime > MostNoticeTime {
		fault(".notice_time", "%v must be up to %v, or 0 for %v", s.NoticeTime, MostNoticeTime, DefaultNoticeTime)
	}
	s.Price.faults(fault, currency)
	for key, macro := range map[string]string{"price": s.Macros.Price, "loss": s.Macros.Loss, "quantity": s.Macros.Quantity} {
		if strings.ContainsAny(macro, "\"'<>&\\#~ \t\r\n") {
			fault(".macros."+key, "%q would need escaping in a link", macro)
		}
	}
	for macro := range s.Macros.Markup {
		if macro == "" {
			fault(".macros.markup", "the text to replace is empty")
		}
	}
	return faults
}

func (p *PriceSettings) faults(fault func(key, format string, args ...any), currency string) {
	switch p.Form {
	case "", Plain:
		if p.KeysFile != "" {
			fault(".price.keys_file", "plain prices need no keys; set price.form to google or openx")
		}
	case Google, OpenX:
		if p.KeysFile == "" {
			fault(".price.keys_file", "is empty; name the file with the two keys that %s prices are encrypted with", p.Form)
		}
	default:
		fault(".price.form", "%q is none of plain, google, openx", p.Form)
	}
	switch {
	case p.Currency != "" && (len(p.Currency) != 3 || p.Currency != strings.ToUpper(p.Currency)):
		fault(".price.currency", "%q is not an ISO 4217 code such as EUR", p.Currency)
	case (p.Currency == "" || p.Currency == currency) && p.Rate != 0 && p.Rate != 1:
		fault(".price.rate", "%v: prices are in the campaigns' currency %s; leave it out, or set price.currency", p.Rate, currency)
	case p.Currency != "" && p.Currency != currency && !(p.Rate > 0 && p.Rate <= 1e6):
		fault(".price.rate", "%v: say how many %s one %s is", p.Rate, currency, p.Currency)
	}
}

// ValidName reports whether name can be a seller's: 1 to 64 letters, digits, '-', '_' and '.'.
func ValidName(name string) bool {
	return name != "" && len(name) <= maxName && strings.IndexFunc(name, func(c rune) bool { return !plain(c) && c != '.' }) < 0
}

// plain reports whether c needs no escaping in a path.
func plain(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// checkSecret says what is wrong with a secret, without showing it.
func checkSecret(text string) error {
	switch {
	case len(text) < leastSecret || len(text) > mostSecret:
		return fmt.Errorf("a secret has %d characters; use %d to %d, as `openssl rand -hex 24` makes them", len(text), leastSecret, mostSecret)
	case strings.IndexFunc(text, func(c rune) bool { return !plain(c) }) >= 0:
		return errors.New("a secret may have only letters, digits, '-' and '_'")
	}
	return nil
}

// secrets are the secrets of the settings: none, one, or two.
func (s *Settings) secrets() ([]string, error) {
	if s.SecretFile == "" {
		if s.Secret == "" {
			return nil, nil
		}
		return []string{string(s.Secret)}, nil
	}
	text, err := files.ReadSecret(s.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("secret_file: cannot read: %w", err)
	}
	secrets := strings.Fields(string(text))
	if len(secrets) < 1 || len(secrets) > 2 {
		return nil, fmt.Errorf("secret_file: %s holds %d secrets; want one a line, the present one and at most one more", s.SecretFile, len(secrets))
	}
	for _, secret := range secrets {
		if err := checkSecret(secret); err != nil {
			return nil, fmt.Errorf("secret_file: %s: %w", s.SecretFile, err)
		}
	}
	return secrets, nil
}

// keys reads the keys of encrypted prices.
func (p *PriceSettings) keys() (encryption, integrity []byte, err error) {
	text, err := files.ReadSecret(p.KeysFile)
	if err != nil {
		return nil, nil, fmt.Errorf("price.keys_file: cannot read: %w", err)
	}
	lines := strings.Fields(string(text))
	if len(lines) != 2 {
		return nil, nil, fmt.Errorf("price.keys_file: %s has %d lines; want the encryption key, then the integrity key", p.KeysFile, len(lines))
	}
	if encryption, err = readKey(lines[0]); err == nil {
		integrity, err = readKey(lines[1])
	}
	if err != nil {
		return nil, nil, fmt.Errorf("price.keys_file: %s: %w", p.KeysFile, err)
	}
	return encryption, integrity, nil
}

// readKey reads a key of 32 bytes: 64 hex digits, or base64 in either alphabet.
func readKey(text string) ([]byte, error) {
	if key, err := hex.DecodeString(text); err == nil && len(key) == 32 {
		return key, nil
	}
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "=")
	if key, err := base64.RawURLEncoding.DecodeString(text); err == nil && len(key) == 32 {
		return key, nil
	}
	return nil, errors.New("a line is no key: want 32 bytes, as 64 hex digits or in base64")
}

// parsePrefix reads an address or a range of addresses. IPv4 in IPv6 is IPv4, as in the addresses of callers.
func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
