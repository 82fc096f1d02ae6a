package plan

import (
	"maps"
	"slices"
	"sync"
)

// stageStore keeps the stages of a process, each form once, however many programs run it. A stage points into objects: each of
// its users holds those, since the form names them, so they stay mapped.
//
//	take ──first user──► build: parameters in C ──► runs read them ──► release ──last user──► free
type stageStore struct {
	mu sync.Mutex // guards of, and users of each
	of map[key]*shared
}

// shared is a stage that programs share.
type shared struct {
	form  key
	once  sync.Once // builds
	stage stage
	memory
	users map[string]int // versions, and how often each has taken it
}

// take returns the stage of the form, which build makes if there is none. Each take needs a release by the same user.
func (s *stageStore) take(form key, user string, build build) *shared {
	s.mu.Lock()
	of, ok := s.of[form]
	if !ok {
		of = &shared{form: form, users: map[string]int{}}
		if s.of == nil {
			s.of = map[key]*shared{}
		}
		s.of[form] = of
	}
	of.users[user]++
	s.mu.Unlock()
	of.once.Do(func() { of.stage = build(&of.memory) }) // another form may be built meanwhile
	return of
}

func (s *stageStore) releaseAll(stages []*shared, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range stages {
		if of.users[user]--; of.users[user] > 0 {
			continue
		}
		if delete(of.users, user); len(of.users) == 0 {
			delete(s.of, of.form)
			of.free()
		}
	}
}

// users are the versions that use a stage, ascending.
func (s *stageStore) users(of *shared) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(of.users))
}

// count is how many stages there are, and the bytes of C memory that is theirs.
func (s *stageStore) count() (stages int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.of {
		bytes += of.bytes
	}
	return len(s.of), bytes
}
