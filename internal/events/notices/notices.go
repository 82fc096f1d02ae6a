// Package notices makes the links and tokens of a bid (keyring.go, token.go, links.go). It handles the notices that
// exchanges, browsers and advertisers send through them (notices.go, clicks.go, fields.go): it checks the token, books
// spend, and publishes an event.
package notices

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/sellers"
	"gavel/internal/throttle"
)

// Ledger books the spend of notices; internal/auction's Ledger has these methods. Safe for concurrent use, no I/O.
type Ledger interface {
	// Book spends price of the campaign's budget for bid id, on the day when the bid was made, and frees the reservation. Of
	// several bills of one bid, the largest counts. Book returns what it added, and false if the bill changed nothing.
	Book(campaign, id string, price auction.Micros, made time.Time) (added auction.Micros, counted bool)
	// Release frees the reservation of id; unknown ids are ignored.
	Release(id string)
}

// Notice holds the fields that an exchange, a browser or an advertiser sent, as text. Kind is one of events.TypeWin,
// events.TypeBilling, events.TypeLoss, events.TypeImpression, events.TypeClick, events.TypeConversion; for a handler of sales,
// events.TypeSale.
type Notice struct {
	Kind         events.Type
	Token        string
	Price        string // of one impression, in the seller's form; "AUDIT": nothing is to be booked
	Quantity     string // impressions that were delivered
	Reason       string // loss
	ConversionID string // the advertiser's; "" means the only conversion or sale of a click
	Value        string // of a conversion or sale, in units of currency
}

// The errors of Handle that the HTTP server answers differently. ErrBadToken is the fourth.
var (
	ErrBadNotice     = errors.New("notices: notice malformed")           // a field does not parse
	ErrUnknownNotice = errors.New("notices: unknown landing page")       // the token is valid, but the landing page no longer exists
	ErrUnavailable   = errors.New("notices: notice could not be stored") // try again later
)

// Options configures a Handler.
type Options struct {
	Keys      *Keyring
	Publisher events.Publisher
	// Sales makes a handler of sales alone, for a ranker: it books nothing and redirects nobody, so Ledger and Landing are not
	// used.
	Sales  bool
	Ledger Ledger
	// Sellers say which notices are bills, how their prices are written, and how long notices of exchanges and impressions
	// are valid. A handler of sales has none.
	Sellers *sellers.Set
	// Landing returns the landing page of a creative, false if there is none. Clicks are redirected only to these.
	Landing func(campaign, creative string) (page string, ok bool)

	// How long other notices are valid. 0: a day from the bid for clicks, 30 days from the click for conversions and sales.
	ClickTTL, ConversionTTL, SaleTTL time.Duration
	// StoreWait bounds how long a notice waits for its event to be stored. 0: 2 s.
	StoreWait time.Duration
	// Remember is how many notice ids are remembered, so that repeats are cheap. 0: 1,000,000, about 100 bytes each.
	Remember int

	Now        func() time.Time // nil: time.Now
	Logger     *slog.Logger     // nil: none
	Registerer prometheus.Registerer
}

// Handler checks notices, books their spend, and publishes their events. Safe for concurrent use.
type Handler struct {
	o        Options
	seen     *seen
	outcomes *prometheus.CounterVec
	strange  throttle.Line // bills without a readable price, or above the bid
}

// The outcomes of a notice, as gavel_notices_total counts them.
const (
	outcomeAccepted    = "accepted"
	outcomeReplayed    = "replayed" // a repeat: answered like the first, nothing changed
	outcomeAudit       = "audit"
	outcomeTest        = "test"             // of a test auction: nothing is booked or published
	outcomeUnreadable  = "price_unreadable" // a bill; the bid's price is booked
	outcomeAboveBid    = "price_above_bid"  // a bill; the bid's price is booked
	outcomeForged      = "forged"
	outcomeExpired     = "expired"
	outcomeBroken      = "malformed_token"
	outcomeBadField    = "bad_field"
	outcomeNoLanding   = "no_landing_page"
	outcomeUnavailable = "unavailable"
)

// New returns a handler. Its error names every missing option.
func New(o Options) (*Handler, error) {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what+" is missing"))
		}
	}
	need(o.Keys != nil, "Keys")
	need(o.Sales || o.Ledger != nil, "Ledger")
	need(o.Publisher != nil, "Publisher")
	need(o.Sales || o.Sellers != nil, "Sellers")
	need(o.Sales || o.Landing != nil, "Landing")
	need(o.Registerer != nil, "Registerer")
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("notices: cannot take notices: %w", err)
	}
	o.ClickTTL = cmp.Or(o.ClickTTL, 24*time.Hour)
	o.ConversionTTL = cmp.Or(o.ConversionTTL, 30*24*time.Hour)
	o.SaleTTL = cmp.Or(o.SaleTTL, 30*24*time.Hour)
	o.StoreWait = cmp.Or(o.StoreWait, 2*time.Second)
	o.Remember = cmp.Or(o.Remember, 1_000_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	window := time.Hour
	if o.Sellers != nil {
		window = o.Sellers.LongestNoticeTime()
	}
	n := &Handler{
		o:    o,
		seen: newSeen(window, max(o.Remember/2, 1)),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gavel_notices_total",
			Help: "Notices, by kind and outcome.",
		}, []string{"kind", "outcome"}),
	}
	if err := o.Registerer.Register(n.outcomes); err != nil {
		return nil, fmt.Errorf("notices: cannot take notices: %w", err)
	}
	return n, nil
}

// Handle handles one notice. redirect is the landing page of a click, else "". A repeated notice is not an error; it is
// answered like the first. Errors: ErrBadToken, ErrBadNotice, ErrUnknownNotice, ErrUnavailable. After ErrUnavailable the
// sender may repeat the notice. Spend stays booked then, and the repeat only stores the event.
func (n *Handler) Handle(ctx context.Context, nt *Notice) (redirect string, err error) {
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

// ttl is how long a notice of a kind is valid; 0: the handler does not take it.
func (n *Handler) ttl(kind events.Type) time.Duration {
	if n.o.Sales != (kind == events.TypeSale) {
		return 0
	}
	switch kind {
	case events.TypeSale:
		return n.o.SaleTTL
	case events.TypeWin, events.TypeBilling, events.TypeLoss, events.TypeImpression:
		return n.o.Sellers.LongestNoticeTime() // handle looks at the seller's own
	case events.TypeClick:
		return n.o.ClickTTL
	case events.TypeConversion:
		return n.o.ConversionTTL
	}
	return 0
}

func (n *Handler) handle(ctx context.Context, nt *Notice) (redirect, outcome string, err error) {
	ttl := n.ttl(nt.Kind)
	if ttl == 0 {
		return "", outcomeBadField, fmt.Errorf("%w: kind %.20q", ErrBadNotice, string(nt.Kind))
	}
	if nt.Kind == events.TypeImpression {
		nt = splitToken(nt)
	}
	now := n.o.Now()
	c, err := n.o.Keys.Verify(nt.Kind, nt.Token, now, ttl)
	seller := n.seller(&c)
	if err == nil && n.timed(nt.Kind) && now.Sub(c.Issued) > seller.NoticeTime {
		err = errTokenExpired
	}
	switch {
	case errors.Is(err, errTokenExpired):
		return "", outcomeExpired, err
	case errors.Is(err, errTokenForged):
		return "", outcomeForged, err
	case err != nil:
		return "", outcomeBroken, err
	}
	e := events.Event{
		ID:       events.EventID(nt.Kind, c.Bid),
		Type:     nt.Kind,
		Key:      c.Bid,
		Time:     now.UnixMilli(),
		Campaign: c.Campaign,
		Creative: c.Creative,
		Exchange: c.Exchange,
	}
	if c.Test && nt.Kind != events.TypeClick {
		return "", outcomeTest, nil
	}
	switch nt.Kind {
	case events.TypeWin, events.TypeBilling:
		outcome, err = n.paid(ctx, nt, &c, &e, seller, now)
		return "", outcome, err
	case events.TypeImpression:
		outcome, err = n.shown(ctx, nt, &c, &e, seller, now)
		return "", outcome, err
	case events.TypeLoss:
		outcome, err = n.lost(ctx, nt, &c, &e, seller, now)
		return "", outcome, err
	case events.TypeClick:
		return n.clicked(ctx, &c, &e, now)
	case events.TypeConversion, events.TypeSale:
		if nt.ConversionID != "" {
			e.ID += ":" + shortID(nt.ConversionID)
		}
		if nt.Value != "" {
			v, err := sellers.ParseAmount(nt.Value)
			if err != nil || v*1e6 > math.MaxInt64/2 {
				return "", outcomeBadField, fmt.Errorf("%w: value %.40q is not an amount", ErrBadNotice, nt.Value)
			}
			e.Price = auction.Micros(math.Round(v * 1e6))
		}
	}
	outcome, err = n.store(ctx, &e, e.ID, now)
	return "", outcome, err
}

// seller is the seller of a bid; nil for a handler of sales.
func (n *Handler) seller(c *Claims) *sellers.Seller {
	if n.o.Sales {
		return nil
	}
	return n.o.Sellers.Named(c.Exchange)
}

// timed reports whether the seller's setting says how long notices of a kind are valid.
func (n *Handler) timed(kind events.Type) bool {
	switch kind {
	case events.TypeWin, events.TypeBilling, events.TypeLoss, events.TypeImpression:
		return !n.o.Sales
	}
	return false
}

func (n *Handler) lost(ctx context.Context, nt *Notice, c *Claims, e *events.Event, seller *sellers.Seller, now time.Time) (outcome string, err error) {
	if r := nt.Reason; r != "" {
		// An exchange that does not know the macro sends it back unchanged. The loss counts even without a reason.
		if v, err := strconv.ParseUint(r, 10, 16); err == nil {
			e.Reason = int(v)
		}
	}
	e.Price, _ = seller.Price(nt.Price) // the winning price, usually above our bid
	n.o.Ledger.Release(c.Bid)
	return n.store(ctx, e, e.ID, now)
}

// store publishes e unless an event with the same key was stored before. For important events it waits until e is stored.
func (n *Handler) store(ctx context.Context, e *events.Event, key string, now time.Time) (outcome string, err error) {
	if !n.seen.add(key, now) {
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
		n.seen.remove(key)
		return outcomeUnavailable, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return outcomeAccepted, nil
}
