// Package httpdtest runs servers in tests.
package httpdtest

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// Server is an httpd.Server, or a server built on one.
type Server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// Serve serves on a free port of loopback until the test ends, and returns its address. The test fails if s does, or if
// it is not shut down within 20 s.
func Serve(t testing.TB, s Server) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}
