package httpd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Server serves one listener.
type Server struct {
	options Options
	codec   *fasthttp.Server
	counts  counts
	workers pool
	local   net.Addr

	underWay atomic.Int64  // bytes charged to the budget of requests under way
	draining atomic.Bool   // answers end their connections
	stopping atomic.Bool   // and the server stops
	stopped  chan struct{} // closed when Serve returns

	mu     sync.Mutex // guards what follows
	served bool
	loop   *loop // nil: not serving yet
}

// NewServer returns a server that does not listen yet. The error joins every fault of the options.
func NewServer(options Options) (*Server, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	s := &Server{options: options, stopped: make(chan struct{})}
	s.codec = codec(&s.options, s.handle, s.unreadable)
	s.workers.server = s
	return s, nil
}

// Serve answers on listener, which must have a descriptor, until Shutdown. It returns nil when the last connection is
// closed, or at once if Shutdown was called before. It closes the listener. A server can serve once.
func (s *Server) Serve(listener net.Listener) error {
	s.mu.Lock()
	if s.served {
		s.mu.Unlock()
		return fmt.Errorf("httpd: cannot serve on %s: the server has already served", listener.Addr())
	}
	s.served = true
	defer close(s.stopped)
	if s.stopping.Load() {
		s.mu.Unlock()
		return listener.Close()
	}
	s.local = listener.Addr()
	loop, err := newLoop(s, listener)
	s.loop = loop
	s.mu.Unlock()
	err = errors.Join(err, listener.Close()) // the loop has a descriptor of its own
	if loop == nil {
		return err
	}
	loop.run()
	s.workers.end() // until they end, workers may wake the loop
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loop = nil
	loop.closeAll()
	return err
}

// Drain makes each answer from now on the last of its connection. The server still accepts connections. Shutdown begins
// with it.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown stops listening and closes connections: idle ones at once, those that had no request yet after 5 s, the
// others when they are answered. It returns nil when all are closed, or ctx's error if that ends first. Even then, the
// remaining connections are answered and closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.mu.Lock()
	s.stopping.Store(true)
	served := s.served
	if s.loop != nil {
		s.loop.wakeUp()
	}
	s.mu.Unlock()
	if !served {
		return nil
	}
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// handle answers a request that a worker has read.
func (s *Server) handle(c *fasthttp.RequestCtx) {
	w := c.Conn().(*worker)
	w.fed--
	if w.fault != nil {
		s.fail(c, w.fault)
		return
	}
	verdict := Pass
	if gate := s.options.Gate; gate != nil && !w.admitted {
		verdict = gate.Ask(c.Method(), c.Path())
		w.admitted = verdict == Admit
	}
	if verdict == Refuse {
		c.SetStatusCode(s.options.Gate.Status)
	} else {
		s.options.handle(c)
		s.counts.failed(c.Response.StatusCode())
	}
	w.leave()
	if s.draining.Load() && w.last() {
		w.lingers = true
		c.SetConnectionClose()
	}
}

// unreadable answers a request that fasthttp refuses, though scan does not.
func (s *Server) unreadable(c *fasthttp.RequestCtx, err error) {
	s.fail(c, bad("the request cannot be read: "+err.Error()))
}

// fail answers a request that was refused before it reached the handler, and ends its connection.
func (s *Server) fail(c *fasthttp.RequestCtx, fault *Fault) {
	c.Conn().(*worker).lingers = true
	c.Response.Reset()
	s.options.ErrorHandler(c, fault)
	c.SetConnectionClose()
	s.counts.failed(c.Response.StatusCode())
}

// Received returns when the request's first byte was read, before it waited for a worker or a processor. If the request
// was sent before the previous answer on its connection, Received returns when that answer was written. For a request
// that no Server of this package read, it returns fasthttp's time.
func Received(c *fasthttp.RequestCtx) time.Time {
	w, ok := c.Conn().(*worker)
	if !ok {
		return c.Time()
	}
	return w.server.loop.start.Add(time.Duration(w.began))
}
