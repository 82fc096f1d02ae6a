package predict

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"gavel/internal/httpd"
	"gavel/internal/throttle"
)

// Options configure a Server. The zero value of a number or duration is its default.
type Options struct {
	Timeout        time.Duration // for a request without a timeout, from its first byte; 100 ms
	MaxBody        int           // bytes of a request's body; 1 MiB
	MaxRows        int           // rows of a request; 1,024
	MaxUnderWay    int64         // bytes of all requests that arrive or are handled; 128 MiB
	MaxConnections int           // open connections, and so requests at once; 1,024
	ReadTimeout    time.Duration // to read a whole request; 5 s
	WriteTimeout   time.Duration // to write a whole answer; 5 s
	IdleTimeout    time.Duration // between requests of one connection; 2 min

	Auctions Auctions // reads bid requests for :score; nil: there is no such path
	Version  string   // of this program, for /v2

	Logger     *slog.Logger          // required
	Registerer prometheus.Registerer // required
}

func (o *Options) fill() error {
	for _, f := range []struct {
		field *int
		value int
	}{{&o.MaxBody, 1 << 20}, {&o.MaxRows, 1024}, {&o.MaxConnections, 1024}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.Timeout, 100 * time.Millisecond}, {&o.ReadTimeout, 5 * time.Second}, {&o.WriteTimeout, 5 * time.Second},
		{&o.IdleTimeout, 2 * time.Minute},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if o.MaxUnderWay == 0 {
		o.MaxUnderWay = 128 << 20
	}
	var faults []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("predict: server: "+format, args...))
		}
	}
	require(o.Timeout > 0 && o.Timeout <= MaxTimeout, "timeout %v must be above 0 and at most %v", o.Timeout, MaxTimeout)
	require(o.MaxBody > 0, "max body %d must be positive", o.MaxBody)
	require(o.MaxRows > 0, "max rows %d must be positive", o.MaxRows)
	require(o.MaxConnections > 0, "max connections %d must be positive", o.MaxConnections)
	require(o.ReadTimeout > 0 && o.WriteTimeout > 0 && o.IdleTimeout > 0,
		"timeouts must be positive, have read %v, write %v, idle %v", o.ReadTimeout, o.WriteTimeout, o.IdleTimeout)
	require(o.Logger != nil, "a logger is required")
	require(o.Registerer != nil, "a metrics registerer is required")
	return errors.Join(faults...)
}

// MaxTimeout bounds how long a prediction may take.
const MaxTimeout = time.Minute

// Server answers on one port. A request is handled on the event loop (direct.go) or by a worker.
type Server struct {
	options Options
	models  Models
	metrics *metrics
	http    *httpd.Server
	work    sync.Pool // *work

	panicked throttle.Line
}

// NewServer returns a server that does not listen yet. It looks models up at each request. The error joins every fault of
// the options.
func NewServer(models Models, options Options) (*Server, error) {
	err := options.fill()
	if models == nil {
		err = errors.Join(err, errors.New("predict: server: models are required"))
	}
	if err != nil {
		return nil, err
	}
	s := &Server{options: options, models: models}
	s.work.New = func() any { return &work{server: s} }
	s.http, err = httpd.NewServer(httpd.Options{
		Handler:        s.handle,
		ErrorHandler:   s.unreadable,
		Direct:         &httpd.Direct{Begin: s.begin, ExceptHeaders: []string{"content-encoding", strings.ToLower(timeoutHeader)}},
		MaxConnections: options.MaxConnections,
		MaxBody:        options.MaxBody,
		MaxHead:        16 << 10,
		MaxUnderWay:    options.MaxUnderWay,
		ReadTimeout:    options.ReadTimeout,
		WriteTimeout:   options.WriteTimeout,
		IdleTimeout:    options.IdleTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	if s.metrics, err = newMetrics(options.Registerer, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Serve answers on listener until Shutdown and then returns nil. It closes the listener.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.http.Serve(listener); err != nil {
		return fmt.Errorf("predict: cannot serve on %s: %w", listener.Addr(), err)
	}
	return nil
}

// Drain makes each answer from now on the last of its connection. Requests go on, also on new connections.
func (s *Server) Drain() { s.http.Drain() }

// Shutdown stops listening, and waits until all requests are answered and all connections closed. If ctx ends first, it
// returns an error; requests that still run are answered when their rows are scored.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return fmt.Errorf("predict: shutdown with %d connections left: %w", s.http.Connections(), err)
	}
	return nil
}

// unreadable answers a request that was refused before it reached handle.
func (s *Server) unreadable(c *fasthttp.RequestCtx, fault *httpd.Fault) {
	reason := fault.Reason
	switch fault.Status {
	case fasthttp.StatusRequestEntityTooLarge:
		s.metrics.requests[outcomeTooLarge].Inc()
		reason = fmt.Sprintf("the body is larger than %d bytes; send fewer rows at a time (or raise predict.body_bytes)", s.options.MaxBody)
	case fasthttp.StatusRequestTimeout:
		s.metrics.timedOut.Inc()
	case fasthttp.StatusServiceUnavailable:
		c.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
	writeError(c, fault.Status, reason)
}
