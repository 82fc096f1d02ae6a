package notices

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/sellers"
)

// A signed bill is a bill: the seller invoices it, whatever its price looks like. So a price that cannot be read, or that is
// above the bid, books the bid's price, and is counted. A burl is always a bill; a nurl or an impression is one if the
// seller's settings say so. Of several bills of one bid, the largest counts.

// auditPrice stands in place of the price when an exchange tries a notice out.
const auditPrice = "AUDIT"

// paid handles win and billing notices.
func (n *Handler) paid(ctx context.Context, nt *Notice, c *Claims, e *events.Event, seller *sellers.Seller, now time.Time) (outcome string, err error) {
	if nt.Price == auditPrice {
		return outcomeAudit, nil
	}
	if nt.Kind == events.TypeBilling {
		return n.bill(ctx, nt, c, e, seller, now)
	}
	var billed string
	if seller.Billing == sellers.WinURL {
		bill := *e
		if billed, err = n.bill(ctx, nt, c, &bill, seller, now); err != nil {
			return billed, err
		}
	}
	var doubt string
	e.Price, _, doubt = n.amount(nt, c, seller)
	outcome, err = n.store(ctx, e, e.ID, now)
	if err != nil || outcome == outcomeReplayed && billed == "" {
		return outcome, err
	}
	return cmp.Or(billed, doubt, outcome), nil
}

// shown handles impressions.
func (n *Handler) shown(ctx context.Context, nt *Notice, c *Claims, e *events.Event, seller *sellers.Seller, now time.Time) (outcome string, err error) {
	var billed string
	if seller.Billing == sellers.Impression && nt.Price != auditPrice {
		bill := *e
		if billed, err = n.bill(ctx, nt, c, &bill, seller, now); err != nil {
			return billed, err
		}
	}
	outcome, err = n.store(ctx, e, e.ID, now)
	if err != nil {
		return outcome, err
	}
	return cmp.Or(billed, outcome), nil
}

// bill books a bill and publishes e as its event.
func (n *Handler) bill(ctx context.Context, nt *Notice, c *Claims, e *events.Event, seller *sellers.Seller, now time.Time) (outcome string, err error) {
	_, total, doubt := n.amount(nt, c, seller)
	e.ID, e.Type, e.Price, e.BidTime = events.EventID(events.TypeBilling, c.Bid), events.TypeBilling, total, c.Issued.UnixMilli()
	_, fresh := n.o.Ledger.Book(c.Campaign, c.Bid, total, c.Issued)
	// A larger bill of the same bid has an event of its own, so the price belongs to the key.
	outcome, err = n.store(ctx, e, e.ID+"="+strconv.FormatInt(int64(total), 10), now)
	switch {
	case err != nil:
		return outcome, err
	case !fresh:
		return outcomeReplayed, nil
	case doubt != "":
		n.strange.Warn(n.o.Logger, "a bill whose price is above the bid or cannot be read: the bid's price was booked",
			"exchange", c.Exchange, "campaign", c.Campaign, "bid", c.Bid, "why", doubt, "bid_cpm", c.MaxPrice.CPM(), "price", clip(nt.Price))
		return doubt, nil
	}
	return outcome, nil
}

// amount returns the price of one impression and that of the whole quantity. doubt says why they are the bid's instead of
// the notice's: outcomeUnreadable, outcomeAboveBid, or "".
func (n *Handler) amount(nt *Notice, c *Claims, seller *sellers.Seller) (price, total auction.Micros, doubt string) {
	most := c.MaxPrice.Times(c.Quantity)
	price, ok := seller.Price(nt.Price)
	if !ok {
		return c.MaxPrice, most, outcomeUnreadable
	}
	quantity := c.Quantity
	if v, err := sellers.ParseAmount(nt.Quantity); err == nil && v > 0 && c.Quantity != 0 {
		quantity = v
	}
	total = price.Times(quantity)
	if price > c.MaxPrice || total > most {
		return min(price, c.MaxPrice), most, outcomeAboveBid
	}
	return price, total, ""
}

// splitToken returns an impression's notice with the price and the quantity that follow its token: TOKEN~PRICE~QUANTITY.
func splitToken(nt *Notice) *Notice {
	token, rest, found := strings.Cut(nt.Token, "~")
	if !found {
		return nt
	}
	split := *nt
	split.Token = token
	split.Price, split.Quantity, _ = strings.Cut(rest, "~")
	return &split
}

// clip bounds a text that is logged.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
