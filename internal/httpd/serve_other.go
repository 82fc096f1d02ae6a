//go:build !linux

package httpd

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Server serves one listener. Without epoll it is fasthttp's server, with a goroutine a connection, for development
// only. The gate is asked when a request has been read.
type Server struct {
	options Options
	codec   *fasthttp.Server
	counts  counts

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
	s.codec = codec(&s.options, s.handle)
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
	s.mu.Lock()
	s.shut = true
	s.mu.Unlock()
	return s.codec.ShutdownWithContext(ctx)
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
}

// Received returns when fasthttp had read the request.
func Received(c *fasthttp.RequestCtx) time.Time { return c.Time() }
