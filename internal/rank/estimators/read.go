package estimators

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gavel/internal/dirwatch"
	"gavel/internal/rank/score"
)

// isName reports whether a file of this name matters: a description, or an estimator that one may name.
func (d *Directory) isName(name string) bool {
	return isDescription(name) || !strings.HasPrefix(name, ".") && slices.Contains(d.runner.Endings(), filepath.Ext(name))
}

func isDescription(name string) bool {
	return strings.HasSuffix(name, Suffix) && !strings.HasPrefix(name, ".")
}

// changed lists the descriptions that are not as they were read, that are gone, or that had a fault, whose reason may be gone.
func (d *Directory) changed() (names []string, err error) {
	entries, err := os.ReadDir(d.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("estimators: cannot list the directory: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		name := e.Name()
		if !isDescription(name) {
			continue
		}
		there[name] = true
		if f := d.files[name]; f == nil || f.fault != "" || !f.stamp.Is(dirwatch.StampOf(d.o.Dir, name), f.read) {
			names = append(names, name)
		}
	}
	for name := range d.files {
		if !there[name] {
			names = append(names, name)
		}
	}
	return names, nil
}

// read reads descriptions, and publishes what serves, every now and then while there is more to read. A file that was replaced
// serves until its replacement does.
func (d *Directory) read(ctx context.Context, changed []string) {
	d.reading.Lock()
	defer d.reading.Unlock()
	todo := d.descriptions(changed)
	if len(todo) == 0 {
		return
	}
	names := make(chan string)
	var readers sync.WaitGroup
	var mu sync.Mutex
	var replaced []*entry
	for range min(d.o.Readers, len(todo)) {
		readers.Go(func() {
			for name := range names {
				if old := d.take(ctx, name); old != nil {
					mu.Lock()
					replaced = append(replaced, old)
					mu.Unlock()
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
	for _, e := range replaced { // after what serves has none of them
		d.forget(e)
	}
}

// descriptions are those of the names, and of an estimator's file those with a fault that name it: it may have come later than they.
func (d *Directory) descriptions(names []string) (all []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	came := map[string]bool{}
	for _, name := range names {
		if isDescription(name) {
			all = append(all, name)
		} else {
			came[name] = true
		}
	}
	if len(came) > 0 {
		for name, f := range d.files {
			if f.fault != "" && came[f.estimator] {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// take reads one description and has its estimator prepared, unless it is as it was. It returns what the file no longer serves, or
// nil.
func (d *Directory) take(ctx context.Context, name string) *entry {
	f := &file{stamp: dirwatch.StampOf(d.o.Dir, name), read: time.Now()}
	d.mu.Lock()
	old := d.files[name] // reading one name at a time, nobody else changes it
	d.mu.Unlock()
	var err error
	if f.stamp.Info != nil {
		err = d.prepare(ctx, name, f, old)
	}
	if err != nil && ctx.Err() != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.stamp.Info == nil {
		delete(d.files, name)
		if old == nil {
			return nil
		}
		d.metrics.removed.Inc()
		return old.entry
	}
	d.files[name] = f
	if err != nil {
		f.fault = err.Error()
		d.metrics.read.WithLabelValues("refused").Inc()
		serves := uint64(0)
		if old != nil && old.entry != nil { // it goes on
			f.entry, serves = old.entry, old.entry.campaign.Version
		}
		if old == nil || old.fault != f.fault {
			d.o.Log.Error("an estimator does not serve", "file", name, "error", err, "serves_version", serves)
		}
		return nil
	}
	if old != nil && old.entry == f.entry {
		d.metrics.read.WithLabelValues("unchanged").Inc()
		return nil
	}
	d.metrics.read.WithLabelValues("loaded").Inc()
	if old == nil {
		return nil
	}
	return old.entry
}

// prepare has the estimator of a description prepared, and checks its golden profiles. A description that serves already stays.
func (d *Directory) prepare(ctx context.Context, name string, f, old *file) error {
	desc, err := read(filepath.Join(d.o.Dir, name))
	if err != nil {
		return err
	}
	f.estimator, f.sum = desc.Estimator, desc.sum
	if old != nil && old.fault == "" && old.sum == f.sum {
		f.entry = old.entry
		return nil
	}
	if err := desc.checkEnding(d.runner.Endings()); err != nil {
		return fmt.Errorf("estimators: %s: %w", name, err)
	}
	m, err := d.runner.Prepare(ctx, desc.source(d.o.Dir, d.o.Trusted))
	if err != nil {
		return err
	}
	e := &entry{model: m, encoder: newEncoder(desc, d.words),
		campaign: score.Campaign{ID: strings.Clone(desc.Campaign), Version: desc.Version, Variance: desc.Variance}}
	if err := d.checkGolden(ctx, e, desc.Golden); err != nil {
		d.forget(e)
		return err
	}
	d.runner.Checked(m)
	f.entry = e
	return nil
}

// forget frees what does not serve any more.
func (d *Directory) forget(e *entry) {
	d.runner.Remove(e.model)
	for i := range e.encoder.features {
		d.words.release(e.encoder.features[i].ids)
	}
}
