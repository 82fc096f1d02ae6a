package estimators

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"gavel/internal/engine/workers"
	"gavel/internal/files"
)

// Suffix is how descriptions end.
const Suffix = ".estimator.json"

// Bounds on a description.
const (
	maxBytes    = 64 << 20
	maxFeatures = 256
	maxFields   = 4
	maxValues   = 1 << 20
	maxGolden   = 64
)

// separator joins the values of a cross.
const separator = "\x1f"

// description is the content of a file, as docs/workers.md has it.
type description struct {
	Format    int       `json:"format"`
	Campaign  string    `json:"campaign"`
	Version   uint64    `json:"version"`
	Estimator string    `json:"estimator"`
	SHA256    string    `json:"sha256"`
	Rows      string    `json:"rows"`
	DType     string    `json:"dtype"`
	Width     int       `json:"width"`
	Positive  int       `json:"positive"`
	Variance  float64   `json:"variance"`
	Features  []feature `json:"features"`
	Columns   []column  `json:"columns"`
	Golden    *golden   `json:"golden"`

	sum [32]byte // of the file
}

// feature is one feature of an encoder: the column of each value.
type feature struct {
	Name    string   `json:"name"`
	Of      []string `json:"of"`
	Values  []string `json:"values"`
	Columns []int32  `json:"columns"`
	Other   *int32   `json:"other"` // of every other value; none: such a value sets no column
}

// column is a named column of a pipeline.
type column struct {
	Name string   `json:"name"`
	Of   []string `json:"of"`
	Type string   `json:"type"`
}

type golden struct {
	Profiles      []map[string]string `json:"profiles"`
	Probabilities []float64           `json:"probabilities"`
}

// read reads a description and checks it. The error names every fault.
func read(path string) (*description, error) {
	data, err := files.ReadRegular(path, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("estimators: cannot read a description: %w", err)
	}
	d, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("estimators: %s: %w", filepath.Base(path), err)
	}
	d.sum = sha256.Sum256(data)
	return d, nil
}

func parse(data []byte) (*description, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("has more than %d bytes", maxBytes)
	}
	d := &description{Positive: 1}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(d); err != nil {
		return nil, fmt.Errorf("cannot be decoded: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands after its object")
	}
	return d, d.check()
}

func (d *description) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if d.Format != 1 {
		fault("format is %d, must be 1", d.Format)
	}
	if d.Campaign == "" || len(d.Campaign) > 256 || !utf8.ValidString(d.Campaign) {
		fault("campaign %q must be 1 to 256 bytes of UTF-8", d.Campaign)
	}
	if d.Version == 0 {
		fault("version is 0, must be above it")
	}
	if d.Estimator == "" || d.Estimator != filepath.Base(d.Estimator) || strings.HasPrefix(d.Estimator, ".") {
		fault("estimator %q must be the name of a file beside the description", d.Estimator)
	}
	if sum, err := hex.DecodeString(d.SHA256); err != nil || len(sum) != 32 {
		fault("sha256 %q must be 64 hex digits", d.SHA256)
	}
	if !(d.Variance >= 0) || math.IsInf(d.Variance, 0) {
		fault("variance is %v, must be 0 or more", d.Variance)
	}
	if d.Positive < 0 {
		fault("positive is %d, must be the index of the class that is a sale", d.Positive)
	}
	switch workers.Rows(d.Rows) {
	case workers.OneHot:
		if len(d.Features) < 1 || len(d.Features) > maxFeatures || len(d.Columns) > 0 {
			fault("one-hot rows have 1 to %d features and no columns, here are %d and %d", maxFeatures, len(d.Features), len(d.Columns))
		}
	case workers.Table:
		if len(d.Columns) < 1 || len(d.Columns) > maxFeatures || len(d.Features) > 0 || d.Width != 0 {
			fault("a table has 1 to %d columns, no features and no width, here are %d, %d and %d", maxFeatures, len(d.Columns), len(d.Features), d.Width)
		}
	default:
		fault("rows is %q, must be %q or %q", d.Rows, workers.OneHot, workers.Table)
	}
	after, values := int32(-1), 0
	for i := range d.Features {
		f := &d.Features[i]
		values += len(f.Values)
		if err := checkFields(f.Name, f.Of); err != nil {
			fault("%w", err)
		}
		last, err := f.check(after, d.Width)
		if err != nil {
			fault("feature %q: %w", f.Name, err)
		}
		after = last
	}
	if values > maxValues {
		fault("it has %d values, may have %d", values, maxValues)
	}
	for _, c := range d.Columns {
		if err := checkFields(c.Name, c.Of); err != nil {
			fault("%w", err)
		}
	}
	if g := d.Golden; g != nil {
		if len(g.Profiles) != len(g.Probabilities) || len(g.Profiles) > maxGolden {
			fault("golden has %d profiles and %d probabilities, must have as many, at most %d", len(g.Profiles), len(g.Probabilities), maxGolden)
		}
	}
	return errors.Join(faults...)
}

func checkFields(name string, of []string) error {
	if name == "" || len(of) < 1 || len(of) > maxFields {
		return fmt.Errorf("%q reads %d fields, must have a name and read 1 to %d", name, len(of), maxFields)
	}
	return nil
}

// check compares a feature's columns with those of the feature before, whose last is after: a row's columns must ascend. It
// returns its own last column.
func (f *feature) check(after int32, width int) (last int32, err error) {
	if len(f.Columns) != len(f.Values) {
		return after, fmt.Errorf("%d columns for %d values", len(f.Columns), len(f.Values))
	}
	last = after
	each := func(c int32) {
		if c <= after || int(c) >= width {
			err = fmt.Errorf("column %d must be above the last feature's %d and below width, %d", c, after, width)
		}
		last = max(last, c)
	}
	for _, c := range f.Columns {
		each(c)
	}
	if f.Other != nil {
		each(*f.Other)
	}
	seen := make(map[string]struct{}, len(f.Values))
	for _, v := range f.Values {
		if _, twice := seen[v]; twice {
			return last, fmt.Errorf("the value %q stands twice", v)
		}
		seen[v] = struct{}{}
	}
	return last, err
}

// checkEnding returns an error unless the estimator's file has one of the endings.
func (d *description) checkEnding(endings []string) error {
	if !slices.Contains(endings, filepath.Ext(d.Estimator)) {
		return fmt.Errorf("the scorer of this directory reads no %s, only files that end with %s", d.Estimator, strings.Join(endings, ", "))
	}
	return nil
}

// source is what the runner is told. dir is the description's.
func (d *description) source(dir string, trusted bool) workers.Source {
	s := workers.Source{Name: d.Campaign, Path: filepath.Join(dir, d.Estimator), Trusted: trusted, Rows: workers.Rows(d.Rows),
		Width: d.Width, DType: d.DType, Positive: d.Positive}
	sum, _ := hex.DecodeString(d.SHA256) // checked
	copy(s.SHA256[:], sum)
	for _, c := range d.Columns {
		s.Columns = append(s.Columns, workers.TableColumn{Name: c.Name, Type: workers.ColumnType(c.Type)})
	}
	return s
}
