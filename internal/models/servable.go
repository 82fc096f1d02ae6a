// Package models keeps versions of models: in a store, into which trainers put them, and in the process, where they serve.
//
// The life of a version:
//
//	staged ──► Place ──► store ──► Promote ──► watcher ──► verify ──► load ──► golden rows ──► warm ──► Prepare ──► swap in
//	                                                         └───────── refused: the reason is logged, counted ──┘     │
//	                                                                    and shown; the old version keeps serving       │
//	                                      memory freed ◄── Retire ◄── last Release ◄── swap out ◄── Acquire … Release ◄┘
//
// All steps before the swap run outside the serving path, on a thread of low priority. A swap is one atomic store. An
// auction that acquired the old version finishes with it.
//
// A Store keeps versions (models/dir: a directory), a Group follows one store, and a Manager one of its models. Engines score
// rows. They are given as engine.Loaders, by format. A version may hold several formats of one model, and a Manager loads one of them.
package models

import (
	"fmt"
	"time"

	"gavel/internal/engine"
	"gavel/internal/references"
)

// Servable is a loaded version. It is reference-counted, and immutable except for the value that Prepare attaches. A caller
// that acquired it may use it, its Engine and the attached value until Release.
type Servable struct {
	manifest  *Manifest
	recipe    []byte
	format    string
	engine    engine.Engine
	loadTime  time.Duration
	loadedAt  time.Time
	attached  any
	tolerance float64
	unwarmed  []int // sizes of batches that the warm-up had no time for
	fileBytes int64 // of the version's files: what it takes of memory if its engine does not say

	// refs counts 1 for the owner (the manager, or the caller of Load), and 1 for each Acquire.
	refs   references.Count
	onZero func(*Servable) // called by the last Release; closes the engine
}

// Model is the model's name.
func (s *Servable) Model() string { return s.manifest.Model }

// Version is the version's number.
func (s *Servable) Version() int64 { return s.manifest.Version }

// String is "ctr version 3".
func (s *Servable) String() string { return fmt.Sprintf("%s version %d", s.Model(), s.Version()) }

// Manifest is read-only.
func (s *Servable) Manifest() *Manifest { return s.manifest }

// Recipe is the version's own recipe.yaml, from which its rows must be encoded; nil if it has none. It is read-only.
func (s *Servable) Recipe() []byte { return s.recipe }

// Format is the one of the manifest's formats that is loaded.
func (s *Servable) Format() string { return s.format }

// Engine scores rows.
func (s *Servable) Engine() engine.Engine { return s.engine }

// Tolerance is how far the outputs of golden rows may be from Python's.
func (s *Servable) Tolerance() float64 { return s.tolerance }

// Attach stores a value with the version, such as the encoder and the batcher's queue that Prepare made. It may be called
// until Prepare returns.
func (s *Servable) Attach(v any) { s.attached = v }

// Attached returns the value last given to Attach.
func (s *Servable) Attached() any { return s.attached }

// Memory is about how many bytes the version takes: what its engine says, or else the size of its files.
func (s *Servable) Memory() int64 {
	if sized, ok := s.engine.(engine.Sized); ok {
		return sized.Memory()
	}
	return s.fileBytes
}

// Age is how long ago the version was made.
func (s *Servable) Age() time.Duration { return time.Since(s.manifest.Created) }

// acquire adds a reference, and returns false if the last one was already released.
func (s *Servable) acquire() bool { return s.refs.Acquire() }

// Release releases the reference of one Acquire or Load. The last Release frees the version. If a manager owns it, that
// happens in another goroutine, so that no auction waits for it.
func (s *Servable) Release() {
	if s.refs.Release() {
		s.onZero(s)
	}
}
