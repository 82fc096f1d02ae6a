package engines

import (
	"context"
	"time"
)

// retry is how long a model is not read again that could not be.
const retry = time.Minute

// count tells the policy which models a request asks for, and asks for room for those that have none. It is called before the
// request's tasks run. A model that is being checked is in memory without the policy.
func (r *Runner) count(tasks []task) {
	if r.policy == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range tasks {
		m := tasks[i].model
		if i > 0 && tasks[i-1].model == m || !m.checked || r.policy.Use(m) || !r.models[m] || time.Since(m.failed) < retry {
			continue
		}
		r.policy.Ask(m, m.bytes)
		r.wanted = append(r.wanted, m)
	}
	r.settle()
	kept := r.wanted[:0]
	for _, m := range r.wanted {
		if r.policy.Has(m) {
			kept = append(kept, m)
		}
	}
	clear(r.wanted[len(kept):])
	if r.wanted = kept; len(kept) > 0 {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// settle drops what has lost its room. Its caller holds the lock.
func (r *Runner) settle() {
	for _, m := range r.policy.Settle() {
		if !r.policy.Has(m) {
			m.drop(false)
			r.metrics.evicted.Inc()
		}
	}
}

// loadLoop loads models that have room, until Close.
func (r *Runner) loadLoop() {
	for {
		select {
		case <-r.done:
			return
		case <-r.wake:
		}
		for m := r.next(); m != nil; m = r.next() {
			r.load(m)
			select {
			case <-r.done:
				return
			default:
			}
		}
	}
}

// next takes a model to load; nil: there is none.
func (r *Runner) next() *model {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.wanted) > 0 {
		m := r.wanted[0]
		if r.wanted = r.wanted[1:]; r.models[m] && r.policy.Has(m) {
			return m
		}
	}
	return nil
}

// load reads a model again, and puts it into memory if it still has room.
func (r *Runner) load(m *model) {
	l, _, err := r.open(context.Background(), &m.source)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil: // the file has changed: the directory prepares the next one
		r.failed.Warn(r.options.Log, "a model cannot be loaded again, so that rankings lack it", "campaign", m.source.Name, "error", err)
		r.policy.Forget(m)
		m.failed = time.Now()
	case !r.policy.Has(m):
		l.release()
	default:
		m.put(l)
		r.metrics.loads.Inc()
	}
}
