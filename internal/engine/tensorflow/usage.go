package tensorflow

// #include "shim.h"
import "C"

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Usage is what TensorFlow has used since the process began, for all sessions, the runs that load and warm versions
// included. Its numbers only grow.
type Usage struct {
	Runs uint64 // of a session: the compute calls
	// Caller is CPU time of the threads that called those runs, within them, estimated from one run in eight.
	Caller time.Duration
	// Pool is CPU time of TensorFlow's own threads, in steps of 10 ms; under CallerThread they sleep. It stands still
	// while a version is loaded, and is unknown where there is no /proc.
	Pool      time.Duration
	PoolKnown bool
}

// poolRead is what was last read of TensorFlow's own threads.
var poolRead struct {
	sync.Mutex
	cpu   time.Duration
	known bool
}

// ReadUsage reads a file for each thread of the process: some 10 µs each.
func ReadUsage() Usage {
	last := &poolRead
	last.Lock()
	defer last.Unlock()
	use := C.gavel_read_usage()
	if use.naming_begun == use.naming_ended {
		cpu, known := poolCPU("/proc/self/task")
		// A thread that took the pool's name meanwhile, and gives it up again, must not count.
		if known && C.gavel_read_usage().naming_begun == use.naming_begun {
			last.cpu, last.known = max(last.cpu, cpu), true
		}
	}
	return Usage{Runs: uint64(use.runs), Caller: time.Duration(use.caller_ns), Pool: last.cpu, PoolKnown: last.known}
}

// poolCPU sums the CPU time of TensorFlow's own threads under dir, a /proc/<pid>/task.
func poolCPU(dir string) (sum time.Duration, known bool) {
	threads, err := os.ReadDir(dir)
	if err != nil {
		return 0, false
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(filepath.Join(dir, thread.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		if name, cpu, ok := parseStat(stat); ok && (name == C.GAVEL_POOL_THREAD || strings.HasPrefix(name, C.GAVEL_TF_THREAD)) {
			sum += cpu
		}
	}
	return sum, true
}

// clockTick is the unit of a thread's times in /proc: USER_HZ is 100 on every Linux.
const clockTick = 10 * time.Millisecond

// parseStat reads a thread's name and its CPU time, in user and system, from its stat file: "tid (name) state …", where
// the name may hold anything, and the times are the 14th and 15th field.
func parseStat(stat []byte) (name string, cpu time.Duration, ok bool) {
	from, to := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if from < 0 || to < from {
		return "", 0, false
	}
	fields := bytes.Fields(stat[to+1:]) // from the third on
	if len(fields) < 13 {
		return "", 0, false
	}
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return "", 0, false
		}
		cpu += time.Duration(ticks) * clockTick
	}
	return string(stat[from+1 : to]), cpu, true
}

// usageCollector exports Usage, for the process.
type usageCollector struct{}

// NewUsageCollector exports what ReadUsage reads. One a process.
func NewUsageCollector() prometheus.Collector { return usageCollector{} }

var (
	usageCPU = prometheus.NewDesc("gavel_tensorflow_cpu_seconds_total",
		"CPU time of TensorFlow: within runs in the threads that call them (from one run in eight), and of its own pool's threads.",
		[]string{"threads"}, nil)
	usageRuns = prometheus.NewDesc("gavel_tensorflow_runs_total", "Runs of TensorFlow sessions, loading and warming included.", nil, nil)
)

// Describe implements prometheus.Collector.
func (usageCollector) Describe(ch chan<- *prometheus.Desc) { ch <- usageCPU; ch <- usageRuns }

// Collect implements prometheus.Collector.
func (usageCollector) Collect(ch chan<- prometheus.Metric) {
	u := ReadUsage()
	ch <- prometheus.MustNewConstMetric(usageRuns, prometheus.CounterValue, float64(u.Runs))
	ch <- prometheus.MustNewConstMetric(usageCPU, prometheus.CounterValue, u.Caller.Seconds(), "caller")
	if u.PoolKnown {
		ch <- prometheus.MustNewConstMetric(usageCPU, prometheus.CounterValue, u.Pool.Seconds(), "pool")
	}
}
