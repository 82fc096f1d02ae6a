package notices

import (
	"sync"
	"time"
)

// seen remembers ids for at least a window, in two generations of at most limit ids each: when the young one is full
// or old enough, the old one is dropped. It spares work for what is told twice; it decides nothing, for the ledger
// and the joins are idempotent by themselves.
type seen struct {
	window time.Duration
	limit  int

	mu         sync.Mutex // guards what follows
	young, old map[string]struct{}
	since      time.Time // when young was begun
}

func newSeen(window time.Duration, limit int) *seen {
	return &seen{window: window, limit: limit, young: map[string]struct{}{}}
}

// add notes id and says whether it is new.
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

// remove forgets an id whose event could not be kept after all.
func (s *seen) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, id)
	delete(s.old, id)
}
