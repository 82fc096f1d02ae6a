package batcher

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"gavel/internal/host"
)

// Policy says when a batch that is not full leaves.
type Policy string

const (
	// Adaptive holds a batch the longer, the busier the processors are, up to MaxWait (see policy.go). Where joining does not
	// pay, callers run their own rows (see way.go).
	Adaptive Policy = "adaptive"
	// Eager runs whatever is queued as soon as a runner is free.
	Eager Policy = "eager"
	// Window holds a batch for MaxWait after its first claim.
	Window Policy = "window"
	// Off joins no claims. A claim gets batches of its own, and its caller runs them in its own goroutine when it
	// commits. It is for comparison and diagnosis.
	Off Policy = "off"
)

// Policies lists every Policy.
var Policies = []Policy{Adaptive, Eager, Window, Off}

// offRunners is the default of MaxRunners under Off: a tenth of the threads that Go allows a process.
const offRunners = 1024

// PoolOptions configures a Pool. The zero value is valid.
type PoolOptions struct {
	// Runners is how many batches may run at once, at most 1024; default GOMAXPROCS. Each runner is a goroutine locked
	// to its OS thread, which keeps the engine's thread-local caches warm.
	Runners int
	// RuntimeTimer selects Go's timers in place of a thread that sleeps precisely. In an idle Linux process they round
	// up to a millisecond. Set it under testing/synctest. It is implied where there is no precise sleeper.
	RuntimeTimer bool
	// CPU returns the CPU time that the process has used so far; default: what the system says. It is for tests. If CPU,
	// Processors or RuntimeTimer is set, the pool measures a load of its own, and not the process's. With RuntimeTimer
	// and without CPU, its load is 0.
	CPU func() time.Duration
	// Processors is how many processors the process may use; default: what host.Processors says. It is for tests.
	Processors int
	// Nice is the niceness of the runners' threads, 0 to 19, on Linux only. Raise it so that models in other pools take
	// precedence when processors are few. Callers' threads are not nice, so callers then run no batch of this pool,
	// neither inline nor as a rescue: if others take all the time, rows expire. For the same reason it excludes Off.
	Nice int
	// Logger gets the stacks of engines that panic, at most one a second; default slog.Default. Callers get the value
	// that the engine panicked with, without the stack.
	Logger *slog.Logger
}

// Defaults of QueueOptions, which the bidder's configuration shares.
const (
	DefaultMaxRows = 128
	DefaultMaxWait = 3 * time.Millisecond
)

// QueueOptions configures a Queue. A zero field has the default given.
type QueueOptions struct {
	// Name appears in errors and in Stats. It is usually "model/version".
	Name string
	// MaxRows is the capacity of a batch in rows; default DefaultMaxRows.
	MaxRows int
	// MaxWait is the longest that a batch waits for more claims; default DefaultMaxWait. Then it is due.
	MaxWait time.Duration
	// QueueRows bounds the rows claimed whose run has not begun, under Off those whose run has not ended; default
	// 32 × MaxRows.
	QueueRows int
	// Policy says when a batch that is not full leaves; default Adaptive.
	Policy Policy
	// Weight is this queue's share of the runs' CPU time, relative to other queues that need it; default 1.
	Weight float64
	// MaxRunners is how many of this queue's batches may run at once; default all runners. Leave one free if a slow
	// model shares runners with fast ones. Besides, as many callers may run their own claims (see way.go). Under Off it
	// bounds both together, each of which occupies an OS thread; default 1024. Batches beyond it wait for a runner.
	MaxRunners int
	// RescueAfter is how long a due batch may wait for a runner before one of its callers runs it; default 1 ms. If it
	// is negative, or the pool has Nice, no batch is rescued.
	RescueAfter time.Duration
	// RetryRuns bounds the extra runs that search a failed batch for its bad rows; default 32. One run of a row of zeros
	// may come on top. If the runs are used up, the rows left get ErrRun.
	RetryRuns int
	// CalibrationRuns is how many runs NewQueue times at each of the sizes 1, 2, 4, … MaxRows, to warm the engine up
	// and to fill the cost curve; default none. The rows are random if the engine is an engine.Sampler, else zeros.
	CalibrationRuns int
}

func (o *PoolOptions) fill() error {
	if o.Runners == 0 {
		o.Runners = runtime.GOMAXPROCS(0)
	}
	if o.Runners < 0 || o.Runners > 1024 {
		return fmt.Errorf("batcher: cannot make a pool: runners is %d, must be 0 (GOMAXPROCS) to 1024", o.Runners)
	}
	if o.Processors < 0 {
		return fmt.Errorf("batcher: cannot make a pool: processors is %d, must be 0 (what the process may use) or more", o.Processors)
	}
	if o.Nice < 0 || o.Nice > 19 {
		return fmt.Errorf("batcher: cannot make a pool: nice is %d, must be 0 to 19", o.Nice)
	}
	o.Logger = cmp.Or(o.Logger, slog.Default())
	return nil
}

// load returns the process's load, or one of the pool's own if a test sets its time or its CPU.
func (o *PoolOptions) load() *load {
	if o.CPU == nil && !o.RuntimeTimer && o.Processors == 0 {
		return ofProcess
	}
	cpu, processors := o.CPU, func() int { return cmp.Or(o.Processors, host.Processors()) }
	if cpu == nil && !o.RuntimeTimer {
		cpu = processCPU
	}
	return newLoad(cpu, processors)
}

// fill sets the defaults, then checks the options. Its error reports every fault.
func (o *QueueOptions) fill(pool PoolOptions) error {
	runners := pool.Runners
	o.MaxRows = cmp.Or(o.MaxRows, DefaultMaxRows)
	o.MaxWait = cmp.Or(o.MaxWait, DefaultMaxWait)
	o.QueueRows = cmp.Or(o.QueueRows, 32*o.MaxRows)
	o.Policy = cmp.Or(o.Policy, Adaptive)
	o.Weight = cmp.Or(o.Weight, 1)
	if o.Policy == Off {
		runners = offRunners
	}
	o.MaxRunners = cmp.Or(o.MaxRunners, runners)
	o.RescueAfter = cmp.Or(o.RescueAfter, time.Millisecond)
	if pool.Nice > 0 {
		o.RescueAfter = -1
	}
	o.RetryRuns = cmp.Or(o.RetryRuns, 32)
	var faults []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("batcher: cannot make queue %q: "+format, append([]any{o.Name}, args...)...))
		}
	}
	fault(o.MaxRows >= 1 && o.MaxRows <= 1<<16, "max_rows is %d, must be 1 to 65536", o.MaxRows)
	fault(o.MaxWait >= 0 && o.MaxWait <= time.Minute, "max_wait is %v, must be 0 (the default) to 1m", o.MaxWait)
	fault(o.QueueRows >= o.MaxRows && o.QueueRows <= 1<<22, "queue_rows is %d, must be max_rows (%d) to 4194304", o.QueueRows, o.MaxRows)
	fault(slices.Contains(Policies, o.Policy), "policy is %q, must be one of %v", o.Policy, Policies)
	fault(o.Policy != Off || pool.Nice == 0, "policy is off, under which callers run batches; choose another, because the pool's runners are nice and callers are not")
	fault(o.Weight > 0 && o.Weight <= 1e6, "weight is %v, must be above 0, at most 1e6", o.Weight)
	fault(o.MaxRunners >= 1, "max_runners is %d, must be at least 1 or 0 (all)", o.MaxRunners)
	fault(o.RetryRuns >= 1 && o.RetryRuns <= 1<<16, "retry_runs is %d, must be 1 to 65536", o.RetryRuns)
	fault(o.CalibrationRuns >= 0 && o.CalibrationRuns <= 1000, "calibration_runs is %d, must be 0 to 1000", o.CalibrationRuns)
	return errors.Join(faults...)
}
