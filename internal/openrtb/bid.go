package openrtb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"gavel/internal/auction"
	"gavel/internal/httpd"
	"gavel/internal/sellers"
)

// work is the memory of one auction.
type work struct {
	raw      auction.Raw
	request  *auction.Request // what the law allows of raw
	inflated bytes.Buffer
	bids     []auction.Bid
	out      []byte
	verdict  []auction.NoBidReason
}

// maxKept bounds a buffer that is kept for the next auction.
const maxKept = 64 << 10

const (
	versionHeader  = "x-openrtb-version"
	defaultVersion = "2.6"
)

const bidPath = "/openrtb2/bid"

// bids reports whether a path is the endpoint, with or without a secret.
func bids(path []byte) bool {
	_, ok := sellers.CutSecret(path, bidPath)
	return ok
}

// caller returns the seller that sent a bid request, or nil if it is not known.
func (s *Server) caller(c *fasthttp.RequestCtx) *sellers.Seller {
	secret, _ := sellers.CutSecret(c.Path(), bidPath)
	var from netip.Addr
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		from = a.AddrPort().Addr()
	}
	return s.options.Sellers.Find(secret, from)
}

// begin is the gate: it is called for every request before it is decoded, and asks the limit about bid requests.
func (s *Server) begin(method, path []byte) httpd.Verdict {
	switch {
	case !bids(path) || string(method) != fasthttp.MethodPost:
		return httpd.Pass
	case s.options.Limit.Begin():
		return httpd.Admit
	}
	s.metrics.refused.Inc() // not decoded, so it counts even if it is malformed
	s.metrics.noBid(auction.NoBidShed)
	s.metrics.latency.Observe(0)
	return httpd.Refuse
}

// bid answers POST /openrtb2/bid and POST /openrtb2/bid/SECRET.
func (s *Server) bid(c *fasthttp.RequestCtx) {
	received := httpd.Received(c)
	defer func() { s.metrics.latency.Observe(time.Since(received).Seconds()) }()
	if !c.IsPost() {
		c.Response.Header.Set("Allow", "POST")
		s.refuse(c, outcomeMethod, fasthttp.StatusMethodNotAllowed)
		return
	}
	seller := s.caller(c)
	if seller == nil {
		if held, ok := s.strangerLog.Due(time.Now()); ok {
			s.options.Logger.Warn("bid request refused: no seller is known by its secret or address; see sellers in the configuration",
				slog.Any("from", c.RemoteAddr()), slog.Int64("not_logged", held))
		}
		s.refuse(c, outcomeStranger, fasthttp.StatusForbidden)
		return
	}
	version := string(c.Request.Header.Peek(versionHeader))
	if version = strings.TrimSpace(version); version == "" {
		version = defaultVersion
	}
	c.Response.Header.Set(versionHeader, defaultVersion)
	if !supported(version) {
		s.refuse(c, outcomeInvalid, fasthttp.StatusBadRequest)
		return
	}
	c.Response.Header.Set(versionHeader, cmp.Or(seller.Version, version))
	if notJSON(string(c.Request.Header.ContentType())) {
		s.refuse(c, outcomeContentType, fasthttp.StatusUnsupportedMediaType)
		return
	}
	s.metrics.received.Add(float64(len(c.Request.Body())))

	// Count before the draining flag is read, so that code that sets the flag sees this auction in flight.
	s.inFlight.Add(1)
	s.metrics.inFlight.Inc()
	defer func() { s.inFlight.Add(-1); s.metrics.inFlight.Dec() }()

	w := s.work.Get().(*work)
	defer func() {
		if cause := recover(); cause != nil {
			s.panicked(cause, "auction")
			c.Response.ResetBody()
			s.noBid(c, seller, w.raw.ID, auction.NoBidInternal) // w may still be in use, so it is not put back
			return
		}
		if w.inflated.Cap() > maxKept {
			w.inflated = bytes.Buffer{}
		}
		if cap(w.out) > maxKept {
			w.out = nil
		}
		s.work.Put(w)
	}()
	body, outcome, status := s.body(c, w)
	if status != 0 {
		s.refuse(c, outcome, status)
		return
	}
	o := DecodeOptions{Exchange: seller.Name, Received: received, Timing: s.options.Timing}
	coerced, err := Decode(body, &w.raw, &o)
	if err != nil {
		s.options.Logger.Debug("bid request refused", slog.String("exchange", o.Exchange), slog.Any("err", err))
		s.refuse(c, outcomeInvalid, fasthttp.StatusBadRequest)
		return
	}
	if coerced {
		s.metrics.coerced.Inc()
	}
	if n := w.raw.Unreadable; n > 0 {
		s.metrics.unreadable.Add(float64(n))
	}
	asMeant(&w.raw, seller)
	switch {
	case s.draining.Load():
		c.SetConnectionClose()
		s.noBid(c, seller, w.raw.ID, auction.NoBidDraining)
		return
	case len(w.raw.Impressions) == 0:
		s.noBid(c, seller, w.raw.ID, auction.NoBidFormat)
		return
	}
	var reason auction.NoBidReason
	if w.request, reason = s.options.Law.Apply(&w.raw); reason != auction.NoBidNone {
		s.noBid(c, seller, w.raw.ID, reason)
		return
	}
	s.run(c, seller, w)
}

// asMeant reads a request as its seller means it.
func asMeant(req *auction.Raw, seller *sellers.Seller) {
	req.Test = req.Test || seller.Test
	if len(seller.AuctionTypes) == 0 {
		return
	}
	req.Type = seller.AuctionType(req.Type)
	for i := range req.Impressions {
		for j := range req.Impressions[i].Deals {
			deal := &req.Impressions[i].Deals[j]
			deal.Type = seller.AuctionType(deal.Type)
		}
	}
}

// run holds the auction and writes the answer.
func (s *Server) run(c *fasthttp.RequestCtx, seller *sellers.Seller, w *work) {
	req := w.request
	ctx, cancel := context.WithDeadline(s.base, req.Deadline)
	result := s.auctions.Run(ctx, req, w.bids)
	cancel()
	if cap(result.Bids) > cap(w.bids) {
		w.bids = result.Bids
	}
	defer clear(result.Bids) // so that pooled memory keeps no campaign alive
	now := time.Now()
	if now.After(req.Deadline) {
		s.metrics.overruns.Inc()
	}
	if len(result.Bids) == 0 {
		s.noBid(c, seller, req.ID, result.Reason)
		return
	}
	w.verdict = append(w.verdict[:0], make([]auction.NoBidReason, len(result.Bids))...)
	if now.After(req.Deadline.Add(s.grace(req))) {
		for i := range result.Bids {
			s.withdraw(req, &result.Bids[i], auction.NoBidExpired)
		}
		s.noBid(c, seller, req.ID, auction.NoBidExpired)
		return
	}
	var err error
	if w.out, err = s.encoder.Bids(w.out[:0], req, seller, &result, w.verdict); err != nil {
		if held, ok := s.bidLog.Due(time.Now()); ok {
			s.options.Logger.Error("bid response not encoded", slog.Any("err", err), slog.Int64("not_logged", held))
		}
		for i := range result.Bids {
			s.withdraw(req, &result.Bids[i], auction.NoBidInternal)
		}
		s.noBid(c, seller, req.ID, auction.NoBidInternal)
		return
	}
	why := auction.NoBidNone
	for i, verdict := range w.verdict {
		if verdict == auction.NoBidNone {
			s.auctions.Sent(req, &result.Bids[i])
			s.metrics.bids.Inc()
		} else {
			why = verdict
			s.withdraw(req, &result.Bids[i], verdict)
		}
	}
	if len(w.out) == 0 {
		s.noBid(c, seller, req.ID, why)
		return
	}
	s.metrics.requests[outcomeBid].Inc()
	s.write(c, w.out)
}

// grace is how long after its deadline an answer is still sent: half of the margin. The other half is for the network.
func (s *Server) grace(req *auction.Request) time.Duration {
	return min(s.options.Timing.Margin, req.Deadline.Sub(req.Received)) / 2
}

func (s *Server) withdraw(req *auction.Request, bid *auction.Bid, why auction.NoBidReason) {
	if c, ok := s.metrics.withdrawn[why]; ok {
		c.Inc()
	}
	if why == auction.NoBidFormat {
		if held, ok := s.bidLog.Due(time.Now()); ok {
			imp := &req.Impressions[bid.Candidate.Impression]
			s.options.Logger.Warn("bid withdrawn: its markup does not fit the impression "+
				"(http: URLs on a secure one, or a native asset is missing)",
				slog.String("campaign", bid.Candidate.Campaign.ID), slog.String("creative", bid.Candidate.Creative.ID),
				slog.Bool("secure", imp.Secure), slog.Int64("not_logged", held))
		}
	}
	s.auctions.Withdraw(req, bid, why)
}

// body returns the request's body, decompressed if it is gzip, or the outcome and status with which it is refused.
func (s *Server) body(c *fasthttp.RequestCtx, w *work) ([]byte, outcome, int) {
	body := c.Request.Body()
	switch strings.ToLower(string(c.Request.Header.ContentEncoding())) {
	case "", "identity":
		return body, "", 0
	case "gzip", "x-gzip":
		w.inflated.Reset()
		switch err := inflate(&w.inflated, body, s.options.MaxBody); {
		case errors.Is(err, errTooLarge):
			return nil, outcomeTooLarge, fasthttp.StatusRequestEntityTooLarge
		case err != nil:
			return nil, outcomeInvalid, fasthttp.StatusBadRequest
		}
		return w.inflated.Bytes(), "", 0
	}
	c.Response.Header.Set("Accept-Encoding", "gzip")
	return nil, outcomeContentType, fasthttp.StatusUnsupportedMediaType
}

// refuse answers with a status and no content.
func (s *Server) refuse(c *fasthttp.RequestCtx, o outcome, status int) {
	s.metrics.requests[o].Inc()
	c.SetStatusCode(status)
}

func (s *Server) noBid(c *fasthttp.RequestCtx, seller *sellers.Seller, id string, reason auction.NoBidReason) {
	s.metrics.noBid(reason)
	told := s.options.NoBidStatus == fasthttp.StatusOK
	if seller.NBR != nil {
		told = *seller.NBR
	}
	if !told {
		c.SetStatusCode(fasthttp.StatusNoContent)
		return
	}
	out, err := s.encoder.NoBid(nil, id, reason)
	if err != nil {
		s.options.Logger.Error("no-bid not encoded", slog.Any("err", err))
		c.SetStatusCode(fasthttp.StatusNoContent)
		return
	}
	s.write(c, out)
}

// write answers 200 with JSON. It compresses an answer of GzipFrom bytes or more if the exchange accepts gzip.
func (s *Server) write(c *fasthttp.RequestCtx, out []byte) {
	c.SetStatusCode(fasthttp.StatusOK)
	c.Response.Header.SetContentType("application/json")
	if len(out) >= s.options.GzipFrom && acceptsGzip(string(c.Request.Header.Peek("Accept-Encoding"))) {
		if err := deflate(c.Response.BodyWriter(), out); err == nil {
			c.Response.Header.SetContentEncoding("gzip")
			s.metrics.sent.Add(float64(len(c.Response.Body())))
			return
		}
		c.Response.ResetBody()
	}
	c.Response.SetBody(out)
	s.metrics.sent.Add(float64(len(out)))
}

// supported reports whether the bidder reads a version of OpenRTB: 2 and 2.x, with or without a date after it.
func supported(version string) bool {
	if version == "2" {
		return true
	}
	minor, ok := strings.CutPrefix(version, "2.")
	return ok && minor != "" && minor[0] >= '0' && minor[0] <= '9' && len(minor) <= 16 && strings.Trim(minor, "0123456789.-") == ""
}

// notJSON reports whether a content type is certainly not JSON. Text and forms pass, because clients send JSON with
// their default content types; then decoding the body decides.
func notJSON(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	for _, prefix := range []string{"image/", "video/", "audio/", "font/", "multipart/"} {
		if strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	for _, part := range []string{"protobuf", "msgpack", "avro", "xml", "html", "cbor"} {
		if strings.Contains(kind, part) {
			return true
		}
	}
	return false
}

// panicked counts a panic and logs it.
func (s *Server) panicked(cause any, where string) {
	s.metrics.panics.Inc()
	if held, ok := s.panicLog.Due(time.Now()); ok {
		s.options.Logger.Error("panic recovered", slog.String("where", where), slog.Any("cause", cause),
			slog.String("stack", string(debug.Stack())), slog.Int64("not_logged", held))
	}
}
