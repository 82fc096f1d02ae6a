package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/estimators"
)

// workersConfig are the settings of the scorer workers. docs/workers.md describes every key.
type workersConfig struct {
	Estimators string `yaml:"estimators"`
	Trusted    bool   `yaml:"trusted"`

	Python    string `yaml:"python"`
	Directory string `yaml:"directory"`
	CacheDir  string `yaml:"cache_dir"`

	Count         int   `yaml:"count"`
	Preparers     int   `yaml:"preparers"`
	Memory        int64 `yaml:"memory"`
	ProcessMemory int64 `yaml:"process_memory"`
	QueueTasks    int   `yaml:"queue_tasks"`
	Dealing       bool  `yaml:"dealing"`

	BatchTime      time.Duration `yaml:"batch_time"`
	StealAfter     time.Duration `yaml:"steal_after"`
	AnswerTimeout  time.Duration `yaml:"answer_timeout"`
	PrepareTimeout time.Duration `yaml:"prepare_timeout"`
	HelloTimeout   time.Duration `yaml:"hello_timeout"`
	Refuse         time.Duration `yaml:"refuse"`
}

func (c *workersConfig) setDefaults() {
	c.Estimators = "var/estimators"
	c.Python = ".venv/bin/python"
	c.Directory = "."
	c.Preparers = 1
	c.Memory = 1 << 30
	c.QueueTasks = 100_000
	c.BatchTime = 5 * time.Millisecond
	c.StealAfter = 10 * time.Millisecond
	c.AnswerTimeout = 2 * time.Second
	c.PrepareTimeout = time.Minute
	c.HelloTimeout = time.Minute
	c.Refuse = time.Minute
}

func (c *workersConfig) validate(check func(ok bool, key, format string, args ...any)) {
	for key, value := range map[string]string{"estimators": c.Estimators, "python": c.Python, "directory": c.Directory} {
		check(value != "", "workers."+key, "is empty; set it")
	}
	check(c.Count >= 0 && c.Count <= 1024, "workers.count", "%d must be 0 (one a processor) to 1024", c.Count)
	check(c.Preparers >= 1 && c.Preparers <= 64, "workers.preparers", "%d must be 1 to 64", c.Preparers)
	check(c.QueueTasks >= 1 && c.QueueTasks <= 10_000_000, "workers.queue_tasks", "%d must be 1 to 10000000", c.QueueTasks)
	check(c.Memory > 0, "workers.memory", "must be above 0")
	check(c.ProcessMemory >= 0, "workers.process_memory", "must be 0 (no bound) or above")
	for key, value := range map[string]time.Duration{"batch_time": c.BatchTime, "steal_after": c.StealAfter, "answer_timeout": c.AnswerTimeout,
		"prepare_timeout": c.PrepareTimeout, "hello_timeout": c.HelloTimeout, "refuse": c.Refuse} {
		check(value > 0, "workers."+key, "must be above 0")
	}
}

// startWorkers starts the Python processes, and the scorer that follows the directory of estimators. The estimators are read while the
// ranker serves already.
func (r *ranker) startWorkers(ctx context.Context) error {
	c := &r.config.Workers
	pool, err := workers.Start(ctx, workers.Options{Python: c.Python, Dir: c.Directory, Workers: c.Count, Preparers: c.Preparers,
		CacheDir: c.CacheDir, Memory: c.Memory, ProcessMemory: c.ProcessMemory, BatchTime: c.BatchTime, StealAfter: c.StealAfter,
		QueueTasks: c.QueueTasks, AnswerTimeout: c.AnswerTimeout, PrepareTimeout: c.PrepareTimeout, HelloTimeout: c.HelloTimeout,
		Refuse: c.Refuse, Dealing: c.Dealing, Log: r.log})
	if err != nil {
		return fmt.Errorf("%w (workers.python, workers.directory)", err)
	}
	r.parts.OnStop("workers", closeTimeout, pool.Close)
	if err := r.metrics.Register(pool.Metrics()); err != nil {
		return fmt.Errorf("cannot register the workers' metrics: %w", err)
	}
	d, err := estimators.Open(pool, estimators.Options{Dir: c.Estimators, Trusted: c.Trusted, Readers: 2 * c.Preparers, Log: r.log,
		Registerer: r.metrics})
	if err != nil {
		return fmt.Errorf("%w: %w (workers.estimators, workers.trusted)", errConfig, err)
	}
	r.scorer, r.read = d, d.Ready
	r.shown = showEstimators(d, func() int64 { return pool.Stats().Bytes })
	r.parts.Loop("estimators", closeTimeout, d.Run)
	return nil
}

// checkWorkers checks what the workers will be given: the interpreter, and every description of an estimator. It reads no
// estimator, because a pickle runs code.
func checkWorkers(c *workersConfig) (described int, err error) {
	var faults []error
	if _, err := exec.LookPath(c.Python); err != nil {
		faults = append(faults, fmt.Errorf("workers.python: %w", err))
	}
	if info, err := os.Stat(c.Directory); err != nil {
		faults = append(faults, fmt.Errorf("workers.directory: %w", err))
	} else if !info.IsDir() {
		faults = append(faults, fmt.Errorf("workers.directory: %s is no directory", c.Directory))
	}
	described, err = estimators.Check(c.Estimators, c.Trusted)
	if err != nil {
		faults = append(faults, err)
	}
	return described, errors.Join(faults...)
}
