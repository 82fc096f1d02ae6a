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

	stopping atomic.Bool
	stopped  chan struct{} // closed when Serve returns

	mu     sync.Mutex // guards what follows
	served bool
	loop   *loop // nil: not serving yet
}

// NewServer makes a server that is not listening yet. The error joins every fault of the options.
func NewServer(options Options) (*Server, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	s := &Server{options: options, stopped: make(chan struct{})}
	s.codec = codec(&s.options, s.handle)
	s.workers.server = s
	return s, nil
}

// Serve answers on listener, which must have a descriptor, until Shutdown; it returns nil when the last connection is
// closed then, or at once where Shutdown came first. It closes the listener. A server serves once.
func (s *Server) Serve(listener net.Listener) error {
	s.mu.Lock()
	if s.served {
		s.mu.Unlock()
		return fmt.Errorf("httpd: cannot serve on %s: the server serves already", listener.Addr())
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
	s.workers.end() // they rouse the loop until then
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loop = nil
	loop.closeAll()
	return err
}

// Shutdown stops listening and closes connections: idle ones at once, those that were never asked on after 5 s, the
// others when they are answered. It returns nil when all are closed, or ctx's error if that ends first; connections are
// still answered and closed then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping.Store(true)
	served := s.served
	if s.loop != nil {
		s.loop.rouse()
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
	verdict := Pass
	if gate := s.options.Gate; gate != nil && !w.admitted {
		verdict = gate.Ask(c.Method(), c.Path())
		w.admitted = verdict == Admit
	}
	if verdict == Refuse {
		w.server.loop.refusing()
		c.SetStatusCode(s.options.Gate.Status)
	} else {
		s.options.handle(c)
	}
	w.leave()
	if s.stopping.Load() {
		c.SetConnectionClose()
	}
}

// Received is when the request's first byte was read: before it waited for a worker, and that for a processor. Of a request
// that was sent before the one ahead of it was answered, it is when that was. Of requests that no Server of this package
// reads it is fasthttp's time.
func Received(c *fasthttp.RequestCtx) time.Time {
	w, ok := c.Conn().(*worker)
	if !ok {
		return c.Time()
	}
	return w.server.loop.start.Add(time.Duration(w.began))
}
