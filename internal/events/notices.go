package events

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
)

// Ledger is where notices book spend; internal/auction's has these methods. Safe for concurrent use, no I/O.
type Ledger interface {
	// Book spends price of the campaign's budget for bid id and frees what was reserved for it. It returns false, and
	// changes nothing, if id is booked already.
	Book(campaign, id string, price auction.Micros, at time.Time) bool
	// Release frees what was reserved for id; unknown ids are ignored.
	Release(id string)
}

// Notice is what an exchange, a browser or an advertiser tells us, not interpreted. Kind is one of TypeWin,
// TypeBilling, TypeLoss, TypeImpression, TypeClick, TypeConversion.
type Notice struct {
	Kind         Type
	Token        string
	Price        string // CPM, in the campaigns' currency; "AUDIT" or empty: not to be booked
	Reason       string // loss
	ConversionID string // the advertiser's; "" stands for the only conversion of a click
	Value        string // of a conversion, in units of currency
}

// The errors of Notices that the edge tells apart. ErrBadToken is the fourth.
var (
	ErrBadNotice     = errors.New("events: notice malformed")           // a field does not parse, or the price is above the bid
	ErrUnknownNotice = errors.New("events: notice of nothing known")    // the token is ours, the landing page gone
	ErrUnavailable   = errors.New("events: notice could not be stored") // try again later
)

// defaultExchangeTTL is how long after its bid a win, billing or loss is believed.
const defaultExchangeTTL = time.Hour

// NoticeOptions set Notices up.
type NoticeOptions struct {
	Keys      *Keyring
	Ledger    Ledger
	Publisher Publisher
	// Landing is the landing page of a creative, false if there is none such. Only these are ever redirected to.
	Landing func(campaign, creative string) (page string, ok bool)

	// How long after the bid a notice is believed. 0: an hour for what the exchange sends and for impressions, a day
	// for clicks, 30 days from the click for conversions. ExchangeTTL is also how long spend may still turn up for a
	// bid: leases give budget back no sooner.
	ExchangeTTL, ImpressionTTL, ClickTTL, ConversionTTL time.Duration
	// StoreWait bounds how long a notice waits for its event to be stored. 0: 2 s.
	StoreWait time.Duration
	// Remember is how many ids of notices are remembered to answer repeats cheaply. 0: 1,000,000, about 100 bytes each.
	Remember int

	Now        func() time.Time // nil: time.Now
	Logger     *slog.Logger     // nil: none
	Registerer prometheus.Registerer
}

// Notices checks notices, books spend, and makes events of them. Safe for concurrent use.
type Notices struct {
	o        NoticeOptions
	seen     *seen
	outcomes *prometheus.CounterVec
}

// The outcomes of a notice, as gavel_notices_total counts them.
const (
	outcomeAccepted    = "accepted"
	outcomeReplayed    = "replayed" // told before: answered as then, nothing changed
	outcomeAudit       = "audit"
	outcomeNoPrice     = "no_price"
	outcomeForged      = "forged"
	outcomeExpired     = "expired"
	outcomeBroken      = "malformed_token"
	outcomeBadPrice    = "bad_price"
	outcomeAboveBid    = "price_above_bid"
	outcomeBadField    = "bad_field"
	outcomeNoLanding   = "no_landing_page"
	outcomeUnavailable = "unavailable"
)

// NewNotices returns the service; every option that is missing is reported.
func NewNotices(o NoticeOptions) (*Notices, error) {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what+" is missing"))
		}
	}
	need(o.Keys != nil, "Keys")
	need(o.Ledger != nil, "Ledger")
	need(o.Publisher != nil, "Publisher")
	need(o.Landing != nil, "Landing")
	need(o.Registerer != nil, "Registerer")
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("events: cannot take notices: %w", err)
	}
	o.ExchangeTTL = cmp.Or(o.ExchangeTTL, defaultExchangeTTL)
	o.ImpressionTTL = cmp.Or(o.ImpressionTTL, time.Hour)
	o.ClickTTL = cmp.Or(o.ClickTTL, 24*time.Hour)
	o.ConversionTTL = cmp.Or(o.ConversionTTL, 30*24*time.Hour)
	o.StoreWait = cmp.Or(o.StoreWait, 2*time.Second)
	o.Remember = cmp.Or(o.Remember, 1_000_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Notices{
		o:    o,
		seen: newSeen(o.ExchangeTTL, max(o.Remember/2, 1)),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gavel_notices_total",
			Help: "Notices taken, by kind and by what became of them.",
		}, []string{"kind", "outcome"}),
	}
	if err := o.Registerer.Register(n.outcomes); err != nil {
		return nil, fmt.Errorf("events: cannot take notices: %w", err)
	}
	return n, nil
}

// Handle takes one notice. redirect is the landing page of a click, else "". A notice told twice is no error: it is
// answered as the first time. Errors: ErrBadToken, ErrBadNotice, ErrUnknownNotice, or ErrUnavailable, after which the
// same notice may be sent again. Spend that was booked stays booked then: the repeat only stores it.
func (n *Notices) Handle(ctx context.Context, nt *Notice) (redirect string, err error) {
	redirect, outcome, err := n.handle(ctx, nt)
	kind := nt.Kind
	if n.ttl(kind) == 0 {
		kind = "unknown"
	}
	n.outcomes.WithLabelValues(string(kind), outcome).Inc()
	if err != nil {
		n.o.Logger.Debug("notice refused", "kind", kind, "outcome", outcome, "error", err)
	}
	return redirect, err
}

func (n *Notices) ttl(kind Type) time.Duration {
	switch kind {
	case TypeWin, TypeBilling, TypeLoss:
		return n.o.ExchangeTTL
	case TypeImpression:
		return n.o.ImpressionTTL
	case TypeClick:
		return n.o.ClickTTL
	case TypeConversion:
		return n.o.ConversionTTL
	}
	return 0
}

func (n *Notices) handle(ctx context.Context, nt *Notice) (redirect, outcome string, err error) {
	ttl := n.ttl(nt.Kind)
	if ttl == 0 {
		return "", outcomeBadField, fmt.Errorf("%w: kind %.20q", ErrBadNotice, string(nt.Kind))
	}
	now := n.o.Now()
	c, err := n.o.Keys.Verify(nt.Kind, nt.Token, now, ttl)
	switch {
	case errors.Is(err, errTokenExpired):
		return "", outcomeExpired, err
	case errors.Is(err, errTokenForged):
		return "", outcomeForged, err
	case err != nil:
		return "", outcomeBroken, err
	}
	e := Event{
		ID:       EventID(nt.Kind, c.Bid),
		Type:     nt.Kind,
		Key:      c.Bid,
		Time:     now.UnixMilli(),
		Campaign: c.Campaign,
		Creative: c.Creative,
		Exchange: c.Exchange,
	}
	switch nt.Kind {
	case TypeWin, TypeBilling:
		return n.paid(ctx, nt, &c, &e, now)
	case TypeLoss:
		return n.lost(ctx, nt, &c, &e, now)
	case TypeClick:
		return n.clicked(ctx, &c, &e, now)
	case TypeConversion:
		if nt.ConversionID != "" {
			e.ID += ":" + shortID(nt.ConversionID)
		}
		if nt.Value != "" {
			v, err := parseDecimal(nt.Value)
			if err != nil || v*1e6 > math.MaxInt64/2 {
				return "", outcomeBadField, fmt.Errorf("%w: value %.40q is not an amount", ErrBadNotice, nt.Value)
			}
			e.Price = auction.Micros(math.Round(v * 1e6))
		}
	}
	outcome, err = n.store(ctx, &e, now)
	return "", outcome, err
}

// paid takes win and billing: both tell a price, billing alone is spend.
func (n *Notices) paid(ctx context.Context, nt *Notice, c *Claims, e *Event, now time.Time) (_, outcome string, err error) {
	switch nt.Price {
	case "AUDIT":
		return "", outcomeAudit, nil
	case "":
		return "", outcomeNoPrice, nil
	}
	price, outcome, err := n.price(nt.Price, c)
	if err != nil {
		return "", outcome, err
	}
	e.Price = price
	fresh := true
	if nt.Kind == TypeBilling {
		fresh = n.o.Ledger.Book(c.Campaign, c.Bid, price, now)
	}
	outcome, err = n.store(ctx, e, now)
	if err == nil && !fresh {
		outcome = outcomeReplayed
	}
	return "", outcome, err
}

func (n *Notices) price(text string, c *Claims) (auction.Micros, string, error) {
	cpm, err := parseDecimal(text)
	if err != nil {
		return 0, outcomeBadPrice, fmt.Errorf("%w: price %.40q of bid %s is not a CPM: %w (was the macro filled in?)", ErrBadNotice, text, c.Bid, err)
	}
	price, ok := auction.MicrosFromCPM(cpm)
	if !ok {
		return 0, outcomeBadPrice, fmt.Errorf("%w: price %.40q of bid %s is out of range", ErrBadNotice, text, c.Bid)
	}
	if price > c.MaxPrice {
		return 0, outcomeAboveBid, fmt.Errorf("%w: price %s CPM of bid %s is above the %v CPM that were bid, and is not booked", ErrBadNotice, text, c.Bid, c.MaxPrice.CPM())
	}
	return price, "", nil
}

func (n *Notices) lost(ctx context.Context, nt *Notice, c *Claims, e *Event, now time.Time) (_, outcome string, err error) {
	if r := nt.Reason; r != "" {
		// Exchanges that do not know the macro send it back as it was: a loss is a loss without its reason too.
		if v, err := strconv.ParseUint(r, 10, 16); err == nil {
			e.Reason = int(v)
		}
	}
	if cpm, err := parseDecimal(nt.Price); err == nil {
		e.Price, _ = auction.MicrosFromCPM(cpm) // what it went for: above our bid, as a rule
	}
	n.o.Ledger.Release(c.Bid)
	outcome, err = n.store(ctx, e, now)
	return "", outcome, err
}

// clicked redirects even when the click cannot be stored: the person waiting is not to blame.
func (n *Notices) clicked(ctx context.Context, c *Claims, e *Event, now time.Time) (redirect, outcome string, err error) {
	page, ok := n.o.Landing(c.Campaign, c.Creative)
	if !ok {
		return "", outcomeNoLanding, fmt.Errorf("%w: creative %q of campaign %q is not there any more", ErrUnknownNotice, c.Creative, c.Campaign)
	}
	redirect, err = n.landing(page, c, now)
	if err != nil {
		return "", outcomeNoLanding, err
	}
	outcome, err = n.store(ctx, e, now)
	if err != nil {
		n.o.Logger.Warn("click not stored, redirected all the same", "bid", c.Bid, "error", err)
	}
	return redirect, outcome, nil
}

// ClickParam is the query parameter under which a landing page gets the click id, unless it has ${CLICK_ID} itself.
// The advertiser sends it back as the token of a conversion notice.
const ClickParam = "gavel_click"

// landing fills the macros of a landing page: ${CLICK_ID}, ${BID_ID}, ${CAMPAIGN_ID}, ${CREATIVE_ID}, ${EXCHANGE}. What
// fills them comes from the token, escaped; scheme and host come from the campaign file alone.
func (n *Notices) landing(page string, c *Claims, now time.Time) (string, error) {
	click := *c
	click.Issued = now
	id, err := n.o.Keys.Token(TypeConversion, &click)
	if err != nil {
		return "", err
	}
	marked := strings.Contains(page, "${CLICK_ID}")
	page = strings.NewReplacer(
		"${CLICK_ID}", id,
		"${BID_ID}", url.QueryEscape(c.Bid),
		"${CAMPAIGN_ID}", url.QueryEscape(c.Campaign),
		"${CREATIVE_ID}", url.QueryEscape(c.Creative),
		"${EXCHANGE}", url.QueryEscape(c.Exchange),
	).Replace(page)
	u, err := url.Parse(page)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%w: the landing page of creative %q is no http or https URL", ErrUnknownNotice, c.Creative)
	}
	if !marked {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += ClickParam + "=" + id
	}
	return u.String(), nil
}

// store publishes e unless it was stored before. What money or labels hang on waits until it is safe.
func (n *Notices) store(ctx context.Context, e *Event, now time.Time) (outcome string, err error) {
	if !n.seen.add(e.ID, now) {
		return outcomeReplayed, nil
	}
	if e.Type.Important() {
		ctx, cancel := context.WithTimeout(ctx, n.o.StoreWait)
		err = n.o.Publisher.PublishDurable(ctx, e)
		cancel()
	} else {
		err = n.o.Publisher.Publish(e)
	}
	if err != nil {
		n.seen.remove(e.ID)
		return outcomeUnavailable, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return outcomeAccepted, nil
}

// parseDecimal reads an amount that is not negative: digits, a point, an exponent; no sign, hex, or words.
func parseDecimal(s string) (float64, error) {
	if len(s) == 0 || len(s) > 32 {
		return 0, fmt.Errorf("%d characters, want 1 to 32", len(s))
	}
	if s[0] == '-' || s[0] == '+' || strings.Trim(s, "0123456789.eE+-") != "" {
		return 0, errors.New("not a decimal number")
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, errors.New("not a decimal number")
	}
	return v, nil
}

// shortID keeps an advertiser's conversion id if it is short, and else a hash of it.
func shortID(id string) string {
	if len(id) <= 64 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}
