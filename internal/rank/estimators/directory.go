package estimators

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/dirwatch"
	"gavel/internal/engine/workers"
	"gavel/internal/rank/score"
	"gavel/internal/throttle"
)

// Options say which directory is served. Dir and Log are required.
type Options struct {
	Dir        string        // made if it does not exist
	Trusted    bool          // its pickles may be read; refused if others than its owner can write to it
	Rescan     time.Duration // how often the whole directory is compared, whatever was notified; 0: a minute
	Readers    int           // descriptions that are read at once; 0: 2. More than one keeps preparers busy
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Directory serves a directory of estimators. It is a score.Scorer. dirwatch says which files may have changed.
type Directory struct {
	o        Options
	runner   Runner
	words    *words
	follower *dirwatch.Follower
	metrics  *metrics
	now      atomic.Pointer[view]

	reading sync.Mutex // one goroutine reads files at a time

	mu    sync.Mutex // guards what follows
	files map[string]*file

	unfit, failed, claimed throttle.Line
}

// file is a description that was read.
type file struct {
	stamp     dirwatch.Stamp
	read      time.Time // when
	estimator string    // the file that it names, if it could be read
	sum       [32]byte  // of the description, which holds the estimator's
	entry     *entry    // what serves of it; nil: nothing
	fault     string    // why its contents do not serve
}

// Open returns a scorer that serves nothing yet: Run reads the directory and follows it. The runner stays the caller's, and outlives
// the scorer.
func Open(runner Runner, o Options) (*Directory, error) {
	if o.Dir == "" || o.Log == nil {
		return nil, errors.New("estimators: cannot serve without a directory and a log")
	}
	if o.Readers = cmp.Or(o.Readers, 2); o.Readers < 0 {
		return nil, fmt.Errorf("estimators: readers is %d, must not be negative", o.Readers)
	}
	d := &Directory{o: o, runner: runner, words: newWords(), files: map[string]*file{}}
	d.now.Store(newView(d, nil))
	var err error
	d.follower, err = dirwatch.New(dirwatch.Options{Dir: o.Dir, IsName: d.isName, Changed: d.changed, Read: d.read,
		Rescanned: func(cause string, readable bool) { d.metrics.rescanned(cause, readable) }, Rescan: o.Rescan, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("estimators: %w", err)
	}
	if o.Trusted {
		if err := workers.CheckTrusted(o.Dir); err != nil {
			return nil, fmt.Errorf("estimators: the directory may not be trusted: %w", err)
		}
	}
	d.metrics, err = newMetrics(d, o.Registerer)
	return d, err
}

// View returns what serves now.
func (d *Directory) View() score.View { return d.now.Load() }

// Ready reports whether all files that were there at the start have been read.
func (d *Directory) Ready() bool { return d.follower.Ready() }

// Run follows the directory until ctx ends, and then returns nil.
func (d *Directory) Run(ctx context.Context) error {
	defer d.metrics.Unregister()
	return d.follower.Run(ctx)
}

// Scan reads what is new in the directory once. It is for programs that do not follow it.
func (d *Directory) Scan(ctx context.Context) error {
	names, err := d.changed()
	if err != nil {
		return err
	}
	d.read(ctx, names)
	return context.Cause(ctx)
}

// Bytes is the memory of the estimators that serve, as far as they are loaded.
func (d *Directory) Bytes() (bytes int64) {
	for _, e := range d.now.Load().entries {
		bytes += d.runner.Bytes(e.model)
	}
	return bytes
}

// Faults are the descriptions whose contents do not serve, each with the reason. What served of them before goes on.
func (d *Directory) Faults() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	faults := map[string]string{}
	for name, f := range d.files {
		if f.fault != "" {
			faults[name] = f.fault
		}
	}
	return faults
}

// publish makes a view of all files. If two claim one campaign, the higher version serves, and the other is reported.
func (d *Directory) publish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	best := map[string]*entry{}
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		e := d.files[name].entry
		if e == nil {
			continue
		}
		id := e.campaign.ID
		if other := best[id]; other != nil {
			d.claimed.Warn(d.o.Log, "two descriptions claim one campaign; the higher version serves", "campaign", id, "file", name)
			if other.campaign.Version >= e.campaign.Version {
				continue
			}
		}
		best[id] = e
	}
	entries := make([]*entry, 0, len(best))
	for _, e := range best {
		entries = append(entries, e)
	}
	d.now.Store(newView(d, entries))
}
