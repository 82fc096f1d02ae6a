package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gavel/internal/campaigns/watch"
	"gavel/internal/datasets"
	"gavel/internal/process"
	"gavel/internal/rank/consumer"
	"gavel/internal/rank/landings"
	"gavel/internal/rank/profile"
	"gavel/internal/stream/nats"
	"gavel/internal/strictyaml"
	"gavel/internal/trainer"
)

// rankConfig is configs/rank-trainer.yaml.
type rankConfig struct {
	AdminListen string   `yaml:"admin_listen"`
	AdminHosts  []string `yaml:"admin_hosts"`
	StreamURL   string   `yaml:"stream_url"`
	TokenFile   string   `yaml:"token_file"`
	Campaigns   string   `yaml:"campaigns"`
	Datasets    string   `yaml:"datasets"`
	DataSet     string   `yaml:"data_set"`
	Fields      []string `yaml:"fields"`
	Classifiers string   `yaml:"classifiers"`
	Recipe      string   `yaml:"recipe"`
	Python      []string `yaml:"python"`
	PythonDir   string   `yaml:"python_dir"`

	Window     time.Duration `yaml:"window"`
	Retention  time.Duration `yaml:"retention"`
	Reorder    time.Duration `yaml:"reorder"`
	MaxPending int           `yaml:"max_pending"`
	FlushEvery time.Duration `yaml:"flush_every"`

	StopTimeout time.Duration `yaml:"stop_timeout"`
	BackoffMin  time.Duration `yaml:"backoff_min"`
	BackoffMax  time.Duration `yaml:"backoff_max"`

	Log struct {
		Level  slog.Level `yaml:"level"`
		Format string     `yaml:"format"`
	} `yaml:"log"`
}

func rankDefaults() *rankConfig {
	c := &rankConfig{
		AdminListen: "127.0.0.1:8097", StreamURL: "nats://127.0.0.1:4223", TokenFile: "var/ranker/stream.token",
		Campaigns: "configs/rank-campaigns.yaml", Datasets: "var/datasets", DataSet: "sale", Classifiers: "var/classifiers",
		Fields: slices.Clone(profile.Names),
		Recipe: "models/sale/prior.yaml", Python: []string{".venv/bin/python", "-m", "pytrain"},
		Window: time.Hour, Retention: 30 * 24 * time.Hour, Reorder: 2 * time.Second, MaxPending: 2_000_000, FlushEvery: time.Minute,
		StopTimeout: 30 * time.Second, BackoffMin: 500 * time.Millisecond, BackoffMax: 30 * time.Second,
	}
	c.Log.Format = "text"
	return c
}

// Validate returns every fault; strictyaml calls it.
func (c *rankConfig) Validate() []error {
	var faults []error
	check := func(ok bool, key, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
		}
	}
	_, _, err := process.SplitPort(c.AdminListen)
	check(err == nil, "admin_listen", "%q is not a host:port, such as 127.0.0.1:8097", c.AdminListen)
	u, err := url.Parse(c.StreamURL)
	check(err == nil && u.Host != "", "stream_url", "want one such as nats://127.0.0.1:4223")
	for key, value := range map[string]string{"campaigns": c.Campaigns, "datasets": c.Datasets, "data_set": c.DataSet, "classifiers": c.Classifiers, "recipe": c.Recipe} {
		check(value != "", key, "is empty; name a file or directory")
	}
	check(len(c.Fields) > 0, "fields", "is empty; name the fields of the ranker's profiles")
	check(len(c.Python) > 0, "python", "is empty; want the command that runs pytrain, such as [.venv/bin/python, -m, pytrain]")
	check(c.MaxPending > 0, "max_pending", "%d is not above 0", c.MaxPending)
	for key, value := range map[string]time.Duration{"window": c.Window, "reorder": c.Reorder, "flush_every": c.FlushEvery,
		"stop_timeout": c.StopTimeout, "backoff_min": c.BackoffMin, "backoff_max": c.BackoffMax} {
		check(value >= time.Millisecond, key, "%v is below 1ms", value)
	}
	check(c.Retention == 0 || c.Retention >= c.Window, "retention", "%v is below window, %v; 0 keeps everything", c.Retention, c.Window)
	check(c.BackoffMax >= c.BackoffMin, "backoff_max", "%v is below backoff_min, %v", c.BackoffMax, c.BackoffMin)
	check(c.Log.Format == "text" || c.Log.Format == "json", "log.format", "%q is unknown; use text or json", c.Log.Format)
	return faults
}

// runRank starts what trains classifiers: the consumer, which fills the data set, and pytrain, which trains what changed. It
// waits, and stops them in reverse order.
func runRank(ctx context.Context, path string, stderr io.Writer) error {
	c := rankDefaults()
	if err := strictyaml.ReadFile(path, c); err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	log := process.NewLogger(c.Log.Level, c.Log.Format, stderr)
	registry := prometheus.NewRegistry()
	registry.MustRegister(build.Metric(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	campaigns, err := watch.Open(watch.Options[*landings.Set]{Path: c.Campaigns, Parse: landings.Parse, Log: log, Registerer: registry})
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	set, err := datasets.Open(c.Datasets, c.DataSet, datasets.Options{Fields: c.Fields, Retention: c.Retention, Log: log})
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	defer set.Close()
	stream, err := nats.Connect(nats.Options{URL: c.StreamURL, TokenFile: c.TokenFile, Name: "rank trainer", Logger: log})
	if err != nil {
		return fmt.Errorf("trainer: cannot reach the stream: %w (stream_url, token_file)", err)
	}
	defer stream.Close()
	reads, err := consumer.New(consumer.Options{
		Stream: stream, Set: set, Window: c.Window, Reorder: c.Reorder, MaxPending: c.MaxPending, FlushEvery: c.FlushEvery,
		Active: func() []string { return campaigns.Set().IDs }, Metrics: consumer.NewMetrics(registry), Log: log,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	admin, err := process.StartAdmin(c.AdminListen, c.AdminHosts, health(), registry, log)
	if err != nil {
		return fmt.Errorf("trainer: cannot start: %w", err)
	}
	defer stopAdmin(admin, log)

	parts := process.NewParts("trainer", log)
	parts.Loop("campaign watch", c.StopTimeout, campaigns.Run)
	parts.Loop("consumer", c.StopTimeout, reads.Run)
	training := &trainer.Classifiers{
		Python: c.Python, Dir: c.PythonDir, Data: filepath.Join(c.Datasets, c.DataSet), Out: c.Classifiers, Recipe: c.Recipe,
		StopTimeout: c.StopTimeout, BackoffMin: c.BackoffMin, BackoffMax: c.BackoffMax,
		Metrics: trainer.NewClassifierMetrics(registry), Log: log,
	}
	parts.Loop("training", 2*c.StopTimeout, func(ctx context.Context) error { return trainer.RunClassifiers(ctx, training) })
	log.Info("trainer of classifiers runs", "data_set", training.Data, "classifiers", c.Classifiers, "admin", admin.Addr())
	err = parts.Wait(ctx)
	err = errors.Join(err, parts.Stop())
	log.Info("trainer of classifiers stopped")
	return err
}

// health answers while the process runs: a part that ends, ends the process.
func health() *http.ServeMux {
	mux := http.NewServeMux()
	for _, path := range []string{"GET /healthz", "GET /readyz"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	}
	return mux
}
