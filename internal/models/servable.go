// Package models keeps versions of models: in a store, where trainers put them, and in the process, where they serve.
//
// The life of a version:
//
//	staged ──► Place ──► store ──► Promote ──► watcher ──► verify ──► load ──► golden rows ──► warm ──► Prepare ──► swap in
//	                                                         └───────── refused: the reason is logged, counted ──┘     │
//	                                                                    and shown; what served serves on               │
//	                                      memory freed ◄── Retire ◄── last Release ◄── swap out ◄── Acquire … Release ◄┘
//
// Everything up to the swap happens off the serving path, in a thread of low priority. A swap is one atomic store; an
// auction that acquired the old version finishes on it.
//
// Store is where versions are kept (models/dir: a directory), Group follows one store, a Manager one of its models. The
// engines that score rows are given as engine.Loaders, by the format that a version's manifest names.
package models

import (
	"fmt"
	"sync/atomic"
	"time"

	"gavel/internal/engine"
)

// Servable is a loaded version: immutable but for what Prepare attaches, and counted. Whoever acquired it may use it,
// its Engine and what is attached until Release.
type Servable struct {
	manifest *Manifest
	recipe   []byte
	engine   engine.Engine
	loadTime time.Duration
	loadedAt time.Time
	attached any
	unwarmed []int // sizes of batches that the warm-up had no time for

	// refs is 1 for the owner (the manager, or who called Load), and 1 for each Acquire. It never rises from 0.
	refs   atomic.Int64
	onZero func(*Servable) // takes over from the last Release; it closes the engine
}

// Model is the model's name.
func (s *Servable) Model() string { return s.manifest.Model }

// Version is the version's number.
func (s *Servable) Version() int64 { return s.manifest.Version }

// String is "ctr version 3".
func (s *Servable) String() string { return fmt.Sprintf("%s version %d", s.Model(), s.Version()) }

// Manifest is read-only.
func (s *Servable) Manifest() *Manifest { return s.manifest }

// Recipe is the version's own recipe.yaml, from which its rows must be encoded. It is read-only.
func (s *Servable) Recipe() []byte { return s.recipe }

// Engine scores rows.
func (s *Servable) Engine() engine.Engine { return s.engine }

// Attach keeps a value with the version: what Prepare makes of its recipe, such as an encoder and a batcher's queue. It
// may be called until Prepare returns.
func (s *Servable) Attach(v any) { s.attached = v }

// Attached is what Attach was last given.
func (s *Servable) Attached() any { return s.attached }

// Age is how long ago the version was made.
func (s *Servable) Age() time.Duration { return time.Since(s.manifest.Created) }

// acquire adds a reference, unless the last is gone.
func (s *Servable) acquire() bool {
	for {
		n := s.refs.Load()
		if n == 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives back what Acquire or Load gave. The last one frees the version, in another goroutine where a manager
// owns it, so that no auction pays for it.
func (s *Servable) Release() {
	switch n := s.refs.Add(-1); {
	case n == 0:
		s.onZero(s)
	case n < 0:
		panic(fmt.Sprintf("models: %s released more often than acquired", s))
	}
}
