package workers

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gavel/internal/engine"
)

// Format is the name of the format, in manifests and of the folder of its files in a version.
const Format = "workers"

// EstimatorFile is the description of the estimator, in that folder.
const EstimatorFile = "estimator.json"

// maxDescription bounds EstimatorFile, in bytes.
const maxDescription = 4 << 20

// readVersion reads the description of a version's estimator:
//
//	{"format": 1, "estimator": "model.skops", "sha256": "…", "columns": [{"name": "country", "type": "text"}]}
//
// The estimator lies beside it. The types are those of ColumnType.
func readVersion(v *engine.Version, trusted bool) (*Source, error) {
	path := filepath.Join(v.Dir, EstimatorFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("workers: cannot read the description: %w", err)
	}
	if len(data) > maxDescription {
		return nil, fmt.Errorf("workers: %s has %d bytes, may have %d", path, len(data), maxDescription)
	}
	var d struct {
		Format    int    `json:"format"`
		Estimator string `json:"estimator"`
		SHA256    string `json:"sha256"`
		Columns   []struct {
			Name string     `json:"name"`
			Type ColumnType `json:"type"`
		} `json:"columns"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("workers: %s cannot be decoded: %w", path, err)
	}
	if d.Format != 1 {
		return nil, fmt.Errorf("workers: %s: format is %d, must be 1", path, d.Format)
	}
	if d.Estimator == "" || d.Estimator != filepath.Base(d.Estimator) || strings.HasPrefix(d.Estimator, ".") {
		return nil, fmt.Errorf("workers: %s: estimator %q must be the name of a file beside it", path, d.Estimator)
	}
	s := &Source{Name: fmt.Sprintf("%s version %d", v.Model, v.Number), Path: filepath.Join(v.Dir, d.Estimator), Trusted: trusted,
		Rows: Table, Positive: -1}
	sum, err := hex.DecodeString(d.SHA256)
	if err != nil || len(sum) != len(s.SHA256) {
		return nil, fmt.Errorf("workers: %s: sha256 %q must be 64 hex digits", path, d.SHA256)
	}
	copy(s.SHA256[:], sum)
	for _, c := range d.Columns {
		s.Columns = append(s.Columns, TableColumn{Name: c.Name, Type: c.Type})
	}
	return s, nil
}
