package operator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/columns"
	"gavel/internal/engine"
	"gavel/internal/models"
)

// Score loads the version in a directory as bidders would, in the given format or, if that is "", in its first. It scores rows: it
// answers each frame of in with one on out, until in ends. It runs at most batch rows at once. docs/contracts.md has the form of frames.
func Score(ctx context.Context, loaders engine.Loaders, dir, format string, batch int, in io.Reader, out io.Writer) error {
	if batch < 1 {
		return fmt.Errorf("%w: a batch of %d rows; it has at least 1", ErrUsage, batch)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("bidder: cannot find the version: %w", err)
	}
	model, number, err := nameOf(dir)
	if err != nil {
		return err
	}
	v, err := models.Load(ctx, loaders, dir, model, number, models.LoadOptions{Format: format, WarmRows: []int{1}})
	if err != nil {
		return err
	}
	defer v.Release()
	return scoreFrames(ctx, v.Engine(), batch, in, out)
}

func scoreFrames(ctx context.Context, e engine.Engine, batch int, in io.Reader, out io.Writer) error {
	from, to := bufio.NewReader(in), bufio.NewWriter(out)
	frames := msgpack.NewDecoder(from)
	frames.DisallowUnknownFields(true)
	for ctx.Err() == nil {
		if _, err := from.Peek(1); err == io.EOF {
			return nil
		}
		var frame struct {
			Columns msgpack.RawMessage `msgpack:"columns"`
		}
		if err := frames.Decode(&frame); err != nil {
			return fmt.Errorf("bidder: cannot read a frame of rows: %w", err)
		}
		rows, err := columns.Decode(frame.Columns)
		if err != nil {
			return fmt.Errorf("bidder: cannot read a frame of rows: %w", err)
		}
		scores, err := scoreRows(e, rows, batch)
		if err != nil {
			return err
		}
		if err := scores.write(msgpack.NewEncoder(to)); err != nil {
			return err
		}
		if err := to.Flush(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// scores are the outputs of rows, and why rows have none: theirs are NaN.
type scores struct {
	outputs columns.Table
	faults  map[int]error
}

// scoreRows scores a table whose columns are the engine's inputs, in any order.
func scoreRows(e engine.Engine, rows columns.Table, capacity int) (*scores, error) {
	given, err := arrange(rows, e.Schema().Inputs)
	if err != nil {
		return nil, err
	}
	b, err := e.NewBatch(capacity)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	s := &scores{outputs: columns.Table{Fields: e.Schema().Outputs, Rows: rows.Rows}, faults: map[int]error{}}
	for _, f := range s.outputs.Fields {
		s.outputs.Columns = append(s.outputs.Columns, nans(f, rows.Rows))
	}
	validator, _ := e.(engine.Validator)
	var batch []int // rows
	for row := range rows.Rows {
		engine.CopyRow(b.Inputs(), len(batch), given, row)
		if validator != nil {
			if err := validator.Validate(b.Inputs(), len(batch)); err != nil {
				s.faults[row] = err
				continue
			}
		}
		if batch = append(batch, row); len(batch) == capacity {
			if err := s.score(b, batch); err != nil {
				return nil, err
			}
			batch = batch[:0]
		}
	}
	return s, s.score(b, batch)
}

// score runs the batch, whose row i is row batch[i] of the table.
func (s *scores) score(b engine.Batch, batch []int) error {
	if len(batch) == 0 {
		return nil
	}
	err := b.Run(len(batch))
	var several *engine.RowErrors
	var one *engine.RowError
	switch {
	case err == nil:
	case errors.As(err, &several):
	case errors.As(err, &one): // the others were not scored
		last := len(batch) - 1
		s.faults[batch[one.Row]] = one.Err
		engine.Move(b.Inputs(), one.Row, last, 1)
		batch[one.Row] = batch[last]
		return s.score(b, batch[:last])
	default:
		return err
	}
	for i, row := range batch {
		engine.CopyRow(s.outputs.Columns, row, b.Outputs(), i)
	}
	if several != nil {
		for _, r := range several.Rows {
			s.faults[batch[r.Row]] = r.Err
			for k, f := range s.outputs.Fields {
				engine.CopyRow(s.outputs.Columns[k:k+1], batch[r.Row], []engine.Column{nans(f, 1)}, 0)
			}
		}
	}
	return nil
}

func (s *scores) write(e *msgpack.Encoder) error {
	faults := [][2]any{}
	for row := range s.outputs.Rows {
		if err := s.faults[row]; err != nil {
			faults = append(faults, [2]any{row, err.Error()})
		}
	}
	if err := e.EncodeMapLen(2); err != nil {
		return err
	}
	if err := e.EncodeString("outputs"); err != nil {
		return err
	}
	if err := columns.Encode(e, s.outputs.Fields, s.outputs.Columns, s.outputs.Rows); err != nil {
		return err
	}
	return e.EncodeMulti("faults", faults)
}

// arrange puts a table's columns in the order of the fields.
func arrange(t columns.Table, fields []engine.Field) ([]engine.Column, error) {
	if len(t.Fields) != len(fields) {
		return nil, fmt.Errorf("bidder: the rows have the columns %v, the model takes %v", t.Fields, fields)
	}
	var arranged []engine.Column
	for _, f := range fields {
		for i := range t.Fields {
			if t.Fields[i] == f {
				arranged = append(arranged, t.Columns[i])
			}
		}
	}
	if len(arranged) != len(fields) {
		return nil, fmt.Errorf("bidder: the rows have the columns %v, the model takes %v", t.Fields, fields)
	}
	return arranged, nil
}

// nans is an output without values.
func nans(f engine.Field, rows int) engine.Column {
	c := engine.Column{Type: f.Type, Width: f.Width}
	if n := rows * f.Width; f.Type == engine.Float32 {
		c.Float32 = make([]float32, n)
		for i := range c.Float32 {
			c.Float32[i] = float32(math.NaN())
		}
	} else {
		c.Float64 = make([]float64, n)
		for i := range c.Float64 {
			c.Float64[i] = math.NaN()
		}
	}
	return c
}
