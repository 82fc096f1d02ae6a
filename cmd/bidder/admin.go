package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminServer answers operators: health, readiness, metrics, profiles, the batcher's page. It is no place for exchanges: bind it to
// loopback or a private network.
type adminServer struct {
	server   *http.Server
	listener net.Listener
}

// newAdminServer listens on addr. ready returns nil when the bidder can bid, else why it cannot. page may be nil: none.
func newAdminServer(addr string, metrics prometheus.Gatherer, ready func() error, page *batcherPage, log *slog.Logger) (*adminServer, error) {
	mux := http.NewServeMux()
	if page != nil {
		page.register(mux)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("bidder: cannot listen on admin_listen %s: %w", addr, err)
	}
	return &adminServer{listener: listener, server: &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}, nil
}

// serveLoop answers until shutdown.
func (a *adminServer) serveLoop(log *slog.Logger) {
	if err := a.server.Serve(a.listener); err != nil && err != http.ErrServerClosed {
		log.Error("admin server ended", "error", err)
	}
}

func (a *adminServer) shutdown(ctx context.Context) error { return a.server.Shutdown(ctx) }
