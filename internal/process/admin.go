package process

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin answers operators: metrics, profiles, and what the process adds. It is no place for anybody else: bind it to
// loopback or a private network.
type Admin struct {
	server   *http.Server
	listener net.Listener
	log      *slog.Logger
	done     chan struct{} // closed when nothing is served any more
}

// StartAdmin serves GET /metrics, /debug/pprof and what mux has besides on address, the setting admin_listen, until
// Shutdown.
func StartAdmin(address string, mux *http.ServeMux, metrics prometheus.Gatherer, log *slog.Logger) (*Admin, error) {
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	listener, err := Listen("admin_listen", address)
	if err != nil {
		return nil, err
	}
	a := &Admin{listener: listener, log: log, done: make(chan struct{}), server: &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
	go a.serveLoop()
	return a, nil
}

// Addr is what it listens on.
func (a *Admin) Addr() string { return a.listener.Addr().String() }

// serveLoop answers until Shutdown.
func (a *Admin) serveLoop() {
	defer close(a.done)
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		a.log.Error("admin server ended", "error", err)
	}
}

// Shutdown stops listening and waits for what is being answered. Where ctx ends first, the connections left are cut and
// the error is ctx's.
func (a *Admin) Shutdown(ctx context.Context) error {
	err := a.server.Shutdown(ctx)
	if err != nil {
		_ = a.server.Close()
	}
	<-a.done
	return err
}
