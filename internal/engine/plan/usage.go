package plan

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// used is what runs have used since the process began, for all plans.
var used struct{ runs, cpuNs atomic.Int64 }

// usage counts the runs of one batch. A run whose CPU time was measured also stands for those before it that were not.
type usage struct{ unmeasured int64 }

// add counts a run; cpuNs is 0 if its CPU time was not measured.
func (u *usage) add(cpuNs int64) {
	used.runs.Add(1)
	if cpuNs == 0 {
		u.unmeasured++
		return
	}
	used.cpuNs.Add((u.unmeasured + 1) * cpuNs)
	u.unmeasured = 0
}

// Usage is what plans have used since the process began, the runs that load and warm versions included. Its numbers only grow.
type Usage struct {
	Runs int64
	// CPU is CPU time of the threads that called those runs, within the C code, estimated from the runs that were measured: the first
	// ones of a batch, and one in eight.
	CPU time.Duration
}

// ReadUsage returns what plans have used.
func ReadUsage() Usage {
	return Usage{Runs: used.runs.Load(), CPU: time.Duration(used.cpuNs.Load())}
}

// usageCollector exports Usage, for the process.
type usageCollector struct{}

// NewUsageCollector exports what ReadUsage reads. One a process.
func NewUsageCollector() prometheus.Collector { return usageCollector{} }

var (
	usageCPU  = prometheus.NewDesc("gavel_plan_cpu_seconds_total", "CPU time of runs of plans, in the threads that call them (from one run in eight).", nil, nil)
	usageRuns = prometheus.NewDesc("gavel_plan_runs_total", "Runs of plans, loading and warming included.", nil, nil)
)

// Describe implements prometheus.Collector.
func (usageCollector) Describe(ch chan<- *prometheus.Desc) { ch <- usageCPU; ch <- usageRuns }

// Collect implements prometheus.Collector.
func (usageCollector) Collect(ch chan<- prometheus.Metric) {
	u := ReadUsage()
	ch <- prometheus.MustNewConstMetric(usageRuns, prometheus.CounterValue, float64(u.Runs))
	ch <- prometheus.MustNewConstMetric(usageCPU, prometheus.CounterValue, u.CPU.Seconds())
}
