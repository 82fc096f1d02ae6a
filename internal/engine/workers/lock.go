package workers

import (
	"sync"
	"sync/atomic"
	"time"
)

// lock is a mutex that measures how long it is waited for. A lock that is free costs what a mutex does.
type lock struct {
	mu     sync.Mutex
	waited *atomic.Int64 // ns, which locks share; nil: not measured
}

// Lock implements sync.Locker.
func (l *lock) Lock() {
	if l.mu.TryLock() {
		return
	}
	began := time.Now()
	l.mu.Lock()
	if l.waited != nil {
		l.waited.Add(time.Since(began).Nanoseconds())
	}
}

// Unlock implements sync.Locker.
func (l *lock) Unlock() { l.mu.Unlock() }
