package rank

import (
	"errors"

	"github.com/valyala/fasthttp"

	"gavel/internal/events"
	"gavel/internal/events/notices"
)

// The parameters of a notice of a sale.
const (
	paramToken = "t" // the click's, from its landing page
	paramID    = "c" // the advertiser's id of the sale; empty: the only sale of the click
	paramValue = "v" // of the sale, in the unit of the campaign file
)

// maxField bounds a parameter, in bytes.
const maxField = 2048

// sale answers GET and POST /sale. A repeated notice is answered like the first and counts once.
func (w *work) sale(c *fasthttp.RequestCtx, d *deadline) outcome {
	s := w.server
	if !c.IsGet() && !c.IsPost() {
		c.Response.Header.Set("Allow", "GET, POST")
		writeError(c, fasthttp.StatusMethodNotAllowed, "use GET or POST for a sale")
		return outcomeMethod
	}
	c.Response.Header.Set("Cache-Control", "no-store")
	n := notices.Notice{Kind: events.TypeSale}
	for _, f := range [...]struct {
		name string
		to   *string
	}{{paramToken, &n.Token}, {paramID, &n.ConversionID}, {paramValue, &n.Value}} {
		value := c.QueryArgs().Peek(f.name)
		if len(value) > maxField {
			writeError(c, fasthttp.StatusBadRequest, f.name+": is too long")
			return outcomeInvalid
		}
		*f.to = string(value)
	}
	if n.Token == "" {
		writeError(c, fasthttp.StatusForbidden, paramToken+": is missing; send the token of the click, which its landing page got")
		return outcomeForged
	}
	_, err := s.options.Sales.Handle(d, &n)
	switch {
	case errors.Is(err, notices.ErrBadToken):
		writeError(c, fasthttp.StatusForbidden, paramToken+": the token is not of a click, or too old")
		return outcomeForged
	case errors.Is(err, notices.ErrBadNotice):
		writeError(c, fasthttp.StatusBadRequest, paramValue+": is not an amount, such as 12.50")
		return outcomeInvalid
	case err != nil:
		s.unstored.Warn(s.options.Logger, "sale not stored", "error", err)
		writeError(c, fasthttp.StatusServiceUnavailable, "the sale could not be stored; send it again later")
		return outcomeFailed
	}
	c.SetStatusCode(fasthttp.StatusNoContent)
	return outcomeOK
}
