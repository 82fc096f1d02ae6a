package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/process"
)

// startAdmin answers operators until stop.
func (b *bidder) startAdmin(context.Context) error {
	admin, err := newAdmin(b.config.AdminListen, b.metrics, b.ready, b.page, b.log)
	if err != nil {
		return err
	}
	b.onStop("admin", drainTimeout, admin.Shutdown)
	return nil
}

// newAdmin serves health, readiness and the batcher's page beside metrics and profiles. ready returns nil when the bidder
// can bid, else why it cannot. page may be nil: none.
func newAdmin(address string, metrics prometheus.Gatherer, ready func() error, page *batcherPage, log *slog.Logger) (*process.Admin, error) {
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
	return process.StartAdmin(address, mux, metrics, log)
}

// ready returns nil when the bidder can bid: the models that campaigns need are warm, and it is not stopping.
func (b *bidder) ready() error {
	switch {
	case !b.serving.Load():
		return errors.New("starting or stopping")
	case b.click == nil: // baseline
	case !b.click.Ready():
		return b.unready(b.config.Models.Click)
	case b.conversion != nil && !b.conversion.Ready():
		return b.unready(b.config.Models.Conversion)
	}
	return nil
}

// unready says why a model keeps the bidder from being ready, and what to do.
func (b *bidder) unready(model string) error {
	return fmt.Errorf("no warm version of %s: it is loading, was refused (the log says why), or %s holds none "+
		"(python -m pytrain init --recipe RECIPE --store %[2]s makes a first one)", model, b.config.Models.Store)
}
