package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"gavel/internal/console"
	"gavel/internal/process"
)

// startAdmin answers operators until stop: health, readiness and the batcher's page beside metrics and profiles.
func (b *bidder) startAdmin(context.Context) error {
	mux := http.NewServeMux()
	console.RegisterHealth(mux, b.ready)
	if b.page != nil {
		b.page.Register(mux)
	}
	admin, err := process.StartAdmin(b.config.AdminListen, mux, b.metrics, b.log)
	if err != nil {
		return err
	}
	b.onStop("admin", drainTimeout, admin.Shutdown)
	return nil
}

// ready returns nil when the bidder can bid: the models that auctions name are warm, and it is not stopping.
func (b *bidder) ready() error {
	switch {
	case !b.serving.Load():
		return errors.New("starting or stopping")
	case b.models == nil: // baseline
		return nil
	}
	for _, name := range []string{b.config.Auction.Click, b.config.Auction.Conversion} {
		if name != "" && !b.models.Find(name).Ready() {
			return b.unready(name)
		}
	}
	return nil
}

// unready says why a model keeps the bidder from being ready, and what to do.
func (b *bidder) unready(model string) error {
	return fmt.Errorf("no warm version of %s: it is loading, was refused (the log says why), or %s holds none "+
		"(python -m pytrain init --recipe RECIPE --store %[2]s makes a first one)", model, b.config.ModelStore)
}
