package openrtb

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

const noticePrefix = "/n/"

// pixel is a transparent GIF of 1 × 1.
const pixel = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// notice answers /n/{kind}. Exchanges call with GET, advertisers' servers often with POST. HEAD is refused, because a
// link preview must not count.
func (s *Server) notice(c *fasthttp.RequestCtx, name string) {
	kind := NoticeKind(name)
	counters, known := s.metrics.notices[kind]
	if !known {
		c.SetStatusCode(fasthttp.StatusNotFound)
		return
	}
	if !c.IsGet() && !c.IsPost() {
		c.Response.Header.Set("Allow", "GET, POST")
		c.SetStatusCode(fasthttp.StatusMethodNotAllowed)
		return
	}
	outcome := "panic"
	defer func() {
		if cause := recover(); cause != nil {
			s.panicked(cause, "notice")
			c.Response.Reset()
			c.SetStatusCode(fasthttp.StatusInternalServerError)
		}
		counters[outcome].Inc()
	}()
	c.Response.Header.Set("Cache-Control", "no-store")
	n := &Notice{Kind: kind}
	fields := c.QueryArgs()
	for _, f := range [...]struct {
		name string
		to   *string
	}{
		{ParamToken, &n.Token}, {ParamPrice, &n.Price}, {ParamReason, &n.Reason}, {ParamQuantity, &n.Quantity},
		{ParamConversion, &n.ConversionID}, {ParamValue, &n.Value},
	} {
		value := fields.Peek(f.name)
		if len(value) > MaxNoticeField {
			if f.to == &n.Price || f.to == &n.Quantity {
				continue // a bill is a bill, even if its price cannot be read
			}
			outcome = "malformed"
			c.SetStatusCode(fasthttp.StatusBadRequest)
			return
		}
		*f.to = string(value)
	}
	if n.Token == "" {
		outcome = "forged"
		c.SetStatusCode(fasthttp.StatusForbidden)
		return
	}
	result, err := s.booking.Notice(s.base, n)
	outcome = s.answerNotice(c, kind, result, err)
}

// answerNotice writes the answer and returns its outcome.
func (s *Server) answerNotice(c *fasthttp.RequestCtx, kind NoticeKind, result NoticeResult, err error) string {
	switch {
	case errors.Is(err, ErrBadToken):
		c.SetStatusCode(fasthttp.StatusForbidden)
		return "forged"
	case errors.Is(err, ErrUnknownNotice):
		c.SetStatusCode(fasthttp.StatusNotFound)
		return "unknown"
	case errors.Is(err, ErrBadNotice):
		c.SetStatusCode(fasthttp.StatusBadRequest)
		return "malformed"
	case err != nil && !(kind == Click && landing(result.Redirect)):
		s.failed(kind, err)
		c.SetStatusCode(fasthttp.StatusServiceUnavailable)
		return "failed"
	}
	switch {
	case kind == Click && landing(result.Redirect):
		c.Response.Header.Set("Location", result.Redirect)
		c.SetStatusCode(fasthttp.StatusFound)
	case kind == Impression:
		c.Response.Header.SetContentType("image/gif")
		c.SetStatusCode(fasthttp.StatusOK)
		c.Response.SetBodyString(pixel)
	default:
		c.SetStatusCode(fasthttp.StatusNoContent)
	}
	if err != nil { // a click that could not be booked is still redirected
		s.failed(kind, err)
		return "failed"
	}
	return "ok"
}

func (s *Server) failed(kind NoticeKind, err error) {
	if held, ok := s.noticeLog.Due(time.Now()); ok {
		s.options.Logger.Warn("notice not booked", slog.String("kind", string(kind)), slog.Any("err", err),
			slog.Int64("not_logged", held))
	}
}

// landing reports whether a redirect is a web address and has no line break, which would inject headers.
func landing(url string) bool {
	return (strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "http://")) && !strings.ContainsAny(url, "\r\n")
}
