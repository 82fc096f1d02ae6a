//go:build !linux

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

// Server serves one listener. Without epoll it is fasthttp's server, with a goroutine a connection, for development
// only: fasthttp frames requests, less strictly, and MaxUnderWay bounds nothing. The gate is asked when a request has been
// read.
type Server struct {
	options Options
	codec   *fasthttp.Server
	counts  counts

	underWay atomic.Int64 // stays 0
	draining atomic.Bool

	mu     sync.Mutex // guards what follows
	served bool
	shut   bool
}

// NewServer returns a server that does not listen yet. The error joins every fault of the options.
func NewServer(options Options) (*Server, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	s := &Server{options: options}
	s.codec = codec(&s.options, s.handle, s.unreadable)
	s.codec.Concurrency = options.MaxConnections
	s.codec.ReadTimeout, s.codec.WriteTimeout, s.codec.IdleTimeout = options.ReadTimeout, options.WriteTimeout, options.IdleTimeout
	s.codec.CloseOnShutdown = true
	s.codec.ConnState = func(_ net.Conn, state fasthttp.ConnState) {
		switch state {
		case fasthttp.StateNew:
			s.counts.open.Add(1)
		case fasthttp.StateClosed:
			s.counts.open.Add(-1)
		}
	}
	return s, nil
}

// Serve answers on listener until Shutdown and then returns nil, or at once if Shutdown was called before. It closes
// the listener. A server can serve once.
func (s *Server) Serve(listener net.Listener) error {
	s.mu.Lock()
	shut, served := s.shut, s.served
	s.served = true
	s.mu.Unlock()
	switch {
	case served:
		return fmt.Errorf("httpd: cannot serve on %s: the server has already served", listener.Addr())
	case shut:
		return listener.Close()
	}
	return s.codec.Serve(listener)
}

// Shutdown stops listening and closes connections: idle ones at once, those that had no request yet after 5 s, the
// others when they are answered. It returns nil when all are closed, or ctx's error if that ends first.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.mu.Lock()
	s.shut = true
	s.mu.Unlock()
	return s.codec.ShutdownWithContext(ctx)
}

// Drain makes each answer from now on the last of its connection.
func (s *Server) Drain() { s.draining.Store(true) }

// unreadable answers a request that fasthttp refuses.
func (s *Server) unreadable(c *fasthttp.RequestCtx, err error) {
	fault := bad("the request cannot be read: " + err.Error())
	var small *fasthttp.ErrSmallBuffer
	var network net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		fault = largeBody
	case errors.As(err, &small):
		fault = largeHead
	case errors.As(err, &network) && network.Timeout():
		fault = tookTooLong
	}
	c.Response.Reset()
	s.options.ErrorHandler(c, fault)
	c.SetConnectionClose()
	s.counts.failed(c.Response.StatusCode())
}

// handle answers a request.
func (s *Server) handle(c *fasthttp.RequestCtx) {
	if gate := s.options.Gate; gate != nil {
		switch gate.Ask(c.Method(), c.Path()) {
		case Refuse:
			c.SetStatusCode(gate.Status)
			return
		case Admit:
			defer gate.Leave()
		}
	}
	s.options.handle(c)
	s.counts.failed(c.Response.StatusCode())
	if s.draining.Load() {
		c.SetConnectionClose()
	}
}

// Received returns when fasthttp had read the request.
func Received(c *fasthttp.RequestCtx) time.Time { return c.Time() }
