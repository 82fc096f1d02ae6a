package notices

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gavel/internal/events"
)

// clicked handles a click. It redirects even if the click cannot be stored, since a person waits for the page.
func (n *Handler) clicked(ctx context.Context, c *Claims, e *events.Event, now time.Time) (redirect, outcome string, err error) {
	page, ok := n.o.Landing(c.Campaign, c.Creative)
	if !ok {
		return "", outcomeNoLanding, fmt.Errorf("%w: creative %q of campaign %q no longer exists", ErrUnknownNotice, c.Creative, c.Campaign)
	}
	redirect, err = n.landing(page, c, now)
	if err != nil {
		return "", outcomeNoLanding, err
	}
	if c.Test {
		return redirect, outcomeTest, nil
	}
	outcome, err = n.store(ctx, e, e.ID, now)
	if err != nil {
		n.o.Logger.Warn("click not stored, redirected all the same", "bid", c.Bid, "error", err)
	}
	return redirect, outcome, nil
}

// ClickParam is the query parameter with the click id that is added to a landing page without the macro ${CLICK_ID}.
// The advertiser sends the id back as the token of a conversion notice.
const ClickParam = "gavel_click"

// landing fills the macros of a landing page: ${CLICK_ID}, ${BID_ID}, ${CAMPAIGN_ID}, ${CREATIVE_ID}, ${EXCHANGE}. Their
// values come from the token, escaped. Scheme and host come only from the campaign file.
func (n *Handler) landing(page string, c *Claims, now time.Time) (string, error) {
	click := *c
	click.Issued = now
	id, err := n.o.Keys.Token(events.TypeConversion, &click)
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
		return "", fmt.Errorf("%w: the landing page of creative %q is not an http or https URL", ErrUnknownNotice, c.Creative)
	}
	if !marked {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += ClickParam + "=" + id
	}
	return u.String(), nil
}
