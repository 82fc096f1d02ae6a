package workers

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Rows says what rows an estimator takes.
type Rows string

const (
	OneHot Rows = "one-hot" // sparse rows, of which some columns are 1
	Table  Rows = "table"   // named columns: whole pipelines
)

// ColumnType is the type of a table's column.
type ColumnType string

const (
	Text    ColumnType = "text"
	Float64 ColumnType = "float64"
	Int64   ColumnType = "int64"
)

// TableColumn is one column of a table.
type TableColumn struct {
	Name string
	Type ColumnType
}

// Source is an estimator's file and what it takes.
type Source struct {
	Name    string // for people: a campaign, a model
	Path    string // .skops; or .joblib, .pkl, .pickle where Trusted
	SHA256  [32]byte
	Trusted bool // pickles may be read from there; see CheckTrusted
	Rows    Rows
	Width   int    // columns of one-hot rows
	DType   string // of one-hot rows: "float64" (also if empty) or "float32"
	Columns []TableColumn
	// Positive is the index of the class whose probability is wanted; -1: the probabilities of all classes.
	Positive int
}

// Bounds on what a source may describe.
const (
	maxWidth   = 1 << 24
	maxColumns = 4096
)

func (s *Source) dtype() string {
	if s.DType == "" {
		return "float64"
	}
	return s.DType
}

// check returns every fault of the source.
func (s *Source) check() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("workers: %s: "+format, append([]any{s.Name}, args...)...))
	}
	switch s.Rows {
	case OneHot:
		if s.Width < 1 || s.Width > maxWidth {
			fault("width is %d, must be 1 to %d", s.Width, maxWidth)
		}
		if len(s.Columns) > 0 {
			fault("one-hot rows have no named columns")
		}
	case Table:
		if len(s.Columns) < 1 || len(s.Columns) > maxColumns {
			fault("a table has %d columns, must have 1 to %d", len(s.Columns), maxColumns)
		}
	default:
		fault("rows is %q, must be %q or %q", s.Rows, OneHot, Table)
	}
	if d := s.dtype(); d != "float64" && d != "float32" {
		fault("dtype is %q, must be float64 or float32", d)
	}
	for _, c := range s.Columns {
		if c.Type != Text && c.Type != Float64 && c.Type != Int64 {
			fault("column %q is of %q, must be of %q, %q or %q", c.Name, c.Type, Text, Float64, Int64)
		}
	}
	if s.Positive < -1 || s.Positive > 1024 {
		fault("positive is %d, must be the index of a class, or -1", s.Positive)
	}
	return errors.Join(faults...)
}

// copyState is what a worker has of a classifier.
type copyState = uint32

const (
	absent   copyState = iota
	admitted           // the policy gave it room; it is loaded before its first task, or earlier
	loaded
)

// Classifier is an estimator that was prepared. It serves until Pool.Remove.
type Classifier struct {
	name    string
	key     uint32
	file    string // its prepared file
	bytes   int64
	labels  []string
	outputs int
	width   int
	rows    Rows
	columns []TableColumn

	home    int             // its worker
	copies  []atomic.Uint32 // copyState by worker; written under Pool.mu
	cost    atomic.Uint32   // µs a task as float32; 0: not measured
	refused atomic.Int64    // Unix ns until which it is refused
	suspect atomic.Bool     // a worker died while it loaded this and others
	removed atomic.Bool
}

// Name is the source's.
func (c *Classifier) Name() string { return c.name }

// Labels are the classes of the estimator as texts. They are read-only.
func (c *Classifier) Labels() []string { return c.labels }

// Outputs is how many probabilities a task gives.
func (c *Classifier) Outputs() int { return c.outputs }

// Bytes is the size of its prepared file, which is what a copy counts.
func (c *Classifier) Bytes() int64 { return c.bytes }

// Held is what all its copies count.
func (c *Classifier) Held() (bytes int64) {
	for w := range c.copies {
		if c.copies[w].Load() == loaded {
			bytes += c.bytes
		}
	}
	return bytes
}

// resident says whether any worker has a copy, or has room for one.
func (c *Classifier) resident() bool {
	for w := range c.copies {
		if c.copies[w].Load() != absent {
			return true
		}
	}
	return false
}

// place is the worker whose shelf its tasks go to: its home, unless only others have a copy.
func (c *Classifier) place() int {
	if c.copies[c.home].Load() != absent {
		return c.home
	}
	for w := range c.copies {
		if c.copies[w].Load() != absent {
			return w
		}
	}
	return c.home
}

// microseconds is the expected cost of a task; typical is what to expect of one that was never measured.
func (c *Classifier) microseconds(typical float32) float32 {
	if us := math.Float32frombits(c.cost.Load()); us > 0 {
		return us
	}
	return typical
}

// took learns from a task. The mean forgets by an eighth a task.
func (c *Classifier) took(us float32) {
	if !(us > 0) || us > 1e9 {
		return
	}
	if old := math.Float32frombits(c.cost.Load()); old > 0 {
		us = old + (us-old)/8
	}
	c.cost.Store(math.Float32bits(us))
}

// refusal says why it is refused now, or nothing.
func (c *Classifier) refusal(now time.Time) string {
	if until := c.refused.Load(); until > now.UnixNano() {
		return fmt.Sprintf("%s: workers died of it, or cannot load it; it is refused until %s",
			c.name, time.Unix(0, until).UTC().Format(time.RFC3339))
	}
	return ""
}

// tableFault says why a row does not fit the columns, or nothing.
func (c *Classifier) tableFault(row []any) string {
	if len(row) != len(c.columns) {
		return fmt.Sprintf("%s: a row of %d values for %d columns", c.name, len(row), len(c.columns))
	}
	for i, column := range c.columns {
		ok := false
		switch v := row[i].(type) {
		case string:
			ok = column.Type == Text
			if !utf8.ValidString(v) { // a frame with it could not be read
				return fmt.Sprintf("%s: column %q: %q is no UTF-8", c.name, column.Name, v)
			}
		case float64:
			ok = column.Type == Float64
		case int64:
			ok = column.Type == Int64
		}
		if !ok {
			return fmt.Sprintf("%s: column %q is of %s, a %T was given", c.name, column.Name, column.Type, row[i])
		}
	}
	return ""
}
