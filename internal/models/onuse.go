package models

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrRefused: the version that should serve was refused. It is tried again when its files change (RefusedVersion).
var ErrRefused = errors.New("models: the version is refused")

// The life of a model that is loaded on use:
//
//	asleep ──Wake──► queued ──► loading ──► serves ──sleep──► asleep
//	                              └─refused──► awake without a version, until its files change
//
// Only the group's bound puts it to sleep (bound.go). While it is asleep, its pointer is followed, and nothing is loaded.

// Asleep reports whether the model's versions may not be loaded: it is loaded on use, and was not asked for.
func (m *Manager) Asleep() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asleep
}

// Wake has the model loaded soon if it is asleep. It does not wait. A model that is not loaded on use is
// never asleep.
func (m *Manager) Wake() {
	m.mu.Lock()
	was := m.asleep
	m.asleep = false
	m.mu.Unlock()
	if was {
		m.group.count.wakes.Inc()
		m.group.enqueue(m)
	}
}

// Await wakes the model, and waits until a version serves. If the one that should was refused, the error wraps ErrRefused. If
// ctx ends first, it is ctx's; the load goes on. Until Await returns, the model is not put to sleep.
func (m *Manager) Await(ctx context.Context) error {
	m.waiting.Add(1)
	defer m.waiting.Add(-1)
	began := time.Now()
	m.Wake()
	for {
		m.mu.Lock()
		settled := m.settled
		var refused *refusal
		if m.seen && m.state.Pointer.Stable != 0 {
			refused = m.refused[m.state.Pointer.Stable]
		}
		m.mu.Unlock()
		switch {
		case m.Ready():
			m.group.count.waits.Observe(time.Since(began).Seconds())
			return nil
		case m.ctx.Err() != nil:
			return ErrNotServing
		case refused != nil:
			return fmt.Errorf("%w: %s version %d: %s", ErrRefused, m.opts.Model, refused.Version, refused.Error)
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return fmt.Errorf("models: %s is being loaded: %w", m.opts.Model, ctx.Err())
		case <-m.ctx.Done():
		}
	}
}

// announce wakes the callers of Await. m.mu is held.
func (m *Manager) announce() {
	close(m.settled)
	m.settled = make(chan struct{})
}

// idle reports whether a model that is loaded on use serves, and nobody uses it now.
func (m *Manager) idle() bool {
	c := m.current.Load()
	return m.opts.OnUse && c != nil && m.waiting.Load() == 0 && c.stable.refs.Load() == 1 && (c.canary == nil || c.canary.refs.Load() == 1)
}

// sleep takes an idle model out of service until Wake. Requests that have just acquired a version finish with it. It returns
// false if the model is in use, or loads a version now.
func (m *Manager) sleep() bool {
	if !m.turn.TryLock() {
		return false
	}
	defer m.turn.Unlock()
	if !m.idle() {
		return false
	}
	m.mu.Lock()
	m.asleep = true
	m.mu.Unlock()
	m.swap(nil)
	m.log.Info("unloaded until it is asked for again")
	return true
}

// memory is what the pair takes.
func (c *serving) memory() int64 {
	bytes := c.stable.Memory()
	if c.canary != nil {
		bytes += c.canary.Memory()
	}
	return bytes
}
