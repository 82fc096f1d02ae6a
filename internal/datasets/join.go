package datasets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
)

// errNotJoined is that a joined file could not be written, on a full disk say. Its parts are as they were.
var errNotJoined = errors.New("files could not be joined; they stay as they are, and a later flush tries again")

// join joins a campaign's last files while the last but one has no more rows than the last. Files that cannot be joined are
// reported and stay: that costs nothing but more files.
func (s *Set) join(name string) error {
	for {
		spans := s.spans[name]
		n := len(spans)
		if n < 2 || spans[n-2].rows > spans[n-1].rows || spans[n-2].rows+spans[n-1].rows > s.opts.MaxJoinedRows {
			return nil
		}
		one, other := spans[n-2], spans[n-1]
		both := span{from: one.from, to: other.to, rows: one.rows + other.rows, positives: one.positives + other.positives}
		err := s.writeJoined(name, one, other, both)
		if errors.Is(err, errNotJoined) {
			s.unjoined.Warn(s.opts.Log, "a data set's files were not joined", "data_set", s.dir, "campaign", name, "error", err)
			return nil
		}
		if err != nil {
			return err
		}
		s.spans[name] = append(spans[:n-2], both)
	}
}

// writeJoined writes the joined file, puts it in place, and removes its parts, in this order: a reader always finds every row once.
func (s *Set) writeJoined(name string, one, other, both span) error {
	if err := s.disk.step("join"); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, name)
	path := s.asidePath(name)
	err := s.layout.writeFile(path, both.positives, func(w *parquet.Writer) error {
		for _, part := range []span{one, other} {
			if err := s.layout.copyRows(w, filepath.Join(dir, part.name())); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = s.syncFile(path)
	}
	if err != nil { // nothing is in place yet
		return fmt.Errorf("%w: %w", errNotJoined, errors.Join(err, removeIfThere(path)))
	}
	if err := s.disk.put(path, filepath.Join(dir, both.name())); err != nil {
		return err
	}
	for _, part := range []span{one, other} {
		if err := s.disk.step("remove"); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(dir, part.name())); err != nil {
			return err
		}
	}
	return nil
}

// syncFile has a file on disk, so that to rename it needs no more room.
func (s *Set) syncFile(path string) error {
	if err := s.disk.step("sync joined"); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(s.disk.sync(f), f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// expire removes files whose rows are all before the time.
func (s *Set) expire(before int64) error {
	for name, spans := range s.spans {
		kept := 0
		for kept < len(spans) && spans[kept].to <= before {
			if err := s.disk.step("expire"); err != nil {
				return err
			}
			if err := os.Remove(filepath.Join(s.dir, name, spans[kept].name())); err != nil {
				return err
			}
			kept++
		}
		if kept == len(spans) {
			delete(s.spans, name)
		} else {
			s.spans[name] = spans[kept:]
		}
	}
	return nil
}
