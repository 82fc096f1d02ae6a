package notices

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gavel/internal/events"
)

// clicked redirects even when the click cannot be stored: the person waiting is not to blame.
func (n *Handler) clicked(ctx context.Context, c *Claims, e *events.Event, now time.Time) (redirect, outcome string, err error) {
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
