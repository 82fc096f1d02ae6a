package trainer

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"gavel/internal/recipe"
)

// maxRecordBytes bounds one record of a raw file.
const maxRecordBytes = 16 << 20

// The columns of a raw file that are not features.
const (
	labelColumn  = "label"
	weightColumn = "weight"
	timeColumn   = "time_ms"
)

// EncodeCSV reads CSV with a header from in and encodes it by the recipe. It writes rows frames of at most frameRows rows,
// without position, to out, and returns the number of rows written. Columns, in any order: each feature of the recipe but
// crosses; `label` (0 to 1); optionally `weight` (0 or more, default 1) and `time_ms` (default 0). An error names the line and column.
// Rows before the error are written.
func EncodeCSV(ctx context.Context, r *recipe.Recipe, in io.Reader, out io.Writer, frameRows int) (rows int64, err error) {
	limited := &recordLimit{r: in}
	records := csv.NewReader(limited)
	records.ReuseRecord = true
	header, err := limited.read(records)
	if errors.Is(err, io.EOF) {
		return 0, errors.New("trainer: cannot encode: the input is empty; its first line names the columns")
	}
	if err != nil {
		return 0, fmt.Errorf("trainer: cannot encode: %w", err)
	}
	columns, err := mapColumns(r, header)
	if err != nil {
		return 0, err
	}
	encoder := r.Encoder()
	batch := Rows{F: encoder.RowLen()}
	frameRows = min(max(frameRows, 1), MaxRows(batch.F))
	values, row := make([]string, len(columns.features)), make([]int32, batch.F)
	var frame []byte
	write := func() error {
		if batch.N() == 0 {
			return nil
		}
		var err error
		if frame, err = AppendRows(frame[:0], &batch); err != nil {
			return err
		}
		rows += int64(batch.N())
		batch.Reset()
		_, err = out.Write(frame)
		return err
	}
	// fail writes the rows before the fault.
	fail := func(err error) (int64, error) { return rows, errors.Join(err, write()) }
	for {
		record, err := limited.read(records)
		if errors.Is(err, io.EOF) {
			return rows, write()
		}
		if err != nil {
			return fail(fmt.Errorf("trainer: cannot encode: %w", err))
		}
		line, _ := records.FieldPos(0)
		for i, c := range columns.features {
			values[i] = record[c]
		}
		if err := encoder.EncodeValues(values, row); err != nil {
			return fail(fmt.Errorf("trainer: cannot encode line %d: %w", line, err))
		}
		label, weight, t, err := columns.numbers(record)
		if err != nil {
			return fail(fmt.Errorf("trainer: cannot encode line %d: %w", line, err))
		}
		batch.Add(row, label, weight, t)
		if batch.N() >= frameRows {
			if err := write(); err != nil {
				return rows, err
			}
			if err := ctx.Err(); err != nil {
				return rows, err
			}
		}
	}
}

// rawColumns holds the index of each column in a record; -1 if there is none.
type rawColumns struct {
	features            []int // in the order of EncodeValues
	label, weight, time int
}

func mapColumns(r *recipe.Recipe, header []string) (*rawColumns, error) {
	names := r.Encoder().RawColumns()
	c := &rawColumns{label: -1, weight: -1, time: -1, features: slices.Repeat([]int{-1}, len(names))}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("trainer: cannot encode: "+format, args...))
	}
	for i, name := range header {
		if i == 0 {
			name = strings.TrimPrefix(name, "\ufeff")
		}
		place := &c.label
		switch name {
		case labelColumn:
		case weightColumn:
			place = &c.weight
		case timeColumn:
			place = &c.time
		default:
			at := slices.Index(names, name)
			if at < 0 {
				fault("column %q is not a feature of %s; leave it out, or rename it to one of %s", name, r.Model, strings.Join(names, ", "))
				continue
			}
			place = &c.features[at]
		}
		if *place >= 0 {
			fault("column %q is there twice", name)
		}
		*place = i
	}
	if c.label < 0 {
		fault("there is no column %q", labelColumn)
	}
	for i, at := range c.features {
		if at < 0 {
			fault("there is no column for the feature %q; add one, with empty values if there are none", names[i])
		}
	}
	return c, errors.Join(faults...)
}

func (c *rawColumns) numbers(record []string) (label, weight float32, t int64, err error) {
	y, err := strconv.ParseFloat(strings.TrimSpace(record[c.label]), 32)
	if err != nil || !(y >= 0 && y <= 1) {
		return 0, 0, 0, fmt.Errorf("column %s: %q is not a number from 0 to 1", labelColumn, record[c.label])
	}
	w := 1.0
	if c.weight >= 0 {
		if w, err = strconv.ParseFloat(strings.TrimSpace(record[c.weight]), 32); err != nil || !(w >= 0) || math.IsInf(w, 0) {
			return 0, 0, 0, fmt.Errorf("column %s: %q is not a number of 0 or more", weightColumn, record[c.weight])
		}
	}
	if c.time >= 0 {
		if t, err = strconv.ParseInt(strings.TrimSpace(record[c.time]), 10, 64); err != nil {
			return 0, 0, 0, fmt.Errorf("column %s: %q is not a Unix time in milliseconds", timeColumn, record[c.time])
		}
	}
	return float32(y), float32(w), t, nil
}

// recordLimit reads at most maxRecordBytes for one record. Without it, an unclosed quote would read the whole input.
type recordLimit struct {
	r    io.Reader
	left int
}

func (l *recordLimit) read(records *csv.Reader) ([]string, error) {
	l.left = maxRecordBytes
	record, err := records.Read()
	if err != nil && l.left <= 0 { // csv's error names the quote, but not the length
		return nil, fmt.Errorf("a record is longer than %d bytes; is a quote left open? %w", maxRecordBytes, err)
	}
	return record, err
}

func (l *recordLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("record too long")
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
