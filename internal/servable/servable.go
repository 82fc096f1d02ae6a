// Package servable holds the versions of a model that serve, each with its engine, and the manager that follows the model
// store and swaps versions while they serve.
//
// The life of a version:
//
//	store ──► verify ──► load ──► golden rows ──► warm ──► Prepare ──► swap in ── Acquire … Release ──► swap out
//	           └───────────── refused: the reason is logged, counted and shown; what served serves on ─┘     │
//	                                                               last Release ──► Retire ──► memory freed ◄┘
//
// Everything up to the swap happens off the serving path, in a thread of low priority. A swap is one atomic store; an
// auction that acquired the old version finishes on it.
package servable

import (
	"fmt"
	"sync/atomic"
	"time"

	"gavel/internal/engine"
	"gavel/internal/modelstore"
)

// Servable is a loaded version: immutable but for what Prepare attaches, and counted. Whoever acquired it may use it,
// its Engine and what is attached until Release.
type Servable struct {
	manifest *modelstore.Manifest
	recipe   []byte
	engine   engine.Engine
	loadTime time.Duration
	loadedAt time.Time
	attached any

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
func (s *Servable) Manifest() *modelstore.Manifest { return s.manifest }

// Recipe is the version's own recipe.yaml, from which its rows must be encoded. It is read-only.
func (s *Servable) Recipe() []byte { return s.recipe }

// Engine is what scores rows: its inputs are rows of RowLen indices.
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
		panic(fmt.Sprintf("servable: %s released more often than acquired", s))
	}
}
