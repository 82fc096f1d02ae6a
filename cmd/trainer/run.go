package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/process"
	"gavel/internal/stream/nats"
	"gavel/internal/trainer"
)

// runTrainer starts the pipelines and the admin server, waits, and stops them in reverse order.
func runTrainer(ctx context.Context, path string, stderr io.Writer) (err error) {
	c, recipes, err := load(path)
	if err != nil {
		return err
	}
	log := process.NewLogger(c.Log.Level, c.Log.Format, stderr)
	unlock, err := lockStateDir(c.StateDir)
	if err != nil {
		return err
	}
	defer unlock()
	registry := prometheus.NewRegistry()
	registry.MustRegister(build.Metric(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	stream, err := nats.Connect(nats.Options{URL: c.StreamURL, TokenFile: c.TokenFile, Name: "trainer", Logger: log})
	if err != nil {
		return fmt.Errorf("trainer: cannot reach the stream: %w (stream_url, token_file)", err)
	}
	defer stream.Close()

	metrics := trainer.NewMetrics(registry)
	pipelines := make([]*trainer.Pipeline, len(recipes))
	for i, r := range recipes {
		pipelines[i], err = trainer.New(trainer.Options{
			Recipe: r, RecipePath: c.Recipes[i], Python: c.Python, Dir: c.PythonDir, StateDir: c.StateDir,
			Store: dir.New(c.Store), Keep: c.Keep, Objects: filepath.Join(c.Store, models.ObjectsDir), Check: checker(c.Store), Stream: stream,
			ArchiveDir: c.ArchiveDir, ArchiveRows: c.ArchiveRows, ArchiveFiles: c.ArchiveFiles,
			Reorder: c.Reorder, MaxPending: c.MaxPending, FlushEvery: c.FlushEvery, QueueFrames: c.QueueFrames,
			HelloTimeout: c.HelloTimeout, StallTimeout: c.StallTimeout, StopTimeout: c.StopTimeout,
			BackoffMin: c.BackoffMin, BackoffMax: c.BackoffMax, Logger: log, Metrics: metrics,
		})
		if err != nil {
			return err
		}
	}
	admin, err := startAdmin(c.AdminListen, c.AdminHosts, registry, pipelines, log)
	if err != nil {
		return err
	}
	defer stopAdmin(admin, log)

	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan error, len(pipelines)) // one each
	var wg sync.WaitGroup
	for _, p := range pipelines {
		wg.Go(func() {
			ends <- p.Run(running)
			cancel() // a recipe that cannot be learnt ends the process, so that somebody notices
		})
	}
	log.Info("trainer runs", "recipes", c.Recipes, "admin", admin.Addr())
	wg.Wait()
	close(ends)
	var faults []error
	for end := range ends {
		faults = append(faults, end)
	}
	log.Info("trainer stopped")
	return errors.Join(faults...)
}

// lockStateDir makes sure that only one trainer uses these checkpoints.
func lockStateDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("trainer: cannot make state_dir: %w", err)
	}
	path := dir + "/lock"
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("trainer: cannot lock state_dir: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("trainer: cannot lock %s: another trainer uses this state_dir; stop it or name another directory: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

// startAdmin serves health, readiness, the pipelines' status and metrics.
func startAdmin(address string, hosts []string, metrics prometheus.Gatherer, pipelines []*trainer.Pipeline, log *slog.Logger) (*process.Admin, error) {
	status := func(ok func(trainer.Status) bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			all, code := make([]trainer.Status, 0, len(pipelines)), http.StatusOK
			for _, p := range pipelines {
				s := p.Status()
				all = append(all, s)
				if !ok(s) {
					code = http.StatusServiceUnavailable
				}
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(all)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", status(func(s trainer.Status) bool { return s.State != "stopped" }))
	mux.HandleFunc("GET /readyz", status(func(s trainer.Status) bool { return s.State == "learning" }))
	admin, err := process.StartAdmin(address, hosts, mux, metrics, log)
	if err != nil {
		return nil, fmt.Errorf("trainer: cannot start: %w", err)
	}
	return admin, nil
}

func stopAdmin(admin *process.Admin, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := admin.Shutdown(ctx); err != nil {
		log.Warn("admin connections were cut", "error", err)
	}
}
