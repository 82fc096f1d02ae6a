package datasets

import (
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
)

// join joins a campaign's last files while the last but one has no more rows than the last.
func (s *Set) join(name string) error {
	for {
		spans := s.spans[name]
		n := len(spans)
		if n < 2 || spans[n-2].rows > spans[n-1].rows || spans[n-2].rows+spans[n-1].rows > s.opts.MaxJoinedRows {
			return nil
		}
		one, other := spans[n-2], spans[n-1]
		both := span{from: one.from, to: other.to, rows: one.rows + other.rows, positives: one.positives + other.positives}
		if err := s.writeJoined(name, one, other, both); err != nil {
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
	if err != nil {
		return err
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
