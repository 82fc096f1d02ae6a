package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gavel/internal/campaigns/watch"
	"gavel/internal/console"
	"gavel/internal/console/rankings"
	"gavel/internal/events/notices"
	"gavel/internal/events/outlet"
	"gavel/internal/privacy"
	"gavel/internal/process"
	"gavel/internal/rank"
	"gavel/internal/rank/explore"
	"gavel/internal/rank/landings"
	"gavel/internal/rank/profile"
	"gavel/internal/rank/tally"
)

const (
	// The time that each step of the stop may take.
	drainTimeout = 6 * time.Second  // running requests; the server closes unused connections after 5 s
	closeTimeout = 10 * time.Second // everything else
)

// ranker is a process that serves. The steps of serve fill its fields, in this order.
type ranker struct {
	config  *config
	log     *slog.Logger
	metrics *prometheus.Registry
	parts   *process.Parts

	keys      *notices.Keyring
	outlet    *outlet.Outlet
	tally     *tally.Tally
	campaigns *watch.Watcher[*landings.Set]
	models    []*model // ascending by name
	server    *rank.Server
	listens   atomic.Bool // the edge listens and is not stopping
}

// serve runs a ranker until ctx ends or a port fails, and stops in reverse order. So the edge answers the running requests first,
// then events are flushed, and the stream closes last.
func serve(ctx context.Context, config *config, log *slog.Logger) error {
	r := &ranker{config: config, log: log, metrics: prometheus.NewRegistry(), parts: process.NewParts("ranker", log)}
	r.metrics.MustRegister(build().Metric(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := r.parts.Start(ctx, []process.Step{
		{Name: "state", Start: r.startState},
		{Name: "stream", Start: r.startStream},
		{Name: "counts", Start: r.startCounts},
		{Name: "campaigns", Start: r.startCampaigns},
		{Name: "models", Start: r.startModels},
		{Name: "admin", Start: r.startAdmin},
		{Name: "edge", Start: r.startEdge},
	}); err != nil {
		return err
	}
	log.Info("serving", "listen", config.Listen, "admin_listen", config.AdminListen, "campaigns", r.campaigns.Set().Len())
	failure := r.parts.Wait(ctx)
	r.listens.Store(false)
	log.Info("stopping")
	if failure == nil {
		process.Drain(config.Limits.DrainDelay, r.server)
	}
	return errors.Join(failure, r.parts.Stop())
}

// startState opens the state directory and the keys of clicks' tokens.
func (r *ranker) startState(context.Context) (err error) {
	if err := os.MkdirAll(r.config.StateDir, 0o700); err != nil {
		return fmt.Errorf("cannot make state_dir: %w", err)
	}
	r.keys, err = notices.OpenKeyring(filepath.Join(r.config.StateDir, "token.keys"))
	return err
}

// startStream connects to the stream, or embeds one, and starts the publisher of events.
func (r *ranker) startStream(ctx context.Context) (err error) {
	r.outlet, err = outlet.Open(outlet.Options{
		Settings: r.config.Events, Source: r.config.Name, StateDir: r.config.StateDir, Parts: r.parts, Log: r.log, Registerer: r.metrics,
	})
	if err != nil {
		return err
	}
	return r.outlet.WaitUp(ctx)
}

// startCounts counts, for the page, what became of the clicks.
func (r *ranker) startCounts(context.Context) (err error) {
	r.tally, err = tally.New(tally.Options{Stream: r.outlet.Stream, File: filepath.Join(r.config.StateDir, "counts.json"), Log: r.log})
	if err != nil {
		return err
	}
	r.metrics.MustRegister(r.tally.Collector())
	r.parts.Loop("counts", closeTimeout, r.tally.Run)
	return nil
}

// startCampaigns reads the campaign file and follows its changes.
func (r *ranker) startCampaigns(context.Context) (err error) {
	r.campaigns, err = watch.Open(watch.Options[*landings.Set]{
		Path: r.config.Campaigns, Parse: landings.Parser(r.config.modelNames()), Log: r.log, Registerer: r.metrics,
	})
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	r.parts.Loop("campaign watch", closeTimeout, r.campaigns.Run)
	return nil
}

// startAdmin starts the operators' server: the page, health, readiness, metrics and profiles. If health_listen is set, it also
// starts a server of health and readiness alone.
func (r *ranker) startAdmin(context.Context) error {
	mux := http.NewServeMux()
	console.RegisterHealth(mux, r.ready)
	page := rankings.Page{
		Ranker: r.config.Name, Campaigns: r.campaigns.Set, Counts: r.tally.Snapshot, Now: time.Now,
		Classifiers: r.serving, Refused: r.refused, Memory: r.memory,
	}
	page.Register(mux)
	admin, err := process.StartAdmin(r.config.AdminListen, r.config.AdminHosts, mux, r.metrics, r.log)
	if err != nil {
		return err
	}
	r.parts.OnStop("admin", drainTimeout, admin.Shutdown)
	if r.config.HealthListen == "" {
		return nil
	}
	mux = http.NewServeMux()
	console.RegisterHealth(mux, r.ready)
	health, err := process.StartHealth(r.config.HealthListen, mux, r.log)
	if err != nil {
		return err
	}
	r.parts.OnStop("health", drainTimeout, health.Shutdown)
	return nil
}

// startEdge answers rankings, clicks and sales.
func (r *ranker) startEdge(context.Context) error {
	c := r.config
	profiles, err := profile.NewReader(c.Profile.Fields)
	if err != nil {
		return err
	}
	chooser, err := explore.New(explore.Options{Epsilon: c.Explore.Epsilon, Seed: c.Explore.Seed})
	if err != nil {
		return err
	}
	sales, err := notices.New(notices.Options{
		Keys: r.keys, Publisher: r.outlet.Publisher, Sales: true, SaleTTL: c.Sale.TTL, Logger: r.log, Registerer: r.metrics,
	})
	if err != nil {
		return err
	}
	law, err := privacy.New(c.Privacy, r.metrics)
	if err != nil {
		return err
	}
	r.server, err = rank.NewServer(rank.Options{
		Law: law, Contextual: c.Profile.Contextual, Profiles: profiles, Models: r.scored(), Campaigns: r.campaigns.Set, Chooser: chooser,
		Publisher: r.outlet.Publisher, Keys: r.keys, Sales: sales,
		Deadline: c.Rank.Deadline, Limit: c.Rank.Limit, MaxLimit: c.Rank.MaxLimit, By: c.Rank.By, Policy: explore.Policy(c.Rank.Policy),
		ClickBy: c.Click.By, ClickPolicy: explore.Policy(c.Click.Policy), PriorVariance: c.Explore.PriorVariance,
		CountryHeader: c.Profile.CountryHeader,
		MaxBody:       c.Limits.BodyBytes, MaxUnderWay: c.Limits.UnderWayBytes, MaxConnections: c.Limits.Connections, ReadTimeout: c.Limits.ReadTimeout,
		WriteTimeout: c.Limits.WriteTimeout, IdleTimeout: c.Limits.IdleTimeout, Logger: r.log, Registerer: r.metrics,
	})
	if err != nil {
		return err
	}
	listener, err := process.Listen("listen", c.Listen)
	if err != nil {
		return err
	}
	go func() { // ends with Shutdown
		if err := r.server.Serve(listener); err != nil {
			r.parts.Fail(fmt.Errorf("ranker: the edge ended: %w", err))
		}
	}()
	r.parts.OnStop("edge", drainTimeout, r.server.Shutdown)
	r.listens.Store(true)
	return nil
}

// ready returns nil if the ranker can rank: it has read the classifiers that were there at the start, and a campaign is active. There
// may be no classifier: clicks then go to any campaign, which is how the first sales come. Otherwise the error tells the operator
// why not.
func (r *ranker) ready() error {
	for _, m := range r.models {
		if r.listens.Load() && !m.read() {
			return fmt.Errorf("the classifiers of %s are being read (model %s)", m.config.Directory, m.name)
		}
	}
	switch {
	case !r.listens.Load():
		return errors.New("the ranker is starting or stopping")
	case r.outlet.Publisher.Ready() != nil:
		return r.outlet.Publisher.Ready()
	case r.campaigns.Set().Len() == 0:
		return fmt.Errorf("no campaign of %s is active", r.config.Campaigns)
	}
	return nil
}
