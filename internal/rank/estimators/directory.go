package estimators

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/score"
)

// Options say which directory is served.
type Options struct {
	Dir     string
	Trusted bool          // its pickles may be read; refused if others than its owner can write to it
	Rescan  time.Duration // how often the directory is read; 0: 10 s
	Readers int           // descriptions that are read at once; 0: 2. More than one keeps preparers busy
	Log     *slog.Logger
}

// Directory serves a directory of estimators. It is a score.Scorer.
type Directory struct {
	o     Options
	pool  *workers.Pool
	words *words
	now   atomic.Pointer[view]

	mu     sync.Mutex // guards what follows; a scan changes it
	files  map[string]*file
	warned time.Time // of throttled
}

// file is a description that was read.
type file struct {
	stamp stamp
	entry *entry // nil if it is faulty
	fault string
}

// stamp says whether a file is the one that was read.
type stamp struct {
	size     int64
	modified time.Time
}

// Open returns a scorer that serves nothing yet: Scan reads the directory, Loop keeps reading it. The pool stays the
// caller's.
func Open(pool *workers.Pool, o Options) (*Directory, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rescan == 0 {
		o.Rescan = 10 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 2
	}
	if o.Rescan < 0 || o.Readers < 0 {
		return nil, fmt.Errorf("estimators: rescan is %v and readers is %d, must not be negative", o.Rescan, o.Readers)
	}
	if o.Trusted {
		if err := workers.CheckTrusted(o.Dir); err != nil {
			return nil, fmt.Errorf("estimators: the directory may not be trusted: %w", err)
		}
	}
	d := &Directory{o: o, pool: pool, words: newWords(), files: map[string]*file{}}
	d.now.Store(newView(d, nil))
	return d, nil
}

// View returns what serves now.
func (d *Directory) View() score.View { return d.now.Load() }

// Faults are the descriptions that do not serve, each with the reason.
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

// Loop scans the directory again and again until ctx ends.
func (d *Directory) Loop(ctx context.Context) error {
	tick := time.NewTicker(d.o.Rescan)
	defer tick.Stop()
	for {
		if err := d.Scan(ctx); err != nil && ctx.Err() == nil {
			d.o.Log.Error("cannot scan estimators; what serves stays", "dir", d.o.Dir, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Scan reads what is new in the directory, and publishes it, every now and then while there is more to read. A file that
// was replaced serves until its replacement does. One scan runs at a time.
func (d *Directory) Scan(ctx context.Context) error {
	found, err := list(d.o.Dir)
	if err != nil {
		return err
	}
	d.mu.Lock()
	var todo []string
	for name, s := range found {
		if f := d.files[name]; f == nil || f.stamp != s {
			todo = append(todo, name)
		}
	}
	gone := maps.Clone(d.files)
	maps.DeleteFunc(gone, func(name string, _ *file) bool { _, there := found[name]; return there })
	for name := range gone {
		delete(d.files, name)
	}
	d.mu.Unlock()
	if len(todo)+len(gone) == 0 {
		return nil
	}

	names := make(chan string)
	var readers sync.WaitGroup
	for range d.o.Readers {
		readers.Go(func() {
			for name := range names {
				if old := d.take(ctx, name, found[name]); old != nil {
					d.mu.Lock()
					gone[name] = old
					d.mu.Unlock()
				}
			}
		})
	}
	published := time.Now()
	for _, name := range todo {
		select {
		case names <- name:
		case <-ctx.Done():
		}
		if time.Since(published) > 500*time.Millisecond {
			d.publish()
			published = time.Now()
		}
	}
	close(names)
	readers.Wait()
	d.publish()
	for _, f := range gone { // after what serves has none of them
		d.forget(f)
	}
	return context.Cause(ctx)
}

// list returns the descriptions of a directory.
func list(dir string) (map[string]stamp, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("estimators: cannot list the directory: %w", err)
	}
	found := map[string]stamp{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), Suffix) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("estimators: cannot list the directory: %w", err)
		}
		if info.Mode().IsRegular() {
			found[e.Name()] = stamp{info.Size(), info.ModTime()}
		}
	}
	return found, nil
}

// take reads one description and has its estimator prepared. It returns the file that it replaces, nil if there was none.
func (d *Directory) take(ctx context.Context, name string, s stamp) *file {
	f := &file{stamp: s}
	var err error
	if f.entry, err = d.prepare(ctx, name); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		f.fault = err.Error()
		d.o.Log.Error("an estimator does not serve", "file", name, "error", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.files[name]
	if f.fault != "" && old != nil && old.entry != nil { // the one before goes on
		f.entry, old = old.entry, nil
	}
	d.files[name] = f
	return old
}

func (d *Directory) prepare(ctx context.Context, name string) (*entry, error) {
	desc, err := read(filepath.Join(d.o.Dir, name))
	if err != nil {
		return nil, err
	}
	c, err := d.pool.Prepare(ctx, desc.source(d.o.Dir, d.o.Trusted))
	if err != nil {
		return nil, err
	}
	e := &entry{classifier: c, encoder: newEncoder(desc, d.words),
		campaign: score.Campaign{ID: strings.Clone(desc.Campaign), Version: desc.Version, Variance: desc.Variance}}
	if err := d.checkGolden(ctx, e, desc.Golden); err != nil {
		d.forget(&file{entry: e})
		return nil, err
	}
	return e, nil
}

// goldenTolerance is the largest difference of a golden probability.
const goldenTolerance = 1e-6

// checkGolden compares golden profiles' probabilities with those of the worker. A classifier without room in memory goes
// unchecked, as nothing can score it.
func (d *Directory) checkGolden(ctx context.Context, e *entry, g *golden) error {
	if g == nil || len(g.Profiles) == 0 {
		return nil
	}
	b := workers.NewBag(1, len(g.Profiles))
	for _, fields := range g.Profiles {
		var p score.Profile
		for name, value := range fields {
			p = append(p, score.Field{Name: name, Value: value})
		}
		if e.encoder.columns == nil {
			b.Add(e.classifier, e.encoder.row(nil, d.words.of(p)))
			continue
		}
		row, err := e.encoder.table(p)
		if err != nil {
			return fmt.Errorf("estimators: a golden profile of %s: %w", e.campaign.ID, err)
		}
		b.AddTable(e.classifier, row)
	}
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := d.pool.Run(within, b); err != nil {
		return fmt.Errorf("estimators: cannot score golden profiles of %s: %w", e.campaign.ID, err)
	}
	for i, want := range g.Probabilities {
		switch b.Outcome(i) {
		case workers.Scored:
			if got := b.Probability(i, 0); !(math.Abs(got-want) <= goldenTolerance) {
				return fmt.Errorf("estimators: %s gives golden profile %d the probability %v, its description says %v", e.campaign.ID, i, got, want)
			}
		case workers.Failed:
			return fmt.Errorf("estimators: golden profile %d: %s", i, b.Faults()[i])
		case workers.Pending:
			return fmt.Errorf("estimators: golden profile %d of %s was not scored within a minute", i, e.campaign.ID)
		}
	}
	return nil
}

// publish makes a view of all files. If two claim one campaign, the higher version serves, and the other is reported.
func (d *Directory) publish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	best := map[string]*entry{}
	for name, f := range d.files {
		if f.entry == nil {
			continue
		}
		id := f.entry.campaign.ID
		if other := best[id]; other != nil {
			d.o.Log.Warn("two descriptions claim one campaign; the higher version serves", "campaign", id, "file", name)
			if other.campaign.Version >= f.entry.campaign.Version {
				continue
			}
		}
		best[id] = f.entry
	}
	entries := make([]*entry, 0, len(best))
	for _, e := range best {
		entries = append(entries, e)
	}
	d.now.Store(newView(d, entries))
}

// forget frees what a file had.
func (d *Directory) forget(f *file) {
	if f.entry == nil {
		return
	}
	d.pool.Remove(f.entry.classifier)
	for i := range f.entry.encoder.features {
		d.words.release(f.entry.encoder.features[i].ids)
	}
}

// throttled warns, at most once a second.
func (d *Directory) throttled(message, campaign, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.warned) > time.Second {
		d.warned = now
		d.o.Log.Warn(message, "campaign", campaign, "error", why)
	}
}
