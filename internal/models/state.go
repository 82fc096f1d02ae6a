package models

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// State is the state of a model in a store.
type State struct {
	Pointer  Pointer          // the store's pointer; if there is none, the highest version as stable; zero if there is no version
	Set      bool             // the store holds a pointer
	Versions []int64          // all versions, ascending
	Stamps   map[int64]uint64 // of each version that the pointer names: it changes when the version's files do; 0: not there
	Err      error            // the store can't be read; the other fields are then of the last good state
}

// Equal reports whether both states mean the same for a bidder.
func (s State) Equal(t State) bool {
	if (s.Err == nil) != (t.Err == nil) || s.Err != nil && s.Err.Error() != t.Err.Error() {
		return false
	}
	return s.Pointer.Equal(t.Pointer) && s.Set == t.Set && slices.Equal(s.Versions, t.Versions) && maps.Equal(s.Stamps, t.Stamps)
}

// ReadState reads a model's state. If reading fails, it returns last with the error.
func ReadState(ctx context.Context, s Store, model string, last State) State {
	versions, err := s.Versions(ctx, model)
	if err != nil {
		last.Err = err
		return last
	}
	p, _, err := s.Pointer(ctx, model)
	set := err == nil
	if errors.Is(err, ErrNoPointer) {
		p, err = Pointer{}, nil
		if n := len(versions); n > 0 {
			p.Stable = versions[n-1]
		}
	}
	if err != nil {
		last.Err = err
		return last
	}
	st := State{Pointer: p, Set: set, Versions: versions, Stamps: map[int64]uint64{}}
	for _, v := range p.names() {
		st.Stamps[v] = stampOf(ctx, s, model, v)
	}
	return st
}
