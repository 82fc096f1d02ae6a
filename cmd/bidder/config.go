package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/process"
	"gavel/internal/strictyaml"
)

// Config is the bidder's configuration file. docs/configuration.md describes every key; Defaults holds what a key
// that is left out means.
type Config struct {
	Name        string `yaml:"name"`
	Listen      string `yaml:"listen"`
	AdminListen string `yaml:"admin_listen"`
	PublicURL   string `yaml:"public_url"`
	StateDir    string `yaml:"state_dir"`
	Campaigns   string `yaml:"campaigns"`

	ModelStore string `yaml:"model_store"`
	// Models are those that are served, by name. If there are none, those that Auction names are served.
	Models map[string]ModelSettings `yaml:"models"`

	Auction struct {
		Click             string        `yaml:"click"`      // names one of Models
		Conversion        string        `yaml:"conversion"` // names one of Models; "": none
		Currency          string        `yaml:"currency"`
		Seat              string        `yaml:"seat"`
		TmaxDefault       time.Duration `yaml:"tmax_default"`
		TmaxMargin        time.Duration `yaml:"tmax_margin"`
		MaxCandidates     int           `yaml:"max_candidates"`
		NoBidStatus       int           `yaml:"no_bid_status"`
		FirstPriceBidders float64       `yaml:"first_price_bidders"`
	} `yaml:"auction"`

	Batcher struct {
		Policy    string        `yaml:"policy"`
		Runners   int           `yaml:"runners"`
		MaxRows   int           `yaml:"max_rows"`
		MaxWait   time.Duration `yaml:"max_wait"`
		QueueRows int           `yaml:"queue_rows"`
	} `yaml:"batcher"`

	TensorFlow struct {
		Threading string `yaml:"threading"`
	} `yaml:"tensorflow"`

	Predict struct {
		Listen      string        `yaml:"listen"`
		Timeout     time.Duration `yaml:"timeout"`
		BodyBytes   int           `yaml:"body_bytes"`
		Rows        int           `yaml:"rows"`
		Connections int           `yaml:"connections"`
	} `yaml:"predict"`

	Limits struct {
		BodyBytes    int           `yaml:"body_bytes"`
		Auctions     int           `yaml:"auctions"`
		CPUWait      time.Duration `yaml:"cpu_wait"`
		GCPercent    int           `yaml:"gc_percent"`
		GCBytes      int64         `yaml:"gc_bytes"`
		Connections  int           `yaml:"connections"`
		ReadTimeout  time.Duration `yaml:"read_timeout"`
		WriteTimeout time.Duration `yaml:"write_timeout"`
		IdleTimeout  time.Duration `yaml:"idle_timeout"`
	} `yaml:"limits"`

	Budget struct {
		Reservation time.Duration `yaml:"reservation"`
		LeaseShare  float64       `yaml:"lease_share"`
	} `yaml:"budget"`

	Events struct {
		URL            string        `yaml:"url"`
		EmbeddedListen string        `yaml:"embedded_listen"`
		EmbeddedDir    string        `yaml:"embedded_dir"`
		TokenFile      string        `yaml:"token_file"`
		MaxBytes       int64         `yaml:"max_bytes"`
		MaxAge         time.Duration `yaml:"max_age"`
		SyncAlways     bool          `yaml:"sync_always"`
		SpillMaxBytes  int64         `yaml:"spill_max_bytes"`
	} `yaml:"events"`

	Log struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	} `yaml:"log"`
}

// Defaults is the configuration of an empty file.
func Defaults() Config {
	var c Config
	c.Name = "bidder"
	c.Listen = "127.0.0.1:8090"
	c.AdminListen = "127.0.0.1:8091"
	c.PublicURL = "http://127.0.0.1:8090"
	c.StateDir = "var/bidder"
	c.Campaigns = "configs/campaigns.yaml"
	c.ModelStore = "var/store"
	c.Auction.Click = "ctr"
	c.Auction.Currency = "USD"
	c.Auction.Seat = "gavel"
	c.Auction.TmaxDefault = 120 * time.Millisecond
	c.Auction.TmaxMargin = 25 * time.Millisecond
	c.Auction.MaxCandidates = 16
	c.Auction.NoBidStatus = 204
	c.Auction.FirstPriceBidders = 5
	c.Batcher.Policy = string(batcher.Adaptive)
	c.Batcher.Runners = 1
	c.Batcher.MaxRows = batcher.DefaultMaxRows
	c.Batcher.MaxWait = batcher.DefaultMaxWait
	c.Batcher.QueueRows = 4096
	c.TensorFlow.Threading = string(tensorflow.CallerThread)
	c.Predict.Timeout = 100 * time.Millisecond
	c.Predict.BodyBytes = 1 << 20
	c.Predict.Rows = 1024
	c.Predict.Connections = 1024
	c.Limits.BodyBytes = 256 << 10
	c.Limits.Auctions = 4096
	c.Limits.CPUWait = time.Millisecond
	c.Limits.GCPercent = 400
	c.Limits.GCBytes = 256 << 20
	c.Limits.Connections = 16384
	c.Limits.ReadTimeout = 5 * time.Second
	c.Limits.WriteTimeout = 5 * time.Second
	c.Limits.IdleTimeout = 75 * time.Second
	c.Budget.Reservation = time.Minute
	c.Budget.LeaseShare = 0.1
	c.Events.EmbeddedListen = "127.0.0.1:4222"
	c.Events.EmbeddedDir = "var/stream"
	c.Events.TokenFile = "var/stream.token"
	c.Events.MaxBytes = 4 << 30
	c.Events.MaxAge = 72 * time.Hour
	c.Events.SpillMaxBytes = 256 << 20
	c.Log.Level = "info"
	c.Log.Format = "text"
	return c
}

// LoadConfig reads a configuration file over the defaults and reports every fault in it.
func LoadConfig(path string) (Config, error) {
	c := Defaults()
	err := strictyaml.ReadFile(path, &c)
	return c, err
}

// What the rooms bound themselves; said here, so that a file is refused before anything starts.
const (
	minTmax, maxTmax = 10 * time.Millisecond, time.Second // openrtb.Timing's
	maxCandidates    = 128                                // a request, as auction.SetOptions has it
	maxName          = 64                                 // leases.Options.Bidder
)

// Validate implements strictyaml.Validator.
func (c *Config) Validate() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	listens := map[string]string{"listen": c.Listen, "admin_listen": c.AdminListen}
	if c.Events.URL == "" {
		listens["events.embedded_listen"] = c.Events.EmbeddedListen
	} else if u, err := url.Parse(c.Events.URL); err != nil || u.Host == "" {
		fault("events.url: %q is not a URL; write nats://stream.internal:4222, say", c.Events.URL)
	}
	for key, value := range listens {
		if _, _, err := process.SplitPort(value); err != nil {
			fault("%s: %q is not host:port; write 127.0.0.1:8090, say", key, value)
		}
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		fault("public_url: %q is not an http or https URL", c.PublicURL)
	}
	for key, value := range map[string]string{
		"name": c.Name, "state_dir": c.StateDir, "campaigns": c.Campaigns, "model_store": c.ModelStore,
		"auction.click": c.Auction.Click, "auction.seat": c.Auction.Seat, "events.token_file": c.Events.TokenFile,
		"events.embedded_dir": c.Events.EmbeddedDir,
	} {
		if value == "" {
			fault("%s: is empty; name one", key)
		}
	}
	if len(c.Name) > maxName {
		fault("name: is %d bytes long; use at most %d", len(c.Name), maxName)
	}
	if len(c.Auction.Currency) != 3 || c.Auction.Currency != strings.ToUpper(c.Auction.Currency) {
		fault("auction.currency: %q is not an ISO 4217 code such as USD", c.Auction.Currency)
	}
	if c.Auction.NoBidStatus != 200 && c.Auction.NoBidStatus != 204 {
		fault("auction.no_bid_status: %d is neither 204 nor 200", c.Auction.NoBidStatus)
	}
	if d := c.Auction.TmaxDefault; d < minTmax || d > maxTmax {
		fault("auction.tmax_default: %v must be %v to %v", d, minTmax, maxTmax)
	}
	if c.Auction.TmaxMargin < 0 || c.Auction.TmaxMargin >= c.Auction.TmaxDefault {
		fault("auction.tmax_margin: %v must be at least 0 and less than tmax_default (%v)", c.Auction.TmaxMargin, c.Auction.TmaxDefault)
	}
	if n := c.Auction.FirstPriceBidders; !(n >= 1 && n <= 1e6) {
		fault("auction.first_price_bidders: %v must be 1 to 1e6", n)
	}
	if s := c.Budget.LeaseShare; !(s > 0 && s <= 1) {
		fault("budget.lease_share: %v must be above 0 and at most 1", s)
	}
	faults = append(faults, c.modelFaults()...)
	if !slices.Contains(tensorflow.Threadings, tensorflow.Threading(c.TensorFlow.Threading)) {
		fault("tensorflow.threading: %q is none of %v", c.TensorFlow.Threading, tensorflow.Threadings)
	}
	if n := c.Auction.MaxCandidates; n < 1 || n > maxCandidates {
		fault("auction.max_candidates: %d must be 1 to %d", n, maxCandidates)
	}
	positive := map[string]int64{
		"limits.body_bytes": int64(c.Limits.BodyBytes), "limits.connections": int64(c.Limits.Connections),
		"limits.auctions": int64(c.Limits.Auctions), "limits.cpu_wait": int64(c.Limits.CPUWait),
		"limits.gc_percent": int64(c.Limits.GCPercent), "limits.gc_bytes": c.Limits.GCBytes,
		"events.spill_max_bytes": c.Events.SpillMaxBytes,
		"limits.read_timeout":    int64(c.Limits.ReadTimeout), "limits.write_timeout": int64(c.Limits.WriteTimeout),
		"limits.idle_timeout": int64(c.Limits.IdleTimeout), "budget.reservation": int64(c.Budget.Reservation),
		"events.max_bytes": c.Events.MaxBytes, "events.max_age": int64(c.Events.MaxAge),
	}
	for key, value := range positive {
		if value <= 0 {
			fault("%s: must be above 0", key)
		}
	}
	c.predictFaults(fault)
	if c.Log.Format != "text" && c.Log.Format != "json" {
		fault("log.format: %q is neither text nor json", c.Log.Format)
	}
	if new(slog.Level).UnmarshalText([]byte(c.Log.Level)) != nil {
		fault("log.level: %q is none of debug, info, warn, error", c.Log.Level)
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}
