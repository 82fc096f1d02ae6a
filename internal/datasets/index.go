package datasets

import (
	"cmp"
	"encoding/json"
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
func (s *Set) indexNow() Index {
	now := s.index
	now.Campaigns = make(map[string]Count, len(s.spans))
	for name, spans := range s.spans {
		c := Count{Files: len(spans), From: spans[0].from, To: spans[len(spans)-1].to}
		for _, at := range spans {
			c.Rows += at.rows
			c.Positives += at.positives
		}
		now.Campaigns[name] = c
	}
	return now
}

// writeIndex puts the index in place whole.
func (s *Set) writeIndex() error {
	text, err := json.Marshal(s.indexNow())
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, aside, indexName)
	if err := os.WriteFile(path, text, 0o640); err != nil {
		return err
	}
	return s.disk.put(path, filepath.Join(s.dir, indexName))
}

// cmpPair compares (a, c) with (b, d).
func cmpPair(a, b, c, d int64) int { return cmp.Or(cmp.Compare(a, b), cmp.Compare(c, d)) }
