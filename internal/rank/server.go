package rank

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"gavel/internal/events"
	"gavel/internal/events/notices"
	"gavel/internal/httpd"
	"gavel/internal/privacy"
	"gavel/internal/rank/explore"
	"gavel/internal/rank/landings"
	"gavel/internal/rank/profile"
	"gavel/internal/rank/score"
	"gavel/internal/throttle"
)

// Sales takes notices of sales; notices.Handler does. Its errors are those of notices.
type Sales interface {
	Handle(ctx context.Context, n *notices.Notice) (redirect string, err error)
}

// Options configure a Server. The zero value of a number, duration, order or policy is its default.
type Options struct {
	Law       *privacy.Law         // applied to every profile; required
	Profiles  *profile.Reader      // required
	Models    []Model              // at least one
	Campaigns func() *landings.Set // required: the set in use; its Models are indexes of Models
	Chooser   *explore.Chooser     // required
	Publisher events.Publisher     // of clicks; required
	Keys      *notices.Keyring     // for the tokens of clicks; required
	Sales     Sales                // required

	// Contextual are the fields that a profile keeps without the user's consent; nil means profile.Contextual.
	Contextual []string

	Deadline      time.Duration  // of a request, from its first byte; 200 ms
	Limit         int            // campaigns of an answer, if the request does not say; 10
	MaxLimit      int            // that a request may ask for; 100
	By            string         // one of Orders, if the request does not say; probability
	Policy        explore.Policy // by which /rank chooses the first campaign; best
	ClickBy       string         // one of Orders; value
	ClickPolicy   explore.Policy // by which /click chooses; best
	PriorVariance float64        // of the logit of campaigns without a classifier, for Thompson; 1
	CountryHeader string         // of a proxy that knows the country of a click; empty: none

	MaxBody        int           // bytes of a request's body; 1 MiB
	MaxUnderWay    int64         // bytes of all requests that arrive or are handled; 128 MiB
	MaxConnections int           // open connections, and so requests at once; 16,384
	ReadTimeout    time.Duration // to read a whole request; 5 s
	WriteTimeout   time.Duration // to write a whole answer; 5 s
	IdleTimeout    time.Duration // between requests of one connection; 75 s

	Logger     *slog.Logger          // required
	Registerer prometheus.Registerer // required
}

// Model is a name, and what scores the campaigns that have it.
type Model struct {
	Name   string
	Scorer score.Scorer
}

// Bounds of the options.
const (
	MaxDeadline = 10 * time.Second
	MaxAnswers  = 10_000 // the largest MaxLimit
)

func (o *Options) fill() error {
	if o.Contextual == nil {
		o.Contextual = profile.Contextual
	}
	setDefault(&o.Deadline, 200*time.Millisecond)
	setDefault(&o.Limit, 10)
	setDefault(&o.MaxLimit, 100)
	setDefault(&o.By, string(byProbability))
	setDefault(&o.Policy, explore.Best)
	setDefault(&o.ClickBy, string(byValue))
	setDefault(&o.ClickPolicy, explore.Best)
	setDefault(&o.PriorVariance, 1)
	setDefault(&o.MaxBody, 1<<20)
	setDefault(&o.MaxUnderWay, 128<<20)
	setDefault(&o.MaxConnections, 16384)
	setDefault(&o.ReadTimeout, 5*time.Second)
	setDefault(&o.WriteTimeout, 5*time.Second)
	setDefault(&o.IdleTimeout, 75*time.Second)
	var faults []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("rank: server: "+format, args...))
		}
	}
	require(o.Law != nil, "a law is required")
	require(o.Profiles != nil && len(o.Models) > 0 && o.Campaigns != nil && o.Chooser != nil, "profiles, models, campaigns and chooser are required")
	require(o.Publisher != nil && o.Keys != nil && o.Sales != nil, "publisher, keys and sales are required")
	require(o.Logger != nil, "a logger is required")
	require(o.Registerer != nil, "a metrics registerer is required")
	require(o.Deadline > 0 && o.Deadline <= MaxDeadline, "deadline %v must be above 0 and at most %v", o.Deadline, MaxDeadline)
	require(o.MaxLimit > 0 && o.MaxLimit <= MaxAnswers, "max limit %d must be 1 to %d", o.MaxLimit, MaxAnswers)
	require(o.Limit > 0 && o.Limit <= o.MaxLimit, "limit %d must be 1 to max limit (%d)", o.Limit, o.MaxLimit)
	require(slices.Contains(Orders, o.By) && slices.Contains(Orders, o.ClickBy), "by %q and click by %q must be of %q", o.By, o.ClickBy, Orders)
	require(slices.Contains(explore.Policies, o.Policy) && slices.Contains(explore.Policies, o.ClickPolicy),
		"policy %q and click policy %q must be of %q", o.Policy, o.ClickPolicy, explore.Policies)
	require(o.PriorVariance >= 0 && o.PriorVariance <= 100, "prior variance %v must be 0 to 100", o.PriorVariance)
	return errors.Join(faults...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server answers rankings, clicks and notices of sales on one port.
type Server struct {
	options    Options
	contextual []bool // by a profile's field: whether it stays without consent
	metrics    *metrics
	http       *httpd.Server
	plans      plans
	work       sync.Pool // *work

	panicked, unstored, failed throttle.Line
}

// NewServer returns a server that does not listen yet. The error joins every fault of the options.
func NewServer(options Options) (*Server, error) {
	if err := options.fill(); err != nil {
		return nil, err
	}
	s := &Server{options: options}
	for _, name := range options.Profiles.Fields() {
		s.contextual = append(s.contextual, slices.Contains(options.Contextual, name))
	}
	s.work.New = func() any { return &work{server: s} }
	var err error
	s.http, err = httpd.NewServer(httpd.Options{
		Handler: s.handle, ErrorHandler: s.unreadable,
		MaxConnections: options.MaxConnections, MaxBody: options.MaxBody, MaxHead: 16 << 10,
		MaxUnderWay: options.MaxUnderWay,
		ReadTimeout: options.ReadTimeout, WriteTimeout: options.WriteTimeout, IdleTimeout: options.IdleTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("rank: %w", err)
	}
	if s.metrics, err = newMetrics(options.Registerer, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Serve answers on listener until Shutdown and then returns nil. It closes the listener.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.http.Serve(listener); err != nil {
		return fmt.Errorf("rank: cannot serve on %s: %w", listener.Addr(), err)
	}
	return nil
}

// Drain makes each answer from now on the last of its connection. Requests go on, also on new connections.
func (s *Server) Drain() { s.http.Drain() }

// Shutdown stops listening, and waits until all requests are answered and all connections closed, or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return fmt.Errorf("rank: shutdown with %d connections left: %w", s.http.Connections(), err)
	}
	return nil
}

// The paths.
const (
	rankPath  = "/rank"
	clickPath = "/click"
	salePath  = "/sale"
)

// handle routes a request, and counts it.
func (s *Server) handle(c *fasthttp.RequestCtx) {
	var e endpoint
	var answer func(*work, *fasthttp.RequestCtx, *deadline) outcome
	switch string(c.Path()) {
	case rankPath:
		e, answer = endpointRank, (*work).rank
	case clickPath:
		e, answer = endpointClick, (*work).click
	case salePath:
		e, answer = endpointSale, (*work).sale
	default:
		writeError(c, fasthttp.StatusNotFound, "the paths are "+rankPath+" (POST), "+clickPath+" (GET) and "+salePath+" (GET or POST)")
		return
	}
	received := httpd.Received(c)
	d := newDeadline(received.Add(s.options.Deadline))
	w := s.work.Get().(*work)
	o := outcomeFailed
	defer func() {
		d.end()
		if cause := recover(); cause != nil {
			s.panics(cause) // w may still be in use, so it is not pooled
			c.Response.Reset()
			writeError(c, fasthttp.StatusInternalServerError, "internal error; see the ranker's log")
		} else {
			w.done()
		}
		s.metrics.requests[e][o].Inc()
		s.metrics.latency[e].Observe(time.Since(received).Seconds())
	}()
	o = answer(w, c, d)
}

// unreadable answers a request that was refused before it reached handle.
func (s *Server) unreadable(c *fasthttp.RequestCtx, fault *httpd.Fault) {
	s.metrics.unreadable.Inc()
	reason := fault.Reason
	switch fault.Status {
	case fasthttp.StatusRequestEntityTooLarge:
		reason = fmt.Sprintf("the body is larger than %d bytes; name fewer campaigns (or raise limits.body_bytes)", s.options.MaxBody)
	case fasthttp.StatusServiceUnavailable:
		c.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
	writeError(c, fault.Status, reason)
}
