package classifiers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gavel/internal/dirwatch"
	"gavel/internal/files"
)

// A batch is what is in memory at once: so many files, of so many bytes. A file that is larger is a batch for itself.
const (
	batchFiles = 256
	batchBytes = 16 << 20
)

// reading is a file as it was found.
type reading struct {
	name  string
	stamp dirwatch.Stamp // without info: the file is gone
	file  *File          // nil if fault is set
	data  [32]byte
	fault error
}

// read reads files, priors first, and then those that wait for what they bring, until none is left or ctx ends.
func (m *Monitor) read(ctx context.Context, names []string) {
	for len(names) > 0 && ctx.Err() == nil {
		slices.SortFunc(names, func(a, b string) int {
			if p, q := strings.HasPrefix(a, "prior."), strings.HasPrefix(b, "prior."); p != q {
				if p {
					return -1
				}
				return 1
			}
			return cmp.Compare(a, b)
		})
		names = slices.Compact(names)
		n, total := 0, int64(0)
		stamps := make([]dirwatch.Stamp, 0, batchFiles)
		for n < len(names) && n < batchFiles {
			s := dirwatch.StampOf(m.options.Dir, names[n])
			if s.Info != nil {
				if total += s.Info.Size(); total > batchBytes && n > 0 {
					break
				}
			}
			stamps = append(stamps, s)
			n++
		}
		again := m.apply(m.readBatch(names[:n], stamps))
		names = append(again, names[n:]...)
	}
}

// readBatch reads files with at most Options.Readers goroutines.
func (m *Monitor) readBatch(names []string, stamps []dirwatch.Stamp) []reading {
	readings := make([]reading, len(names))
	var readers sync.WaitGroup
	next := make(chan int)
	for range min(m.options.Readers, len(names)) {
		readers.Go(func() {
			for i := range next {
				readings[i] = m.readFile(names[i], stamps[i])
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	readers.Wait()
	return readings
}

// readFile reads and decodes a file. The stamp is of before it was read: if it changes meanwhile, it is read again.
func (m *Monitor) readFile(name string, s dirwatch.Stamp) reading {
	r := reading{name: name, stamp: s}
	if s.Info == nil {
		_, err := os.Stat(filepath.Join(m.options.Dir, name))
		if !errors.Is(err, fs.ErrNotExist) && err != nil {
			r.fault = fmt.Errorf("classifiers: %w: %w", errUnreadable, err)
		}
		return r
	}
	data, err := m.readBytes(name, s)
	if errors.Is(err, fs.ErrNotExist) {
		r.stamp = dirwatch.Stamp{} // since
		return r
	}
	if err != nil {
		r.fault = err
		return r
	}
	if len(data) >= len(r.data) {
		copy(r.data[:], data[len(data)-sha256.Size:])
	}
	r.file, r.fault = Decode(data)
	return r
}

// errUnreadable is that the system does not give the file's bytes.
var errUnreadable = errors.New("it cannot be read")

func (m *Monitor) readBytes(name string, s dirwatch.Stamp) ([]byte, error) {
	if !s.Info.Mode().IsRegular() {
		return nil, fmt.Errorf("classifiers: %w: it is no regular file", errUnreadable)
	}
	if s.Info.Size() > MaxBytes {
		return nil, fmt.Errorf("classifiers: %w: %d bytes, more than %d", ErrDamaged, s.Info.Size(), MaxBytes)
	}
	data, err := files.ReadRegular(filepath.Join(m.options.Dir, name), MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("classifiers: %w: %w", errUnreadable, err)
	}
	return data, nil
}

// apply hands what was read to the sink, notes what came of it, and returns the files that must be read again: those that wait for
// a prior that came, and the rivals of a classifier that went.
func (m *Monitor) apply(readings []reading) (again []string) {
	now := time.Now()
	var p plan
	for _, r := range readings {
		m.plan(&p, r, now)
	}
	if len(p.removed)+len(p.added) > 0 {
		faults := m.options.Sink.Apply(append(p.removed, p.added...))
		m.mu.Lock()
		for i, done := range p.done {
			done(faults[len(p.removed)+i])
		}
		m.mu.Unlock()
	}
	return p.again
}

// plan is what a batch changes. What is removed goes first, because a campaign may have moved to another file.
type plan struct {
	removed, added []Change
	done           []func(error) // of each that is added: notes what came of it, under the lock
	again          []string
}

func (p *plan) add(f *File, done func(error)) {
	p.added, p.done = append(p.added, Change{File: f}), append(p.done, done)
}

// plan adds what one file changes.
func (m *Monitor) plan(p *plan, r reading, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.table
	if r.stamp.Info == nil && r.fault == nil { // gone
		if k := t.files[r.name]; k != nil {
			m.metrics.removed.Inc()
			t.settle(r.name, k)
			m.withdraw(p, r.name, k)
			delete(t.files, r.name)
		}
		return
	}
	k := t.file(r.name)
	k.stamp, k.read = r.stamp, now
	t.settle(r.name, k)
	if r.fault != nil {
		m.refuse(r.name, k, r.fault)
		return
	}
	f := r.file
	is := &identity{f.Kind, strings.Clone(f.Campaign), f.Version, f.Prior, r.data, aboutOf(f)}
	if k.served != nil && *k.served == *is {
		m.metrics.read.WithLabelValues("unchanged").Inc()
		return
	}
	if f.Kind == Prior {
		m.planPrior(p, r.name, k, f, is)
	} else {
		m.planClassifier(p, r.name, k, f, is)
	}
}

func (m *Monitor) planPrior(p *plan, name string, k *known, f *File, is *identity) {
	if server, serves := m.table.priors[f.Version]; serves {
		m.refuse(name, k, fmt.Errorf("classifiers: %w: prior %d serves already from %s, with other contents", ErrContents, f.Version, server))
		return
	}
	m.withdraw(p, name, k)
	m.table.priors[f.Version] = name // further files of this version in the batch are refused
	p.add(f, func(err error) {
		if err != nil {
			delete(m.table.priors, f.Version)
			m.refuse(name, k, err)
			return
		}
		m.table.settle(name, k)
		k.served = is
		m.metrics.read.WithLabelValues("loaded").Inc()
		p.again = append(p.again, m.table.waiting(f.Version)...)
	})
}

func (m *Monitor) planClassifier(p *plan, name string, k *known, f *File, is *identity) {
	t := &m.table
	if k.served != nil && (k.served.kind != Classifier || k.served.campaign != f.Campaign) {
		m.withdraw(p, name, k)
	}
	// The higher version serves, or of equal ones the file whose name comes first.
	if server, serves := t.servers[is.campaign]; serves && server != name {
		if s := t.files[server].served; s.version > is.version || s.version == is.version && server < name {
			t.outrank(name, k, is.campaign, time.Now())
			m.report(name, k)
			return
		}
	}
	p.add(f, func(err error) {
		// Of files of one campaign in one batch the sink has the last, and so has the table.
		switch {
		case errors.Is(err, ErrPrior):
			k.waits, k.since = is.prior, time.Now()
			m.report(name, k)
			return
		case err != nil:
			m.refuse(name, k, err)
			return
		}
		if server, serves := t.servers[is.campaign]; serves && server != name {
			old := t.files[server]
			old.served = nil
			t.outrank(server, old, is.campaign, time.Now())
			m.report(server, old)
		}
		t.settle(name, k)
		t.servers[is.campaign], k.served = name, is
		k.loads++
		m.metrics.read.WithLabelValues("loaded").Inc()
		for _, rival := range t.rivals(is.campaign) { // whose version may be the higher one now
			p.again = append(p.again, rival)
		}
	})
}

// withdraw removes what serves of a file.
func (m *Monitor) withdraw(p *plan, name string, k *known) {
	t := &m.table
	s := k.served
	if s == nil {
		return
	}
	k.served = nil
	if s.kind == Prior {
		delete(t.priors, s.version)
		p.removed = append(p.removed, Change{Prior: s.version})
		for other, dependent := range t.files {
			if dependent.fault != nil { // it may be another file of this version
				p.again = append(p.again, other)
			}
			// Classifiers wait for the prior to come back.
			if d := dependent.served; d != nil && d.kind == Classifier && d.prior == s.version {
				delete(t.servers, d.campaign)
				dependent.served, dependent.waits, dependent.since = nil, s.version, time.Now()
				m.report(other, dependent)
				p.again = append(p.again, t.rivals(d.campaign)...)
			}
		}
		return
	}
	delete(t.servers, s.campaign)
	p.removed = append(p.removed, Change{Campaign: s.campaign})
	p.again = append(p.again, t.rivals(s.campaign)...)
}
