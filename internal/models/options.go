package models

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Options make a Manager. Model is required.
type Options struct {
	Model string
	Load  LoadOptions

	// Prepare makes a loaded version fit to serve, before any auction sees it: it reads Servable.Recipe, makes an encoder
	// and a batcher's queue over Servable.Engine, and keeps them with Servable.Attach. An error refuses the version. It
	// is called from one goroutine at a time for a model; of several models concurrently if GroupOptions.Loads is above 1.
	// Its thread may be of low priority (GroupOptions.Nice), which what it starts must not inherit. ctx ends when the
	// manager closes.
	Prepare func(ctx context.Context, s *Servable) error
	// Retire undoes Prepare, once for each Prepare that succeeded, after the version's last Release: it closes the queue
	// and with it the batches. The engine is closed when it returns.
	Retire func(s *Servable)
}

// fill sets defaults and returns every fault joined.
func (o *Options) fill() error {
	faults := []error{CheckModel(o.Model), o.Load.fill()}
	if o.Prepare == nil {
		o.Prepare = func(context.Context, *Servable) error { return nil }
	}
	if o.Retire == nil {
		o.Retire = func(*Servable) {}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("models: cannot manage model %q: %w", o.Model, err)
	}
	return nil
}

// Status is a manager's state at a moment, for an operator's page.
type Status struct {
	Model       string
	Pointer     Pointer        // what the store says should serve, and whether that is pinned
	Stable      *VersionStatus // what serves; nil: nothing
	Canary      *VersionStatus // nil: none
	CanaryShare float64
	StoreError  string // the store can't be read; "" if it can
	Swaps       int64
	Live        int              // loaded versions, those included that only finish what they began
	Refused     []RefusedVersion // versions that the pointer names and that do not serve, ascending
}

// VersionStatus is one loaded version.
type VersionStatus struct {
	Version  int64
	Created  time.Time // when it was trained
	Loaded   time.Time
	LoadTime time.Duration
	Rows     int64 // learnt from
	Users    int64 // acquired and not released
}

// RefusedVersion is a version that does not serve and why. It is tried again when its files change. Where they could not
// be read, or the fault is ours, it is also tried again by itself: after 2 s, then at twice the pause, up to a minute.
type RefusedVersion struct {
	Version  int64
	Reason   Reason
	Error    string
	At       time.Time
	Attempts int
}

func (s *Servable) status() *VersionStatus {
	if s == nil {
		return nil
	}
	return &VersionStatus{
		Version: s.Version(), Created: s.manifest.Created, Loaded: s.loadedAt, LoadTime: s.loadTime,
		Rows: s.manifest.Training.Rows, Users: s.refs.Load() - 1,
	}
}
