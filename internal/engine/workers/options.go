package workers

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

// Options say how a pool runs. The zero value of each has a meaning. docs/workers.md has the table.
type Options struct {
	Python    string // the interpreter; empty: .venv/bin/python
	Dir       string // working directory of the processes, from which package pytrain can be imported; empty: the parent's
	Workers   int    // worker processes; 0: GOMAXPROCS
	Preparers int    // processes that read estimators; 0: 1
	// CacheDir is where the directory of prepared files is made, which the pool removes when it closes. Empty: the system's
	// directory for temporary files. On a tmpfs, prepared files take memory.
	CacheDir string
	// Memory bounds the estimators that all workers together hold, in bytes of their prepared files; 0: 1 GiB.
	Memory int64
	// ProcessMemory bounds the address space of each process in bytes (RLIMIT_AS); 0: none. scikit-learn alone takes about 2 GiB
	// of address space, of which it uses a tenth.
	ProcessMemory int64
	BatchTime     time.Duration // aim for the duration of a batch; 0: 5 ms
	StealAfter    time.Duration // a home with more work than this waiting lets others load its classifiers; 0: 10 ms
	QueueTasks    int           // bound on tasks that wait; 0: 100,000
	// AnswerTimeout is how long a worker may take for a batch before it is killed; 0: 2 s. PrepareTimeout is the same for one
	// estimator and the preparer; 0: 60 s. HelloTimeout bounds the start of a process; 0: 60 s.
	AnswerTimeout, PrepareTimeout, HelloTimeout time.Duration
	// Refuse is how long a classifier is refused after its task killed two workers; 0: 1 minute.
	Refuse  time.Duration
	Dealing bool // each worker has a queue of its own, and nothing is stolen
	Log     *slog.Logger
}

// filled returns the options with defaults, or every fault.
func (o Options) filled() (Options, error) {
	var faults []error
	fill := func(name string, value *time.Duration, to time.Duration) {
		if *value < 0 {
			faults = append(faults, fmt.Errorf("workers: %s is %v, must not be negative", name, *value))
		}
		if *value == 0 {
			*value = to
		}
	}
	count := func(name string, value *int, to, most int) {
		if *value < 0 || *value > most {
			faults = append(faults, fmt.Errorf("workers: %s is %d, must be 0 to %d", name, *value, most))
		}
		if *value == 0 {
			*value = to
		}
	}
	fill("batch_time", &o.BatchTime, 5*time.Millisecond)
	fill("steal_after", &o.StealAfter, 10*time.Millisecond)
	fill("answer_timeout", &o.AnswerTimeout, 2*time.Second)
	fill("prepare_timeout", &o.PrepareTimeout, time.Minute)
	fill("hello_timeout", &o.HelloTimeout, time.Minute)
	fill("refuse", &o.Refuse, time.Minute)
	count("workers", &o.Workers, runtime.GOMAXPROCS(0), 1024)
	count("preparers", &o.Preparers, 1, 64)
	count("queue_tasks", &o.QueueTasks, 100_000, 10_000_000)
	if o.Memory < 0 || o.ProcessMemory < 0 {
		faults = append(faults, fmt.Errorf("workers: memory %d and process_memory %d must not be negative", o.Memory, o.ProcessMemory))
	}
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	if o.Python == "" {
		o.Python = ".venv/bin/python"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(faults...)
}
