package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"gavel/internal/console"
	"gavel/internal/process"
)

// startAdmin starts the operators' server: health, readiness, the batcher's page, metrics and profiles. If health_listen is
// set, it also starts a server of health and readiness alone.
func (b *bidder) startAdmin(context.Context) error {
	mux := http.NewServeMux()
	console.RegisterHealth(mux, b.ready)
	if b.page != nil {
		b.page.Register(mux)
	}
	admin, err := process.StartAdmin(b.config.AdminListen, b.config.AdminHosts, mux, b.metrics, b.log)
	if err != nil {
		return err
	}
	b.parts.OnStop("admin", drainTimeout, admin.Shutdown)
	if b.config.HealthListen == "" {
		return nil
	}
	mux = http.NewServeMux()
	console.RegisterHealth(mux, b.ready)
	health, err := process.StartHealth(b.config.HealthListen, mux, b.log)
	if err != nil {
		return err
	}
	b.parts.OnStop("health", drainTimeout, health.Shutdown)
	return nil
}

// ready returns nil if the bidder can bid: it is not stopping, and the models of auction.click and auction.conversion
// have a warm version. Otherwise the error tells the operator why not.
func (b *bidder) ready() error {
	if !b.serving.Load() {
		return errors.New("the bidder is starting or stopping")
	}
	if b.outlet != nil {
		if err := b.outlet.Publisher.Ready(); err != nil {
			return err
		}
	}
	if b.models == nil { // bidder baseline has no models
		return nil
	}
	for _, name := range []string{b.config.Auction.Click, b.config.Auction.Conversion} {
		if name != "" && !b.models.Find(name).Ready() {
			return fmt.Errorf("no warm version of %s: it is loading, was refused (the log says why), or %s holds none "+
				"(python -m pytrain init --recipe RECIPE --store %[2]s makes a first one)", name, b.config.ModelStore)
		}
		if name != "" {
			if err := b.models.Find(name).Auctions(); err != nil {
				return err
			}
		}
	}
	return nil
}
