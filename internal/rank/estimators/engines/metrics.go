package engines

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/metric"
)

// metrics are a runner's.
type metrics struct {
	*metric.Set
	tasks, missed, loads, evicted prometheus.Counter
}

func newMetrics(r *Runner, reg prometheus.Registerer) (*metrics, error) {
	set := metric.New(reg)
	x := &metrics{Set: set,
		tasks:   set.Counter("gavel_engines_tasks_total", "Campaigns that requests asked engines in this process to score."),
		missed:  set.Counter("gavel_engines_missed_total", "Of these, without an engine in memory."),
		loads:   set.Counter("gavel_engines_loads_total", "Engines that were loaded again because they were asked for."),
		evicted: set.Counter("gavel_engines_evicted_total", "Engines that left memory for others."),
	}
	set.ReadGauge("gavel_engines_loaded", "Engines in memory.", func() float64 { n, _ := r.held(); return float64(n) })
	set.ReadGauge("gavel_engines_bytes", "Their memory, about.", func() float64 { _, bytes := r.held(); return float64(bytes) })
	if err := set.Register(); err != nil {
		return nil, fmt.Errorf("engines: cannot register metrics: %w", err)
	}
	return x, nil
}

// held counts the engines in memory, and their bytes.
func (r *Runner) held() (engines int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.models {
		if n := r.Bytes(m); n > 0 {
			engines, bytes = engines+1, bytes+n
		}
	}
	return engines, bytes
}
