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

// Admin is the operators' server: metrics, profiles, and what the process adds. It has no authentication: bind it to
// loopback or a private network.
type Admin struct {
	server   *http.Server
	listener net.Listener
	log      *slog.Logger
	done     chan struct{} // closed when the server has ended
}

// StartAdmin serves GET /metrics, /debug/pprof and mux's own handlers on address until Shutdown. address is the setting
// admin_listen. hosts, the setting admin_hosts, are names under which it answers beside those of HostCheck.
func StartAdmin(address string, hosts []string, mux *http.ServeMux, metrics prometheus.Gatherer, log *slog.Logger) (*Admin, error) {
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return startAdmin("admin_listen", address, HostCheck(hosts, mux), log)
}

// StartHealth serves only mux's handlers, which should be those of health, on address until Shutdown. address is the setting
// health_listen. It answers whatever the Host is, because load balancers send many.
func StartHealth(address string, mux *http.ServeMux, log *slog.Logger) (*Admin, error) {
	return startAdmin("health_listen", address, mux, log)
}

func startAdmin(setting, address string, handler http.Handler, log *slog.Logger) (*Admin, error) {
	listener, err := Listen(setting, address)
	if err != nil {
		return nil, err
	}
	a := &Admin{listener: listener, log: log, done: make(chan struct{}), server: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
	go a.serveLoop()
	return a, nil
}

// Addr returns the address on which it listens.
func (a *Admin) Addr() string { return a.listener.Addr().String() }

// serveLoop answers until Shutdown.
func (a *Admin) serveLoop() {
	defer close(a.done)
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		a.log.Error("admin server ended", "error", err)
	}
}

// Shutdown stops listening and waits for running requests. If ctx ends first, it closes the remaining connections and
// returns ctx's error.
func (a *Admin) Shutdown(ctx context.Context) error {
	err := a.server.Shutdown(ctx)
	if err != nil {
		_ = a.server.Close()
	}
	<-a.done
	return err
}
