package models

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// State is what a store says of a model.
type State struct {
	Pointer  Pointer          // what is set, else the highest version as stable; zero where there is no version
	Set      bool             // the store holds a pointer
	Versions []int64          // all there are, ascending
	Stamps   map[int64]uint64 // of each version that the pointer names: it changes when the version's files do; 0: not there
	Err      error            // the store can't be read; the other fields are then of the last good state
}

// Equal says whether nothing that a bidder acts on differs.
func (s State) Equal(t State) bool {
	if (s.Err == nil) != (t.Err == nil) || s.Err != nil && s.Err.Error() != t.Err.Error() {
		return false
	}
	return s.Pointer.Equal(t.Pointer) && s.Set == t.Set && slices.Equal(s.Versions, t.Versions) && maps.Equal(s.Stamps, t.Stamps)
}

// Look reads a model's state. Where reading fails it is last with the error.
func Look(ctx context.Context, s Store, model string, last State) State {
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
