package servable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/modelstore"
)

// Options make a Manager. Store and Model are required.
type Options struct {
	Store *modelstore.Store
	Model string
	Load  LoadOptions

	// Prepare makes a loaded version fit to serve, before any auction sees it: it reads Servable.Recipe, makes an encoder
	// and a batcher's queue over Servable.Engine, and keeps them with Servable.Attach. An error refuses the version.
	// It is called from one goroutine at a time. While another version serves that has a thread of low priority (Nice),
	// which what it starts must not inherit. ctx ends when the manager closes.
	Prepare func(ctx context.Context, s *Servable) error
	// Retire undoes Prepare, once for each Prepare that succeeded, after the version's last Release: it closes the queue
	// and with it the batches. The engine is closed when it returns.
	Retire func(s *Servable)

	// Nice lowers the priority of the thread that loads and prepares a version while another serves, as nice(1): default
	// 5, at most 19; negative leaves it as it is.
	Nice int

	Watch modelstore.WatchOptions
	// Registerer takes the manager's metrics, each labelled with the model; nil: none. They are unregistered by Close.
	Registerer prometheus.Registerer
	Logger     *slog.Logger // default slog.Default
}

// fill sets defaults and returns every fault joined.
func (o *Options) fill() error {
	var faults []error
	if o.Store == nil {
		faults = append(faults, errors.New("Store is nil"))
	}
	if err := modelstore.CheckModel(o.Model); err != nil {
		faults = append(faults, err)
	}
	if len(o.Load.Loaders) == 0 {
		faults = append(faults, errors.New("Load.Loaders is empty: no version can be opened"))
	}
	for _, n := range o.Load.WarmRows {
		if n < 1 {
			faults = append(faults, fmt.Errorf("Load.WarmRows holds %d; a batch has at least 1 row", n))
		}
	}
	if o.Prepare == nil {
		o.Prepare = func(context.Context, *Servable) error { return nil }
	}
	if o.Retire == nil {
		o.Retire = func(*Servable) {}
	}
	if o.Nice == 0 {
		o.Nice = 5
	}
	o.Nice = min(o.Nice, 19)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Watch.Logger == nil {
		o.Watch.Logger = o.Logger
	}
	if len(faults) > 0 {
		return fmt.Errorf("servable: cannot manage model %q: %w", o.Model, errors.Join(faults...))
	}
	return nil
}

// Status is a manager's state at a moment, for an operator's page.
type Status struct {
	Model       string
	Pointer     modelstore.Pointer // what the store says should serve
	Stable      *VersionStatus     // what serves; nil: nothing
	Canary      *VersionStatus     // nil: none
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

// RefusedVersion is a version that does not serve and why. It is tried again only when its files change.
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
