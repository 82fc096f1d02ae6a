package models

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Options configures a Manager. Model is required.
type Options struct {
	Model string
	Load  LoadOptions
	// OnUse has the model's versions loaded when it is first asked for (Wake, Await), and freed again when the group needs the
	// memory (GroupOptions.Memory).
	OnUse bool

	// Prepare makes a loaded version ready to serve, before any auction sees it. It reads Servable.Recipe, makes an encoder
	// and a batcher's queue over Servable.Engine, and stores them with Servable.Attach. An error refuses the version. Calls
	// for one model never overlap; calls for different models may, if GroupOptions.Loads is above 1. Its thread may have low
	// priority (GroupOptions.Nice), which threads that it starts must not inherit. ctx ends when the manager closes.
	Prepare func(ctx context.Context, s *Servable) error
	// Retire undoes Prepare. It is called once for each Prepare that succeeded, after the version's last Release. It closes
	// the queue, and so its batches. The engine is closed after Retire returns.
	Retire func(s *Servable)
}

// fill sets the defaults. Its error joins every fault.
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

// Status is a manager's state, for an operator's page.
type Status struct {
	Model       string
	Pointer     Pointer        // the store's pointer
	Stable      *VersionStatus // the stable version that serves; nil: none
	Canary      *VersionStatus // nil: none
	CanaryShare float64
	StoreError  string // the store can't be read; "" if it can
	Swaps       int64
	Asleep      bool             // nothing is loaded until the model is asked for (Options.OnUse)
	Bytes       int64            // what the versions that serve take of memory, their shares of what they share
	Live        int              // loaded versions, including replaced ones that are still in use
	Refused     []RefusedVersion // versions that the pointer names but that were refused, ascending
}

// VersionStatus is one loaded version.
type VersionStatus struct {
	Version  int64
	Format   string    // the one that is loaded
	Created  time.Time // when it was trained
	Loaded   time.Time
	LoadTime time.Duration
	Rows     int64 // learnt
	Users    int64 // acquired and not released
}

// RefusedVersion says why a version does not serve. It is tried again when its files change. If they could not be read, or
// the fault is ours, it is also tried again after 2 s, then after twice as long each time, up to a minute.
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
		Version: s.Version(), Format: s.format, Created: s.manifest.Created, Loaded: s.loadedAt, LoadTime: s.loadTime,
		Rows: s.manifest.Training.Rows, Users: s.refs.Load() - 1,
	}
}
