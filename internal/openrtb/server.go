package openrtb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"gavel/internal/httpd"
	"gavel/internal/privacy"
	"gavel/internal/sellers"
	"gavel/internal/throttle"
)

// Limit bounds the auctions that run at once. Begin is called before any work is done for an auction, and reports
// whether it may run. If so, End is called when it has ended. Both are called concurrently and must not block.
type Limit interface {
	Begin() bool
	End()
}

// Options configure a Server. The zero value of a number or duration is its default.
type Options struct {
	Law     *privacy.Law // applied to every bid request; required
	Sellers *sellers.Set // who may send bid requests; required
	Timing  Timing
	Encoder EncoderOptions

	NoBidStatus    int           // status of a no-bid: 204, or 200 to send its reason (nbr); 204
	MaxBody        int           // bytes of a request body, before and after decompression; 1 MiB
	Limit          Limit         // of auctions at once; others are shed; nil: none
	MaxUnderWay    int64         // bytes of all requests that arrive or are handled; 128 MiB
	MaxConnections int           // open connections; 16,384
	ReadTimeout    time.Duration // to read a whole request; 5 s
	WriteTimeout   time.Duration // to write a whole response; 5 s
	IdleTimeout    time.Duration // between requests of one connection; 2 min
	GzipFrom       int           // least bytes of an answer that is compressed, if the exchange accepts gzip; 512

	Logger     *slog.Logger          // required
	Registerer prometheus.Registerer // required
}

func (o *Options) fill() error {
	for _, f := range []struct{ field, value *int }{
		{&o.NoBidStatus, ptr(fasthttp.StatusNoContent)}, {&o.MaxBody, ptr(1 << 20)},
		{&o.MaxConnections, ptr(16384)}, {&o.GzipFrom, ptr(512)},
	} {
		if *f.field == 0 {
			*f.field = *f.value
		}
	}
	if o.MaxUnderWay == 0 {
		o.MaxUnderWay = 128 << 20
	}
	for _, f := range []struct{ field, value *time.Duration }{
		{&o.ReadTimeout, ptr(5 * time.Second)}, {&o.WriteTimeout, ptr(5 * time.Second)}, {&o.IdleTimeout, ptr(2 * time.Minute)},
	} {
		if *f.field == 0 {
			*f.field = *f.value
		}
	}
	faults := []error{o.Timing.fill()}
	require := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("openrtb: server: "+format, args...))
		}
	}
	require(o.Law != nil, "a law is required")
	require(o.NoBidStatus == 200 || o.NoBidStatus == 204, "no-bid status %d must be 200 or 204", o.NoBidStatus)
	require(o.MaxBody > 0, "max body %d must be positive", o.MaxBody)
	require(o.MaxConnections > 0, "max connections %d must be positive", o.MaxConnections)
	require(o.GzipFrom > 0, "gzip from %d bytes must be positive", o.GzipFrom)
	require(o.ReadTimeout > 0 && o.WriteTimeout > 0 && o.IdleTimeout > 0,
		"timeouts must be positive, have read %v, write %v, idle %v", o.ReadTimeout, o.WriteTimeout, o.IdleTimeout)
	require(o.Sellers != nil, "the sellers are required")
	require(o.Logger != nil, "a logger is required")
	require(o.Registerer != nil, "a metrics registerer is required")
	return errors.Join(faults...)
}

func ptr[T any](v T) *T { return &v }

// Server is the bidder's two public ports: one for bid requests, one for notices. Neither answers what belongs to the other.
//
// The event loop refuses auctions above the limit. A worker handles every other request. Shutdown first refuses new
// auctions (204) and closes their connections; auctions that run go on, and notices are still booked. It ends when
// every connection is closed.
type Server struct {
	options  Options
	auctions Auctions
	booking  Notices
	encoder  *Encoder
	metrics  *metrics
	http     *httpd.Server // bid requests
	notices  *httpd.Server

	base     context.Context // of every auction and notice; ends with the server
	cancel   context.CancelFunc
	draining atomic.Bool
	inFlight atomic.Int64

	work sync.Pool // *work
	// Throttled logs for single requests.
	panicLog, noticeLog, bidLog, strangerLog throttle.Line
}

// NewServer returns a server that does not listen yet. The error joins every fault of the options.
func NewServer(auctions Auctions, linker Linker, notices Notices, options Options) (*Server, error) {
	faults := []error{options.fill()}
	if auctions == nil || notices == nil {
		faults = append(faults, errors.New("openrtb: server: auctions and notices are required"))
	}
	encoder, err := NewEncoder(linker, options.Encoder)
	if err := errors.Join(append(faults, err, Pretouch())...); err != nil {
		return nil, err
	}
	s := &Server{options: options, auctions: auctions, booking: notices, encoder: encoder}
	s.base, s.cancel = context.WithCancel(context.Background())
	s.work.New = func() any { return new(work) }
	serve := httpd.Options{
		Handler:        s.handleNotice,
		ErrorHandler:   s.unreadable,
		MaxConnections: options.MaxConnections,
		MaxBody:        options.MaxBody,
		MaxHead:        16 << 10,
		MaxUnderWay:    options.MaxUnderWay,
		ReadTimeout:    options.ReadTimeout,
		WriteTimeout:   options.WriteTimeout,
		IdleTimeout:    options.IdleTimeout,
	}
	if s.notices, err = httpd.NewServer(serve); err != nil {
		return nil, fmt.Errorf("openrtb: %w", err)
	}
	serve.Handler = s.handle
	if options.Limit != nil {
		serve.Gate = &httpd.Gate{Status: fasthttp.StatusNoContent, Ask: s.begin, Leave: options.Limit.End}
	}
	if s.http, err = httpd.NewServer(serve); err != nil {
		return nil, fmt.Errorf("openrtb: %w", err)
	}
	if s.metrics, err = newMetrics(options.Registerer, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Serve answers bid requests on listener until Shutdown and then returns nil, or at once if Shutdown was called before. It
// closes the listener.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.http.Serve(listener); err != nil {
		return fmt.Errorf("openrtb: cannot serve on %s: %w", listener.Addr(), err)
	}
	return nil
}

// ServeNotices is Serve for notices.
func (s *Server) ServeNotices(listener net.Listener) error {
	if err := s.notices.Serve(listener); err != nil {
		return fmt.Errorf("openrtb: cannot serve notices on %s: %w", listener.Addr(), err)
	}
	return nil
}

// Drain makes each answer from now on the last of its connection. Auctions and notices go on, also on new connections.
func (s *Server) Drain() {
	s.http.Drain()
	s.notices.Drain()
}

// Refuse refuses new auctions from now on and nothing else. Shutdown begins with it.
func (s *Server) Refuse() { s.draining.Store(true) }

// Shutdown refuses new auctions, stops listening, and waits until the running ones are answered and all their connections
// closed. Then it does the same for notices. If ctx ends first, Shutdown returns an error and cancels the context of auctions that still run.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Refuse()
	defer s.cancel()
	var faults []error
	if err := s.http.Shutdown(ctx); err != nil {
		faults = append(faults, fmt.Errorf("openrtb: shutdown with %d auctions and %d connections left: %w",
			s.inFlight.Load(), s.http.Connections(), err))
	}
	if err := s.notices.Shutdown(ctx); err != nil {
		faults = append(faults, fmt.Errorf("openrtb: shutdown with %d connections of notices left: %w", s.notices.Connections(), err))
	}
	return errors.Join(faults...)
}

// InFlight returns how many auctions are running.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// handle routes a request on the port for bid requests.
func (s *Server) handle(c *fasthttp.RequestCtx) {
	if bids(c.Path()) {
		s.bid(c)
		return
	}
	c.SetStatusCode(fasthttp.StatusNotFound)
}

// handleNotice routes a request on the port for notices.
func (s *Server) handleNotice(c *fasthttp.RequestCtx) {
	if kind, ok := strings.CutPrefix(string(c.Path()), noticePrefix); ok {
		s.notice(c, kind)
		return
	}
	c.SetStatusCode(fasthttp.StatusNotFound)
}

// unreadable answers a request that was refused before it reached handle.
func (s *Server) unreadable(c *fasthttp.RequestCtx, fault *httpd.Fault) {
	switch fault.Status {
	case fasthttp.StatusRequestEntityTooLarge:
		s.metrics.requests[outcomeTooLarge].Inc()
	case fasthttp.StatusRequestTimeout:
		s.metrics.timedOut.Inc()
	case fasthttp.StatusServiceUnavailable:
		c.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
	c.SetStatusCode(fault.Status)
}
