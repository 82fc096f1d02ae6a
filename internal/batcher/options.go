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

// Policy says when a batch that is not full goes.
type Policy string

const (
	// Adaptive waits the longer the busier the processors are, up to MaxWait (see policy.go).
	Adaptive Policy = "adaptive"
	// Eager runs what there is whenever a runner is free.
	Eager Policy = "eager"
	// Window waits MaxWait from the batch's first row, as the paper does.
	Window Policy = "window"
	// Off joins nothing: each claim has a batch of its own (several, if it is larger than one), which its caller runs in
	// its own goroutine when it commits. For comparison and diagnosis.
	Off Policy = "off"
)

// Policies are all there are.
var Policies = []Policy{Adaptive, Eager, Window, Off}

// offRunners is how many callers may run at once under Off, if nothing else is said: a tenth of the threads that Go
// allows a process.
const offRunners = 1024

// PoolOptions configures a Pool. The zero value is valid.
type PoolOptions struct {
	// Runners is how many batches may run at once; 0: one per CPU that Go may use.
	Runners int
	// FloatingRunners leaves runners unlocked from their OS threads. Locked ones keep the engine's thread-local
	// caches warm; floating ones wake up cheaper, and benchmarks compare the two: no configuration has it.
	FloatingRunners bool
	// RuntimeTimer uses Go's timers, which an idle Linux process rounds up to a millisecond, in place of a thread
	// that sleeps precisely. It is needed under testing/synctest, and implied where there is no such thread.
	RuntimeTimer bool
	// CPU is the CPU time that the process has used so far; default: the system's count. With CPU or RuntimeTimer the
	// pool's load is its own, and not the process's: under RuntimeTimer without CPU it is 0.
	CPU func() time.Duration
	// Processors is how many processors the process may use; default what GOMAXPROCS was at the start, which a
	// container's CPU quota bounds.
	Processors int
	// Nice lowers the priority of the runners' threads, as nice(1), so that models in other pools go first where
	// processors are few: 0 to 19, Linux alone. Callers, whose threads are not nice, then run nothing of this pool, be
	// it in place of an idle runner or to rescue what lies too long: where others take all the time there is, rows
	// expire. It therefore excludes Off, and floating runners.
	Nice int
	// Logger gets the stacks of engines that panic, one a second at most; default slog.Default. Callers get what the
	// engine panicked with alone.
	Logger *slog.Logger
}

// Defaults of QueueOptions, which the bidder's configuration shares.
const (
	DefaultMaxRows = 128
	DefaultMaxWait = 3 * time.Millisecond
)

// QueueOptions configures a Queue. Zero values mean the defaults given.
type QueueOptions struct {
	// Name is used in errors and in Stats; usually "model/version".
	Name string
	// MaxRows is the capacity of a batch; default DefaultMaxRows.
	MaxRows int
	// MaxWait is the longest a committed row waits for company before its batch is due; default
	// DefaultMaxWait.
	MaxWait time.Duration
	// QueueRows bounds the rows claimed whose run has not begun, under Off those whose run has not ended; default
	// 32 × MaxRows.
	QueueRows int
	// Policy; default Adaptive.
	Policy Policy
	// Weight is this queue's share of the CPU time of runs, relative to other queues that want it; default 1.
	Weight float64
	// MaxRunners is how many runners may run this queue's batches at once; default all. A slow model beside fast
	// ones should leave them one. Under Off it bounds the callers that run, each of which occupies an OS thread;
	// default 1024. Batches beyond it wait, and runners take them.
	MaxRunners int
	// RescueAfter is how long a due batch may lie before one of its waiting callers runs it; default 1 ms,
	// negative: never, as in a pool with Nice.
	RescueAfter time.Duration
	// RetryRuns bounds the extra runs that search a failed batch for its bad rows; default 32, and one more of a row of
	// zeros. Rows left when they are used up get ErrRun.
	RetryRuns int
	// CalibrationRuns is how often NewQueue runs rows of its own at sizes 1, 2, 4, … MaxRows, to warm the engine up
	// and to start the cost curve; 0: not at all, the curve begins empty. They are random rows where the engine is an
	// engine.Sampler, else rows of zeros.
	CalibrationRuns int
}

func (o *PoolOptions) fill() error {
	if o.Runners == 0 {
		o.Runners = runtime.GOMAXPROCS(0)
	}
	if o.Runners < 0 || o.Runners > 1024 {
		return fmt.Errorf("batcher: cannot make a pool: runners is %d, must be 0 (one per CPU) to 1024", o.Runners)
	}
	if o.Processors < 0 {
		return fmt.Errorf("batcher: cannot make a pool: processors is %d, must be 0 (GOMAXPROCS) or more", o.Processors)
	}
	if o.Nice < 0 || o.Nice > 19 || o.Nice > 0 && o.FloatingRunners {
		return fmt.Errorf("batcher: cannot make a pool: nice is %d, must be 0 to 19, and 0 with floating runners", o.Nice)
	}
	o.Logger = cmp.Or(o.Logger, slog.Default())
	return nil
}

// load is the pool's own where time or CPU is a test's, else the one of the process.
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

// fill sets the defaults, then checks, and reports every fault.
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
	fault(o.Policy != Off || pool.Nice == 0, "policy is off, under which callers run; a pool of nice runners needs another")
	fault(o.Weight > 0 && o.Weight <= 1e6, "weight is %v, must be above 0, at most 1e6", o.Weight)
	fault(o.MaxRunners >= 1, "max_runners is %d, must be at least 1 or 0 (all)", o.MaxRunners)
	fault(o.RetryRuns >= 1 && o.RetryRuns <= 1<<16, "retry_runs is %d, must be 1 to 65536", o.RetryRuns)
	fault(o.CalibrationRuns >= 0 && o.CalibrationRuns <= 1000, "calibration_runs is %d, must be 0 to 1000", o.CalibrationRuns)
	return errors.Join(faults...)
}
