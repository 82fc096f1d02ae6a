package notices

import (
	"sync"
	"time"
)

// seen remembers ids for at least a window, in two generations of at most limit ids each. When the young generation is full
// or old enough, the old one is dropped. seen only saves work for repeats. The ledger and the joins handle repeats by themselves.
type seen struct {
	window time.Duration
	limit  int

	mu         sync.Mutex // guards what follows
	young, old map[string]struct{}
	since      time.Time // when young became empty
}

func newSeen(window time.Duration, limit int) *seen {
	return &seen{window: window, limit: limit, young: map[string]struct{}{}}
}

// add remembers id and reports whether it is new.
func (s *seen) add(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since = now
	}
	if len(s.young) >= s.limit || now.Sub(s.since) >= s.window {
		s.old, s.young, s.since = s.young, make(map[string]struct{}), now
	}
	if _, ok := s.young[id]; ok {
		return false
	}
	if _, ok := s.old[id]; ok {
		return false
	}
	s.young[id] = struct{}{}
	return true
}

// remove forgets an id whose event could not be stored.
func (s *seen) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, id)
	delete(s.old, id)
}
