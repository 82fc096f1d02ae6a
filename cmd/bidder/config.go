package main

import (
	"maps"
	"slices"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/engine/workers"
	"gavel/internal/events/outlet"
	"gavel/internal/models"
	"gavel/internal/privacy"
	"gavel/internal/process"
	"gavel/internal/scoring"
	"gavel/internal/sellers"
	"gavel/internal/strictyaml"
)

// Config is the bidder's configuration file. docs/configuration.md describes every key. A key that the file leaves out has
// its value in Defaults.
type Config struct {
	Name        string `yaml:"name"`
	Listen      string `yaml:"listen"`
	AdminListen string `yaml:"admin_listen"`
	// AdminHosts are further names of the admin server, for its check of Host.
	AdminHosts   []string `yaml:"admin_hosts"`
	HealthListen string   `yaml:"health_listen"` // "" means none
	PublicURL    string   `yaml:"public_url"`
	StateDir     string   `yaml:"state_dir"`
	Campaigns    string   `yaml:"campaigns"`

	// Sellers are the exchanges that may call, by name.
	Sellers map[string]sellers.Settings `yaml:"sellers"`
	Notices struct {
		Listen string `yaml:"listen"`
	} `yaml:"notices"`

	ModelStore string `yaml:"model_store"`
	// Models are the served models, by name. If it is empty, the models that Auction names are served.
	Models map[string]scoring.Settings `yaml:"models"`

	// Discover serves the models of the store that Models does not name.
	Discover struct {
		Enabled     bool   `yaml:"enabled"`
		Pattern     string `yaml:"pattern"`      // of path.Match
		MemoryBytes int64  `yaml:"memory_bytes"` // 0 means no bound
	} `yaml:"discover"`

	Auction struct {
		Click             string        `yaml:"click"`      // a name of Models
		Conversion        string        `yaml:"conversion"` // a name of Models; "" means none
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

	// Plans bound what the plans of all models keep of their results, in bytes. 0 keeps nothing.
	Plans struct {
		StageCacheBytes int64 `yaml:"stage_cache_bytes"`
		RowCacheBytes   int64 `yaml:"row_cache_bytes"`
	} `yaml:"plans"`

	// Workers are the Python processes of models whose engine is workers. They are started if there is such a model.
	Workers struct {
		workers.Settings `yaml:",inline"`
		Trusted          bool `yaml:"trusted"` // versions may hold pickles
	} `yaml:"workers"`

	Predict struct {
		Listen      string        `yaml:"listen"`
		Timeout     time.Duration `yaml:"timeout"`
		BodyBytes   int           `yaml:"body_bytes"`
		Rows        int           `yaml:"rows"`
		Connections int           `yaml:"connections"`
	} `yaml:"predict"`

	Limits struct {
		BodyBytes     int           `yaml:"body_bytes"`
		Auctions      int           `yaml:"auctions"`
		CPUWait       time.Duration `yaml:"cpu_wait"`
		GCPercent     int           `yaml:"gc_percent"`
		GCBytes       int64         `yaml:"gc_bytes"`
		UnderWayBytes int64         `yaml:"under_way_bytes"`
		Connections   int           `yaml:"connections"`
		DrainDelay    time.Duration `yaml:"drain_delay"`
		ReadTimeout   time.Duration `yaml:"read_timeout"`
		WriteTimeout  time.Duration `yaml:"write_timeout"`
		IdleTimeout   time.Duration `yaml:"idle_timeout"`
	} `yaml:"limits"`

	Privacy privacy.Rules `yaml:"privacy"`

	Budget struct {
		Reservation time.Duration `yaml:"reservation"`
		LeaseShare  float64       `yaml:"lease_share"`
	} `yaml:"budget"`

	Events outlet.Settings     `yaml:"events"`
	Log    process.LogSettings `yaml:"log"`
}

// Defaults returns the configuration of an empty file.
func Defaults() Config {
	var c Config
	c.Name = "bidder"
	c.Listen = "127.0.0.1:8090"
	c.AdminListen = "127.0.0.1:8091"
	c.Notices.Listen = "127.0.0.1:8089"
	c.PublicURL = "http://127.0.0.1:8089"
	c.StateDir = "var/bidder"
	c.Campaigns = "configs/campaigns.yaml"
	c.ModelStore = "var/store"
	c.Discover.Pattern = "*"
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
	c.Workers.Settings = workers.DefaultSettings()
	c.Predict.Timeout = 100 * time.Millisecond
	c.Predict.BodyBytes = 1 << 20
	c.Predict.Rows = 1024
	c.Predict.Connections = 1024
	c.Limits.BodyBytes = 256 << 10
	c.Limits.Auctions = 4096
	c.Limits.CPUWait = 2 * time.Millisecond
	c.Limits.GCPercent = 400
	c.Limits.GCBytes = 256 << 20
	c.Limits.UnderWayBytes = 128 << 20
	c.Limits.Connections = 16384
	c.Limits.DrainDelay = time.Second
	c.Limits.ReadTimeout = 5 * time.Second
	c.Limits.WriteTimeout = 5 * time.Second
	c.Limits.IdleTimeout = 75 * time.Second
	c.Privacy = privacy.Defaults()
	c.Budget.Reservation = time.Minute
	c.Budget.LeaseShare = 0.1
	c.Events = outlet.Defaults("127.0.0.1:4222", "var/stream")
	c.Log = process.LogSettings{Level: "info", Format: "text"}
	return c
}

// LoadConfig reads a configuration file. If the file has faults, the error lists them all.
func LoadConfig(path string) (Config, error) {
	c := Defaults()
	err := strictyaml.ReadFile(path, &c)
	return c, err
}

// served returns the names of the models that the bidder serves, sorted.
func (c *Config) served() []string {
	if len(c.Models) > 0 {
		return slices.Sorted(maps.Keys(c.Models))
	}
	names := []string{c.Auction.Click}
	if c.Auction.Conversion != "" && c.Auction.Conversion != c.Auction.Click {
		names = append(names, c.Auction.Conversion)
	}
	return names
}

// shared returns the settings of batcher, which hold for each model that does not set its own.
func (c *Config) shared() scoring.Settings {
	b := &c.Batcher
	return scoring.Settings{
		Policy: &b.Policy, MaxRows: &b.MaxRows, MaxWait: &b.MaxWait, QueueRows: &b.QueueRows, Runners: &b.Runners,
	}
}

// formats returns the format that each model serves, for models that choose one.
func (c *Config) formats() map[string]string {
	chosen := map[string]string{}
	for name, settings := range c.Models {
		if settings.Engine != nil {
			chosen[name] = *settings.Engine
		}
	}
	return chosen
}

// usesWorkers says whether any model's engine is Python workers.
func (c *Config) usesWorkers() bool {
	return slices.Contains(slices.Collect(maps.Values(c.formats())), models.WorkersFormat)
}

// batching returns the settings of a served model: its own, and those of batcher for what it does not set.
func (c *Config) batching(model string) scoring.Settings { return c.Models[model].Inherit(c.shared()) }
