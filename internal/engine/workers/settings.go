package workers

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"
)

// Settings are a pool's, as a configuration file has them under the key workers. docs/configuration.md describes every key.
type Settings struct {
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

// DefaultSettings are those of a file without the key.
func DefaultSettings() Settings {
	return Settings{
		Python: ".venv/bin/python", Directory: ".", Preparers: 1, Memory: 1 << 30, QueueTasks: 100_000, BatchTime: 5 * time.Millisecond,
		StealAfter: 10 * time.Millisecond, AnswerTimeout: 2 * time.Second, PrepareTimeout: time.Minute, HelloTimeout: time.Minute, Refuse: time.Minute,
	}
}

// Faults returns every fault, each with its key.
func (s *Settings) Faults() (faults []error) {
	check := func(ok bool, key, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("workers.%s: %s", key, fmt.Sprintf(format, args...)))
		}
	}
	for key, value := range map[string]string{"python": s.Python, "directory": s.Directory} {
		check(value != "", key, "is empty; set it")
	}
	check(s.Count >= 0 && s.Count <= 1024, "count", "%d must be 0 (one a processor) to 1024", s.Count)
	check(s.Preparers >= 1 && s.Preparers <= 64, "preparers", "%d must be 1 to 64", s.Preparers)
	check(s.QueueTasks >= 1 && s.QueueTasks <= 10_000_000, "queue_tasks", "%d must be 1 to 10000000", s.QueueTasks)
	check(s.Memory > 0, "memory", "must be above 0")
	check(s.ProcessMemory >= 0, "process_memory", "must be 0 (no bound) or above")
	for key, value := range map[string]time.Duration{"batch_time": s.BatchTime, "steal_after": s.StealAfter, "answer_timeout": s.AnswerTimeout,
		"prepare_timeout": s.PrepareTimeout, "hello_timeout": s.HelloTimeout, "refuse": s.Refuse} {
		check(value > 0, key, "must be above 0")
	}
	return faults
}

// CheckProcesses returns what the processes lack on this machine: their interpreter, or their directory.
func (s *Settings) CheckProcesses() error {
	var faults []error
	if _, err := exec.LookPath(s.Python); err != nil {
		faults = append(faults, fmt.Errorf("workers.python: %w", err))
	}
	if info, err := os.Stat(s.Directory); err != nil {
		faults = append(faults, fmt.Errorf("workers.directory: %w", err))
	} else if !info.IsDir() {
		faults = append(faults, fmt.Errorf("workers.directory: %s is no directory", s.Directory))
	}
	return errors.Join(faults...)
}

// Options are the settings as Start takes them.
func (s *Settings) Options(log *slog.Logger) Options {
	return Options{Python: s.Python, Dir: s.Directory, Workers: s.Count, Preparers: s.Preparers, CacheDir: s.CacheDir, Memory: s.Memory,
		ProcessMemory: s.ProcessMemory, BatchTime: s.BatchTime, StealAfter: s.StealAfter, QueueTasks: s.QueueTasks, AnswerTimeout: s.AnswerTimeout,
		PrepareTimeout: s.PrepareTimeout, HelloTimeout: s.HelloTimeout, Refuse: s.Refuse, Dealing: s.Dealing, Log: log}
}
