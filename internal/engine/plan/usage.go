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

// cacheCollector exports the caches of the plans that use some objects.
type cacheCollector struct{ objects *Objects }

// NewCacheCollector exports what the caches of the objects' plans have done and hold; nothing where they are off.
func NewCacheCollector(objects *Objects) prometheus.Collector { return cacheCollector{objects} }

var (
	cacheHits      = prometheus.NewDesc("gavel_plan_cache_hits_total", "Results found in a cache of plans since a plan was first loaded.", []string{"cache"}, nil)
	cacheMisses    = prometheus.NewDesc("gavel_plan_cache_misses_total", "Results not found in it.", []string{"cache"}, nil)
	cacheEvictions = prometheus.NewDesc("gavel_plan_cache_evictions_total", "Results that left it for others.", []string{"cache"}, nil)
	cacheEntries   = prometheus.NewDesc("gavel_plan_cache_entries", "Results that it holds.", []string{"cache"}, nil)
	cacheBytes     = prometheus.NewDesc("gavel_plan_cache_bytes", "Memory that it takes, in bytes.", []string{"cache"}, nil)
	cacheLimit     = prometheus.NewDesc("gavel_plan_cache_limit_bytes", "Memory that it may take, in bytes.", []string{"cache"}, nil)
)

// Describe implements prometheus.Collector.
func (c cacheCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cacheHits, cacheMisses, cacheEvictions, cacheEntries, cacheBytes, cacheLimit} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c cacheCollector) Collect(ch chan<- prometheus.Metric) {
	stages, rows := c.objects.CacheUses()
	for name, u := range map[string]CacheUse{"stages": stages, "rows": rows} {
		if u.Limit == 0 {
			continue
		}
		ch <- prometheus.MustNewConstMetric(cacheHits, prometheus.CounterValue, float64(u.Hits), name)
		ch <- prometheus.MustNewConstMetric(cacheMisses, prometheus.CounterValue, float64(u.Misses), name)
		ch <- prometheus.MustNewConstMetric(cacheEvictions, prometheus.CounterValue, float64(u.Evictions), name)
		ch <- prometheus.MustNewConstMetric(cacheEntries, prometheus.GaugeValue, float64(u.Entries), name)
		ch <- prometheus.MustNewConstMetric(cacheBytes, prometheus.GaugeValue, float64(u.Bytes), name)
		ch <- prometheus.MustNewConstMetric(cacheLimit, prometheus.GaugeValue, float64(u.Limit), name)
	}
}
