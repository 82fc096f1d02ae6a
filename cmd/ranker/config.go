package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gavel/internal/engine/workers"
	"gavel/internal/events/outlet"
	"gavel/internal/privacy"
	"gavel/internal/process"
	"gavel/internal/rank"
	"gavel/internal/rank/explore"
	"gavel/internal/rank/profile"
	"gavel/internal/strictyaml"
)

// config is the ranker's configuration file. docs/configuration.md describes every key. A key that the file leaves out has its
// value in defaults.
type config struct {
	Name        string `yaml:"name"`
	Listen      string `yaml:"listen"`
	AdminListen string `yaml:"admin_listen"`
	// AdminHosts are further names of the admin server, for its check of Host.
	AdminHosts   []string `yaml:"admin_hosts"`
	HealthListen string   `yaml:"health_listen"` // "" means none
	StateDir     string   `yaml:"state_dir"`
	Campaigns    string   `yaml:"campaigns"`

	// Models are what scores campaigns, by name; nil: defaultModels.
	Models  map[string]modelConfig `yaml:"models"`
	Workers workers.Settings       `yaml:"workers"`

	Profile struct {
		Fields        map[string][]string `yaml:"fields"`
		CountryHeader string              `yaml:"country_header"`
		Contextual    []string            `yaml:"contextual"`
	} `yaml:"profile"`

	Privacy privacy.Rules `yaml:"privacy"`

	Rank struct {
		Deadline time.Duration `yaml:"deadline"`
		Limit    int           `yaml:"limit"`
		MaxLimit int           `yaml:"max_limit"`
		By       string        `yaml:"by"`
		Policy   string        `yaml:"policy"`
	} `yaml:"rank"`

	Click struct {
		By     string `yaml:"by"`
		Policy string `yaml:"policy"`
	} `yaml:"click"`

	Explore struct {
		Epsilon       float64 `yaml:"epsilon"`
		PriorVariance float64 `yaml:"prior_variance"`
		Seed          uint64  `yaml:"seed"`
	} `yaml:"explore"`

	Sale struct {
		TTL time.Duration `yaml:"ttl"`
	} `yaml:"sale"`

	Limits struct {
		BodyBytes     int           `yaml:"body_bytes"`
		GCPercent     int           `yaml:"gc_percent"`
		GCBytes       int64         `yaml:"gc_bytes"`
		UnderWayBytes int64         `yaml:"under_way_bytes"`
		Connections   int           `yaml:"connections"`
		DrainDelay    time.Duration `yaml:"drain_delay"`
		ReadTimeout   time.Duration `yaml:"read_timeout"`
		WriteTimeout  time.Duration `yaml:"write_timeout"`
		IdleTimeout   time.Duration `yaml:"idle_timeout"`
	} `yaml:"limits"`

	Events outlet.Settings     `yaml:"events"`
	Log    process.LogSettings `yaml:"log"`
}

// defaults returns the configuration of an empty file.
func defaults() *config {
	var c config
	c.Name = "ranker"
	c.Listen = "127.0.0.1:8095"
	c.AdminListen = "127.0.0.1:8096"
	c.StateDir = "var/ranker"
	c.Campaigns = "configs/rank-campaigns.yaml"
	c.Workers = workers.DefaultSettings()
	c.Profile.Contextual = slices.Clone(profile.Contextual)
	c.Privacy = privacy.Defaults()
	c.Rank.Deadline = 200 * time.Millisecond
	c.Rank.Limit = 10
	c.Rank.MaxLimit = 100
	c.Rank.By = "probability"
	c.Rank.Policy = string(explore.Best)
	c.Click.By = "value"
	c.Click.Policy = string(explore.EpsilonGreedy)
	c.Explore.Epsilon = 0.1
	c.Explore.PriorVariance = 1
	c.Sale.TTL = 30 * 24 * time.Hour
	c.Limits.BodyBytes = 1 << 20
	c.Limits.GCPercent = 400
	c.Limits.GCBytes = 256 << 20
	c.Limits.UnderWayBytes = 128 << 20
	c.Limits.Connections = 16384
	c.Limits.DrainDelay = time.Second
	c.Limits.ReadTimeout = 5 * time.Second
	c.Limits.WriteTimeout = 5 * time.Second
	c.Limits.IdleTimeout = 75 * time.Second
	c.Events = outlet.Defaults("127.0.0.1:4223", "var/ranker/stream")
	c.Log = process.LogSettings{Level: "info", Format: "text"}
	return &c
}

// loadConfig reads a configuration file. If the file has faults, the error lists them all.
func loadConfig(path string) (*config, error) {
	c := defaults()
	if err := strictyaml.ReadFile(path, c); err != nil {
		return nil, err
	}
	return c, nil
}

// Validate implements strictyaml.Validator. It fills in the models of a file that names none, and returns every fault, sorted.
func (c *config) Validate() (faults []error) {
	if len(c.Models) == 0 {
		c.Models = defaultModels()
	}
	check := func(ok bool, key, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
		}
	}
	c.checkAddresses(check)
	for key, value := range map[string]string{
		"name": c.Name, "state_dir": c.StateDir, "campaigns": c.Campaigns,
	} {
		check(value != "", key, "is empty; set it")
	}
	check(len(c.Name) <= 64, "name", "is %d bytes long; use at most 64", len(c.Name))
	if profiles, err := profile.NewReader(c.Profile.Fields); err != nil {
		faults = append(faults, err.(interface{ Unwrap() []error }).Unwrap()...) // it joins them
	} else {
		for _, name := range c.Profile.Contextual {
			check(slices.Contains(profiles.Fields(), name), "profile.contextual", "%q is no field of a profile; the fields are %q", name, profiles.Fields())
		}
	}
	faults = append(faults, c.Privacy.Faults("privacy")...)
	check(!strings.ContainsAny(c.Profile.CountryHeader, " :\r\n"), "profile.country_header", "%q is no header's name", c.Profile.CountryHeader)
	c.checkModels(check)
	if c.uses(scorerWorkers) {
		faults = append(faults, c.Workers.Faults()...)
	}
	r := &c.Rank
	check(r.Deadline >= time.Millisecond && r.Deadline <= rank.MaxDeadline, "rank.deadline", "%v must be 1ms to %v", r.Deadline, rank.MaxDeadline)
	check(r.MaxLimit >= 1 && r.MaxLimit <= rank.MaxAnswers, "rank.max_limit", "%d must be 1 to %d", r.MaxLimit, rank.MaxAnswers)
	check(r.Limit >= 1 && r.Limit <= r.MaxLimit, "rank.limit", "%d must be 1 to rank.max_limit (%d)", r.Limit, r.MaxLimit)
	for key, by := range map[string]string{"rank.by": r.By, "click.by": c.Click.By} {
		check(slices.Contains(rank.Orders, by), key, "%q is none of %q", by, rank.Orders)
	}
	for key, policy := range map[string]string{"rank.policy": r.Policy, "click.policy": c.Click.Policy} {
		check(slices.Contains(explore.Policies, explore.Policy(policy)), key, "%q is none of %q", policy, explore.Policies)
	}
	check(c.Explore.Epsilon >= 0 && c.Explore.Epsilon <= 1, "explore.epsilon", "%v must be 0 to 1", c.Explore.Epsilon)
	check(c.Explore.PriorVariance > 0 && c.Explore.PriorVariance <= 100, "explore.prior_variance", "%v must be above 0 and at most 100", c.Explore.PriorVariance)
	for key, value := range map[string]int64{
		"sale.ttl": int64(c.Sale.TTL), "limits.body_bytes": int64(c.Limits.BodyBytes), "limits.connections": int64(c.Limits.Connections),
		"limits.gc_percent": int64(c.Limits.GCPercent), "limits.gc_bytes": c.Limits.GCBytes,
		"limits.read_timeout": int64(c.Limits.ReadTimeout), "limits.write_timeout": int64(c.Limits.WriteTimeout),
		"limits.idle_timeout": int64(c.Limits.IdleTimeout),
	} {
		check(value > 0, key, "must be above 0")
	}
	check(c.Limits.UnderWayBytes >= int64(c.Limits.BodyBytes)+process.MaxHead, "limits.under_way_bytes", "%d is too little for one request; set it to some hundred times limits.body_bytes", c.Limits.UnderWayBytes)
	check(c.Limits.DrainDelay >= 0 && c.Limits.DrainDelay <= process.MaxDrain, "limits.drain_delay", "%v must be 0s to %v", c.Limits.DrainDelay, process.MaxDrain)
	faults = append(faults, c.Events.Faults()...)
	faults = append(faults, c.Log.Faults()...)
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

func (c *config) checkAddresses(check func(ok bool, key, format string, args ...any)) {
	for key, value := range map[string]string{"listen": c.Listen, "admin_listen": c.AdminListen} {
		_, _, err := process.SplitPort(value)
		check(err == nil, key, "%q is not host:port; write 127.0.0.1:8095, say", value)
	}
	if c.HealthListen != "" {
		_, _, err := process.SplitPort(c.HealthListen)
		check(err == nil, "health_listen", "%q is not host:port; write 127.0.0.1:8098, say, or nothing", c.HealthListen)
	}
}
