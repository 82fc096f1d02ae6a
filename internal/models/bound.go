package models

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bound keeps the memory of the versions that serve below GroupOptions.Memory. When it is passed, the idle models that are used
// least are put to sleep, one after the other.
//
// Which is used least: each model has a score, the number of times it was asked for, each counted less the longer ago it was, half
// after scoreHalf. The lowest score goes first; among equal scores, the one that was asked for longest ago, then by name. Uses are counted
// when the bound looks, every boundEvery and after each load; so a use counts as of the next look.
//
// The model that was just loaded stays, since someone waits for it. So memory may pass the bound by one model, while it
// loads, and by those that are in use.
type bound struct {
	limit int64

	mu     sync.Mutex // one look at a time; guards what follows
	scores map[*Manager]*score
	warned time.Time
}

const (
	scoreHalf  = 10 * time.Minute
	boundEvery = time.Second
	warnEvery  = time.Minute
)

// score is how much a model is used.
type score struct {
	value float64
	at    time.Time // of value
	used  time.Time // when the last use was counted
}

// add decays the score until now, and adds uses.
func (s *score) add(uses uint64, now time.Time) {
	s.value = s.value*math.Exp2(-float64(now.Sub(s.at))/float64(scoreHalf)) + float64(uses)
	s.at = now
	if uses > 0 {
		s.used = now
	}
}

// compare orders the scores of one look: negative if s is used less than t.
func (s *score) compare(t *score) int {
	return cmp.Or(cmp.Compare(s.value, t.value), s.used.Compare(t.used))
}

// boundLoop looks until ctx ends.
func (g *Group) boundLoop(ctx context.Context) {
	tick := time.NewTicker(boundEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.makeRoom(nil)
		}
	}
}

// makeRoom puts models to sleep until the rest fits, but not the one that was just loaded.
func (g *Group) makeRoom(loaded *Manager) {
	b := &g.bound
	if b.limit == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	total, idle := b.look(g.all(), loaded)
	for _, m := range idle {
		if total <= b.limit {
			return
		}
		bytes := int64(0)
		if c := m.current.Load(); c != nil {
			bytes = c.memory()
		}
		if m.sleep() {
			total -= bytes
			g.count.unloads.Inc()
		}
	}
	if now := time.Now(); total > b.limit && now.Sub(b.warned) >= warnEvery {
		b.warned = now
		g.opts.Logger.Warn("the models in use take more memory than their bound; raise it (discover.memory_bytes)", "bytes", total, "bound_bytes", b.limit)
	}
}

// look counts uses. It returns the memory of all models, and the idle ones other than loaded, the least used first.
func (b *bound) look(all []*Manager, loaded *Manager) (total int64, idle []*Manager) {
	now := time.Now()
	scores := make(map[*Manager]*score, len(all))
	for _, m := range all {
		s := b.scores[m]
		if s == nil {
			s = &score{at: now}
		}
		s.add(m.uses.Swap(0), now)
		scores[m] = s
		if c := m.current.Load(); c != nil {
			total += c.memory()
		}
		if m != loaded && m.idle() {
			idle = append(idle, m)
		}
	}
	b.scores = scores // those of models that have left are gone
	slices.SortFunc(idle, func(a, b *Manager) int {
		return cmp.Or(scores[a].compare(scores[b]), cmp.Compare(a.opts.Model, b.opts.Model))
	})
	return total, idle
}

// counts are the group's metrics of loading on use.
type counts struct {
	loads, wakes, unloads prometheus.Counter
	waits                 prometheus.Histogram
}

func newCounts() *counts {
	return &counts{
		loads: prometheus.NewCounter(prometheus.CounterOpts{Name: "gavel_models_loads_total", Help: "Versions that were loaded."}),
		wakes: prometheus.NewCounter(prometheus.CounterOpts{Name: "gavel_models_wakes_total",
			Help: "Models that were asked for while they were not loaded."}),
		unloads: prometheus.NewCounter(prometheus.CounterOpts{Name: "gavel_models_unloads_total",
			Help: "Models that were unloaded because the models' memory is bounded."}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gavel_models_cold_wait_seconds",
			Help: "How long requests waited for a model that was not loaded; only those that got it in time.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
	}
}
