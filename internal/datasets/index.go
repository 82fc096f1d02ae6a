package datasets

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	indexName     = "index.json"
	maxIndexBytes = 256 << 20
)

// Index says what a data set holds. It is index.json in the set's directory.
type Index struct {
	Fields []string `json:"fields"`
	// Until is the time before which all rows are on disk, Unix ms.
	Until int64 `json:"until_ms"`
	// Position is where to resume the stream.
	Position string `json:"position"`
	// Campaigns are by their directories' names.
	Campaigns map[string]Count `json:"campaigns"`
}

// Count is what one campaign has on disk.
type Count struct {
	Files     int   `json:"files"`
	Rows      int64 `json:"rows"`
	Positives int64 `json:"positives"`
	From      int64 `json:"from_ms"`
	To        int64 `json:"to_ms"`
}

// ReadIndex reads the index of the data set in dir. It returns fs.ErrNotExist if there is none.
func ReadIndex(dir string) (Index, error) {
	var found Index
	path := filepath.Join(dir, indexName)
	st, err := os.Stat(path)
	if err != nil {
		return found, err
	}
	if st.Size() > maxIndexBytes {
		return found, fmt.Errorf("%s has %d bytes, more than %d", path, st.Size(), maxIndexBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return found, fmt.Errorf("%s is damaged: %w: remove the data set and let it be filled from the stream, or restore this file", path, err)
	}
	return found, nil
}

// indexNow is the index with the present counts.
func (s *Set) indexNow() Index { return s.indexWith(nil, nil) }

// indexWith is the index with the present counts, and those of further files of these campaigns.
func (s *Set) indexWith(names []string, made []span) Index {
	now := s.index
	now.Campaigns = make(map[string]Count, len(s.spans)+len(names))
	for name, spans := range s.spans {
		var c Count
		for _, at := range spans {
			c.add(at)
		}
		now.Campaigns[name] = c
	}
	for i, name := range names {
		c := now.Campaigns[name]
		c.add(made[i])
		now.Campaigns[name] = c
	}
	return now
}

// add adds a file, the campaign's last one.
func (c *Count) add(at span) {
	if c.Files == 0 {
		c.From = at.from
	}
	c.To = at.to
	c.Files++
	c.Rows += at.rows
	c.Positives += at.positives
}

func (s *Set) asideIndex() string { return filepath.Join(s.dir, aside, indexName) }

// writeIndex writes an index aside and syncs it.
func (s *Set) writeIndex(index Index) error {
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.asideIndex(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, s.disk.sync(f), f.Close())
}

// putIndex puts the index that was written aside in place.
func (s *Set) putIndex() error {
	return s.disk.put(s.asideIndex(), filepath.Join(s.dir, indexName))
}

// cmpPair compares (a, c) with (b, d).
func cmpPair(a, b, c, d int64) int { return cmp.Or(cmp.Compare(a, b), cmp.Compare(c, d)) }
