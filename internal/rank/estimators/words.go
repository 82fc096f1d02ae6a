package estimators

import (
	"strings"
	"sync"

	"gavel/internal/rank/score"
)

// words numbers the values that any campaign's encoder knows. A source is a list of fields; each (source, value) has one number,
// which is never given again: a view that is still used may know it.
type words struct {
	mu      sync.RWMutex // guards what follows
	sources map[string]int
	fields  [][]string // by source
	ids     []map[string]uint32
	known   map[uint32]word
	last    uint32
}

type word struct {
	source int
	value  string
	refs   int // encoders that know it
}

func newWords() *words { return &words{sources: map[string]int{}, known: map[uint32]word{}} }

// source is the number of a list of fields. Sources are as many as features differ in what they read, and stay.
func (w *words) source(of []string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := strings.Join(of, separator)
	s, ok := w.sources[name]
	if !ok {
		s = len(w.ids)
		w.sources[name] = s
		w.fields = append(w.fields, of)
		w.ids = append(w.ids, map[string]uint32{})
	}
	return s
}

// take numbers a feature's values, in their order.
func (w *words) take(source int, values []string) []uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]uint32, len(values))
	for i, v := range values {
		id, ok := w.ids[source][v]
		if !ok {
			w.last++
			id = w.last
			v = strings.Clone(v) // not a part of a whole file
			w.ids[source][v] = id
			w.known[id] = word{source: source, value: v}
		}
		known := w.known[id]
		known.refs++
		w.known[id] = known
		ids[i] = id
	}
	return ids
}

// release takes values back that an encoder took.
func (w *words) release(ids []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		known := w.known[id]
		if known.refs--; known.refs == 0 {
			delete(w.ids[known.source], known.value)
			delete(w.known, id)
		} else {
			w.known[id] = known
		}
	}
}

// of returns the number of the profile's value for each source, 0 where no encoder knows it.
func (w *words) of(p score.Profile) []uint32 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	ids := make([]uint32, len(w.ids))
	for s, known := range w.ids {
		ids[s] = known[text(p, w.fields[s])]
	}
	return ids
}

// text is the profile's value for a list of fields: the values of a cross are joined.
func text(p score.Profile, of []string) string {
	if len(of) == 1 {
		return field(p, of[0])
	}
	parts := make([]string, len(of))
	for i, name := range of {
		parts[i] = field(p, name)
	}
	return strings.Join(parts, separator)
}

func field(p score.Profile, name string) string {
	for i := range p {
		if p[i].Name == name {
			return p[i].Value
		}
	}
	return ""
}
