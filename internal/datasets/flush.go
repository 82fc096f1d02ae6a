package datasets

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/parquet-go/parquet-go"

	"gavel/internal/files"
)

// Flush puts all waiting rows of times before until on disk, as the package's doc says, and removes files older than the retention. Rows
// added later must have times from until on. position is where to resume the stream, so that all of those come. If it fails before it commits, the rows still wait, and Flush may be called
// again. If it fails later, the error wraps ErrBroken, and the set refuses everything until it is opened anew.
func (s *Set) Flush(until int64, position string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if until < s.index.Until {
		return fmt.Errorf("datasets: cannot flush until %d: all before %d is on disk already", until, s.index.Until)
	}
	n := sort.Search(len(s.pending), func(i int) bool { return s.pending[i].Time >= until })
	if err := s.flush(s.pending[:n], until, position); err != nil {
		return fmt.Errorf("datasets: cannot flush %s: %w", s.dir, err)
	}
	s.pending = slices.Delete(s.pending, 0, n)
	return nil
}

func (s *Set) flush(rows []Row, until int64, position string) error {
	byCampaign := map[string][]*Row{}
	for i := range rows {
		name := files.Escape(rows[i].Campaign)
		byCampaign[name] = append(byCampaign[name], &rows[i])
	}
	names := slices.Sorted(maps.Keys(byCampaign))
	made := make([]span, len(names))
	for i, name := range names {
		var err error
		if made[i], err = s.write(name, byCampaign[name], until); err != nil {
			return s.undo(names, made, err)
		}
	}
	if len(names) > 0 {
		if err := s.place(names, made); err != nil {
			return s.undo(names, made, err)
		}
	}
	if err := s.prepare(names, made, until, position); err != nil {
		return s.undo(names, made, err)
	}
	if err := s.commit(names, made, until, position); err != nil {
		// Whether the index is the old one or the new one is known when it is read again.
		return s.fail(err)
	}
	for _, name := range names {
		if err := s.join(name); err != nil {
			return s.fail(err)
		}
	}
	if s.opts.Retention > 0 {
		if err := s.expire(until - s.opts.Retention.Milliseconds()); err != nil {
			return s.fail(err)
		}
	}
	return nil
}

func (s *Set) fail(err error) error {
	s.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	return s.broken
}

// write writes a campaign's rows aside. The file's range begins where the rows do.
func (s *Set) write(name string, rows []*Row, until int64) (span, error) {
	at := span{from: rows[0].Time, to: until, rows: int64(len(rows))}
	for _, r := range rows {
		if r.Label {
			at.positives++
		}
	}
	if err := s.disk.step("write"); err != nil {
		return at, err
	}
	return at, s.layout.writeFile(s.asidePath(name), at.positives, func(w *parquet.Writer) error {
		buffer := make([]parquet.Row, 1)
		for _, r := range rows {
			buffer[0] = s.layout.put(buffer[0], r)
			if _, err := w.WriteRows(buffer); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Set) asidePath(name string) string { return filepath.Join(s.dir, aside, name+suffix) }

// place syncs the files that were written aside, renames them into place and syncs their names.
func (s *Set) place(names []string, made []span) error {
	if err := s.syncAll(); err != nil {
		return err
	}
	for i, name := range names {
		if err := s.disk.step("rename"); err != nil {
			return err
		}
		dir := filepath.Join(s.dir, name)
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
		if err := os.Rename(s.asidePath(name), filepath.Join(dir, made[i].name())); err != nil {
			return err
		}
	}
	return s.syncAll()
}

// syncAll syncs the file system: for thousands of files that is one call.
func (s *Set) syncAll() error {
	if err := s.disk.step("sync"); err != nil {
		return err
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := s.disk.syncfs(d); err != nil {
		return fmt.Errorf("cannot sync: %w", err)
	}
	return nil
}

// undo removes what a flush made that will not commit, and returns its fault. What cannot be removed goes when the set is opened next.
func (s *Set) undo(names []string, made []span, fault error) error {
	for i, name := range names {
		if made[i].to == 0 { // not begun, like all after it
			break
		}
		for _, path := range []string{s.asidePath(name), filepath.Join(s.dir, name, made[i].name())} {
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				return s.fail(errors.Join(fault, err))
			}
		}
	}
	return fault
}

// prepare writes the next index aside and syncs it, so that a full disk is found while the flush can still be undone.
func (s *Set) prepare(names []string, made []span, until int64, position string) error {
	if err := s.disk.step("prepare"); err != nil {
		return err
	}
	next := s.indexWith(names, made)
	next.Until, next.Position = until, position
	return s.writeIndex(next)
}

// commit puts the prepared index in place.
func (s *Set) commit(names []string, made []span, until int64, position string) error {
	if err := s.disk.step("commit"); err != nil {
		return err
	}
	if err := s.putIndex(); err != nil {
		return err
	}
	for i, name := range names {
		s.spans[name] = append(s.spans[name], made[i])
	}
	s.index.Until, s.index.Position = until, position
	return nil
}
