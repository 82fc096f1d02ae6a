package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"gavel/internal/process"
	"gavel/internal/recipe"
	"gavel/internal/strictyaml"
)

// config is configs/trainer.yaml. Durations are as in Go: 500ms, 30s, 5m.
type config struct {
	AdminListen string   `yaml:"admin_listen"`
	AdminHosts  []string `yaml:"admin_hosts"`
	StreamURL   string   `yaml:"stream_url"`
	TokenFile   string   `yaml:"token_file"`
	Store       string   `yaml:"store"`
	Keep        int      `yaml:"keep_versions"`
	StateDir    string   `yaml:"state_dir"`
	Recipes     []string `yaml:"recipes"`
	Python      []string `yaml:"python"`
	PythonDir   string   `yaml:"python_dir"`

	ArchiveDir   string `yaml:"archive_dir"`
	ArchiveRows  int    `yaml:"archive_rows"`
	ArchiveFiles int    `yaml:"archive_files"`

	Reorder     time.Duration `yaml:"reorder"`
	MaxPending  int           `yaml:"max_pending"`
	FlushEvery  time.Duration `yaml:"flush_every"`
	QueueFrames int           `yaml:"queue_frames"`

	HelloTimeout time.Duration `yaml:"hello_timeout"`
	StallTimeout time.Duration `yaml:"stall_timeout"`
	StopTimeout  time.Duration `yaml:"stop_timeout"`
	BackoffMin   time.Duration `yaml:"backoff_min"`
	BackoffMax   time.Duration `yaml:"backoff_max"`

	Log struct {
		Level  slog.Level `yaml:"level"`
		Format string     `yaml:"format"`
	} `yaml:"log"`
}

func defaults() *config {
	c := &config{
		AdminListen: "127.0.0.1:8092", StreamURL: "nats://127.0.0.1:4222", Store: "var/store", Keep: 20, StateDir: "var/trainer",
		Python:     []string{".venv/bin/python", "-m", "pytrain"},
		ArchiveDir: "var/archive", ArchiveRows: 50_000, ArchiveFiles: 2_000,
		Reorder: 2 * time.Second, MaxPending: 2_000_000, FlushEvery: 500 * time.Millisecond, QueueFrames: 8,
		HelloTimeout: 2 * time.Minute, StallTimeout: 5 * time.Minute, StopTimeout: 30 * time.Second,
		BackoffMin: 500 * time.Millisecond, BackoffMax: 30 * time.Second,
	}
	c.Log.Format = "text"
	return c
}

// Validate returns an error that joins every fault; strictyaml calls it.
func (c *config) Validate() []error {
	var faults []error
	check := func(ok bool, key, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
		}
	}
	_, _, err := process.SplitPort(c.AdminListen)
	check(err == nil, "admin_listen", "%q is not a host:port, such as 127.0.0.1:8092", c.AdminListen)
	u, err := url.Parse(c.StreamURL)
	check(err == nil && u.Host != "", "stream_url", "want one such as nats://127.0.0.1:4222")
	for key, value := range map[string]string{"store": c.Store, "state_dir": c.StateDir} {
		check(value != "", key, "is empty; name a directory")
	}
	check(len(c.Recipes) > 0, "recipes", "is empty; name at least one, such as models/ctr/recipe.yaml")
	check(len(c.Python) > 0, "python", "is empty; want the command that runs pytrain, such as [.venv/bin/python, -m, pytrain]")
	for key, value := range map[string]int{"keep_versions": c.Keep, "archive_rows": c.ArchiveRows, "archive_files": c.ArchiveFiles,
		"max_pending": c.MaxPending, "queue_frames": c.QueueFrames} {
		check(value > 0, key, "%d is not above 0", value)
	}
	check(c.QueueFrames <= 1024, "queue_frames", "%d is above 1024", c.QueueFrames)
	for key, value := range map[string]time.Duration{"reorder": c.Reorder, "flush_every": c.FlushEvery, "hello_timeout": c.HelloTimeout,
		"stall_timeout": c.StallTimeout, "stop_timeout": c.StopTimeout, "backoff_min": c.BackoffMin, "backoff_max": c.BackoffMax} {
		check(value >= time.Millisecond, key, "%v is below 1ms", value)
	}
	check(c.BackoffMax >= c.BackoffMin, "backoff_max", "%v is below backoff_min, %v", c.BackoffMax, c.BackoffMin)
	check(c.Log.Format == "text" || c.Log.Format == "json", "log.format", "%q is unknown; use text or json", c.Log.Format)
	return faults
}

// load reads the configuration, and its recipes in the order named there. The error joins every fault and wraps errConfig.
func load(path string) (*config, []*recipe.Recipe, error) {
	c := defaults()
	if err := strictyaml.ReadFile(path, c); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	var faults []error
	recipes := make([]*recipe.Recipe, 0, len(c.Recipes))
	byModel := make(map[string]string, len(c.Recipes))
	for _, file := range c.Recipes {
		r, err := recipe.Load(file)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if before, twice := byModel[r.Model]; twice {
			faults = append(faults, fmt.Errorf("%s: model: %s is the model of %s too; rename one", file, r.Model, before))
		}
		byModel[r.Model] = file
		recipes = append(recipes, r)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	return c, recipes, nil
}
