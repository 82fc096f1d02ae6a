// Package notices makes the links and tokens that go out with a bid (keyring.go, token.go, links.go), and takes what
// exchanges, browsers and advertisers tell through them (notices.go, clicks.go, fields.go). A notice is checked against
// its token, spend is booked, and an event is published.
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
)

// Ledger is where notices book spend; internal/auction's has these methods. Safe for concurrent use, no I/O.
type Ledger interface {
	// Book spends price of the campaign's budget for bid id and frees what was reserved for it. It returns false, and
	// changes nothing, if id is booked already.
	Book(campaign, id string, price auction.Micros, at time.Time) bool
	// Release frees what was reserved for id; unknown ids are ignored.
	Release(id string)
}

// Notice is what an exchange, a browser or an advertiser tells us, not interpreted. Kind is one of events.TypeWin,
// events.TypeBilling, events.TypeLoss, events.TypeImpression, events.TypeClick, events.TypeConversion.
type Notice struct {
	Kind         events.Type
	Token        string
	Price        string // CPM, in the campaigns' currency; "AUDIT" or empty: not to be booked
	Reason       string // loss
	ConversionID string // the advertiser's; "" stands for the only conversion of a click
	Value        string // of a conversion, in units of currency
}

// The errors of Handle that the edge tells apart. ErrBadToken is the fourth.
var (
	ErrBadNotice     = errors.New("notices: notice malformed")           // a field does not parse, or the price is above the bid
	ErrUnknownNotice = errors.New("notices: notice of nothing known")    // the token is ours, the landing page gone
	ErrUnavailable   = errors.New("notices: notice could not be stored") // try again later
)

// Options set a Handler up.
type Options struct {
	Keys      *Keyring
	Ledger    Ledger
	Publisher events.Publisher
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

// Handler checks notices, books spend, and makes events of them. Safe for concurrent use.
type Handler struct {
	o        Options
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

// New returns a handler; every option that is missing is reported.
func New(o Options) (*Handler, error) {
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
		return nil, fmt.Errorf("notices: cannot take notices: %w", err)
	}
	o.ExchangeTTL = cmp.Or(o.ExchangeTTL, events.ExchangeTTL)
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
	n := &Handler{
		o:    o,
		seen: newSeen(o.ExchangeTTL, max(o.Remember/2, 1)),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gavel_notices_total",
			Help: "Notices taken, by kind and by what became of them.",
		}, []string{"kind", "outcome"}),
	}
	if err := o.Registerer.Register(n.outcomes); err != nil {
		return nil, fmt.Errorf("notices: cannot take notices: %w", err)
	}
	return n, nil
}

// Handle takes one notice. redirect is the landing page of a click, else "". A notice told twice is no error: it is
// answered as the first time. Errors: ErrBadToken, ErrBadNotice, ErrUnknownNotice, or ErrUnavailable, after which the
// same notice may be sent again. Spend that was booked stays booked then: the repeat only stores it.
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

func (n *Handler) ttl(kind events.Type) time.Duration {
	switch kind {
	case events.TypeWin, events.TypeBilling, events.TypeLoss:
		return n.o.ExchangeTTL
	case events.TypeImpression:
		return n.o.ImpressionTTL
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
	e := events.Event{
		ID:       events.EventID(nt.Kind, c.Bid),
		Type:     nt.Kind,
		Key:      c.Bid,
		Time:     now.UnixMilli(),
		Campaign: c.Campaign,
		Creative: c.Creative,
		Exchange: c.Exchange,
	}
	switch nt.Kind {
	case events.TypeWin, events.TypeBilling:
		return n.paid(ctx, nt, &c, &e, now)
	case events.TypeLoss:
		return n.lost(ctx, nt, &c, &e, now)
	case events.TypeClick:
		return n.clicked(ctx, &c, &e, now)
	case events.TypeConversion:
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
func (n *Handler) paid(ctx context.Context, nt *Notice, c *Claims, e *events.Event, now time.Time) (_, outcome string, err error) {
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
	if nt.Kind == events.TypeBilling {
		fresh = n.o.Ledger.Book(c.Campaign, c.Bid, price, now)
	}
	outcome, err = n.store(ctx, e, now)
	if err == nil && !fresh {
		outcome = outcomeReplayed
	}
	return "", outcome, err
}

func (n *Handler) price(text string, c *Claims) (auction.Micros, string, error) {
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

func (n *Handler) lost(ctx context.Context, nt *Notice, c *Claims, e *events.Event, now time.Time) (_, outcome string, err error) {
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

// store publishes e unless it was stored before. What money or labels hang on waits until it is safe.
func (n *Handler) store(ctx context.Context, e *events.Event, now time.Time) (outcome string, err error) {
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
