package datasets

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gavel/internal/files"
	"gavel/internal/throttle"
)

const (
	aside    = ".aside"
	lockName = ".lock"
	ended    = "ended"
)

// Options configures a set.
type Options struct {
	// Fields are the names of the profile's fields, in the order of Row.Values. A set keeps the fields it was made with.
	Fields []string
	// Retention is how long rows are kept after the last flushed time. 0: for ever.
	Retention time.Duration
	// MaxJoinedRows bounds the rows of a joined file. 0: 4,000,000.
	MaxJoinedRows int64
	// Log takes reports of files that cannot be read or joined. nil: slog.Default().
	Log *slog.Logger
}

var (
	// ErrBroken means that a flush failed halfway. What is on disk is known again when the set is opened anew.
	ErrBroken = errors.New("a flush failed halfway; the data set must be opened anew")
	errClosed = errors.New("datasets: the set is closed")
)

// A Set is a data set that this process writes. Only one process can have it open. Its methods may be called by several
// goroutines.
type Set struct {
	dir    string
	opts   Options
	layout *layout

	mu      sync.Mutex // guards all below
	lock    *os.File
	index   Index
	spans   map[string][]span // by escaped campaign, in the order of time
	pending []Row             // in the order of time
	broken  error             // set when a flush failed halfway: the set must be opened anew

	disk     disk // replaced in tests
	unjoined throttle.Line
}

// Open opens the data set <root>/<name>, or makes it. It removes what a flush left that did not commit. Its errors name the
// file and the remedy. A file that cannot be read is reported, kept, and never joined.
func Open(root, name string, opts Options) (*Set, error) {
	s := &Set{dir: filepath.Join(root, name), opts: opts, spans: map[string][]span{}, disk: realDisk}
	if s.opts.MaxJoinedRows <= 0 {
		s.opts.MaxJoinedRows = 4_000_000
	}
	if s.opts.Log == nil {
		s.opts.Log = slog.Default()
	}
	if err := s.open(name); err != nil {
		if s.lock != nil {
			s.lock.Close()
		}
		return nil, fmt.Errorf("datasets: cannot open %s: %w", s.dir, err)
	}
	return s, nil
}

func (s *Set) open(name string) (err error) {
	if name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return fmt.Errorf("%q: want the name of a directory", name)
	}
	if s.layout, err = newLayout(s.opts.Fields); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.dir, aside), 0o750); err != nil {
		return err
	}
	if s.lock, err = files.Lock(filepath.Join(s.dir, lockName)); err != nil {
		return err
	}
	if s.index, err = ReadIndex(s.dir); errors.Is(err, fs.ErrNotExist) {
		s.index = Index{Fields: slices.Clone(s.opts.Fields)}
		if err := errors.Join(s.writeIndex(s.index), s.putIndex()); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if !slices.Equal(s.index.Fields, s.opts.Fields) {
		return fmt.Errorf("its fields are %s, not %s: name another data set, and let it be filled from the stream",
			strings.Join(s.index.Fields, ", "), strings.Join(s.opts.Fields, ", "))
	}
	return s.recover()
}

// recover makes spans from the directory, without what did not commit and what was joined into another file.
func (s *Set) recover() error {
	if err := emptyDir(filepath.Join(s.dir, aside)); err != nil {
		return err
	}
	campaigns, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, campaign := range campaigns {
		if !campaign.IsDir() || strings.HasPrefix(campaign.Name(), ".") {
			continue
		}
		if err := s.recoverCampaign(campaign.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) recoverCampaign(name string) error {
	dir := filepath.Join(s.dir, name)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var found []span
	for _, e := range entries {
		if at, ok := parseName(e.Name()); ok {
			found = append(found, at)
		}
	}
	// A file goes before those within it.
	slices.SortFunc(found, func(a, b span) int { return cmpPair(a.from, b.from, b.to, a.to) })
	var kept []span
	for _, at := range found {
		path := filepath.Join(dir, at.name())
		if at.to > s.index.Until || len(kept) > 0 && at.within(kept[len(kept)-1]) {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		if len(kept) > 0 && at.from < kept[len(kept)-1].to {
			return fmt.Errorf("%s overlaps %s: move one of them away", path, kept[len(kept)-1].name())
		}
		counted, err := s.layout.count(path, at)
		if err != nil {
			s.opts.Log.Error("a file of a data set cannot be read; its rows are not used", "file", path, "error", err)
			counted.rows = s.opts.MaxJoinedRows + 1 // never joined
		}
		kept = append(kept, counted)
	}
	if len(kept) > 0 {
		s.spans[name] = kept
	}
	return nil
}

// Add takes a row, whose time must be no earlier than the last row's and than the last flush. It
// refuses a row that does not fit with an error that names its fault; the set is as before. Rows wait in memory: bound Pending.
func (s *Set) Add(r Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if err := s.layout.check(&r); err != nil {
		return fmt.Errorf("datasets: row %.40q: %w", r.ID, err)
	}
	last := s.index.Until
	if n := len(s.pending); n > 0 {
		last = s.pending[n-1].Time
	}
	if r.Time < last {
		return fmt.Errorf("datasets: row %.40q: its time %d is before %d, the last one's: add rows in the order of time", r.ID, r.Time, last)
	}
	s.pending = append(s.pending, r)
	return nil
}

// Position returns what the last Flush was given: the time before which all rows are on disk, and where to resume the
// stream. Both are zero for a new set.
func (s *Set) Position() (until int64, position string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.Until, s.index.Position
}

// Fields returns the names of the rows' values, in their order. The caller must not change them.
func (s *Set) Fields() []string { return s.layout.fields }

// Pending returns the number of rows that wait for a flush.
func (s *Set) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// Index returns what is on disk.
func (s *Set) Index() Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.indexNow()
}

// SetActive says which campaigns are active. All others that have rows are marked as ended: trainers remove their classifiers.
func (s *Set) SetActive(campaigns []string) error {
	active := make(map[string]bool, len(campaigns))
	for _, c := range campaigns {
		active[files.Escape(c)] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.spans {
		if err := mark(filepath.Join(s.dir, name, ended), !active[name]); err != nil {
			return fmt.Errorf("datasets: cannot mark a campaign: %w", err)
		}
	}
	return nil
}

// mark makes an empty file, or removes it.
func mark(path string, is bool) error {
	if _, err := os.Stat(path); (err == nil) == is {
		return nil
	}
	if !is {
		return os.Remove(path)
	}
	return os.WriteFile(path, nil, 0o640)
}

// Close gives the set up. Rows that wait are not written: the stream brings them again.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = errClosed
	return s.lock.Close()
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
