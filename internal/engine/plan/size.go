package plan

import (
	"maps"
	"slices"

	"gavel/internal/engine"
)

// size is what an engine keeps in memory, as it was when it was loaded. Stages and objects are looked up when their shares are
// asked for, because their users change.
type size struct {
	program int64 // bytes of the engine's own
	stages  []*shared
	objects []string // sums
}

func measure(p *program, h *held) size {
	return size{program: p.memory.bytes, stages: p.stages, objects: slices.Collect(maps.Keys(h.objects))}
}

var _ engine.Sized = (*Engine)(nil)

// Memory implements engine.Sized: the program, and the engine's shares of its stages and objects. What is being freed counts as 0.
func (e *Engine) Memory() int64 {
	from := e.loaded.objects
	return e.size.program + from.stages.share(e.size.stages) + from.share(e.size.objects)
}

// share sums, of each stage, its bytes by the number of its users.
func (s *stageStore) share(stages []*shared) (bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range stages {
		if s.of[of.form] == of { // else it is freed
			bytes += of.bytes / int64(len(of.users))
		}
	}
	return bytes
}

// share sums, of each object, its bytes by the number of its users.
func (s *Objects) share(sums []string) (bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sum := range sums {
		m := s.open[sum]
		if m == nil || len(m.users) == 0 {
			continue
		}
		select {
		case <-m.ready:
			bytes += int64(len(m.file)) / int64(len(m.users))
		default: // another version opens it anew
		}
	}
	return bytes
}
