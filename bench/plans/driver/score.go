package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/columns"
	"gavel/internal/engine"
)

// scoreRequest asks for the outputs of all rows of a model, some rows at a time.
type scoreRequest struct {
	Model string `json:"model"`
	Batch int    `json:"batch"`
	Out   string `json:"out"` // a file: {"outputs": columns}, NaN where a row is refused
}

// scored answers it.
type scored struct {
	Rows    int    `json:"rows"`
	Refused int    `json:"refused"`
	Why     string `json:"why,omitempty"` // of the first row that was refused
}

func score(args []string, l *lines) error {
	f, err := readFleet(args)
	if err != nil {
		return err
	}
	all, err := f.load(1)
	if err != nil {
		return err
	}
	defer closeAll(all)
	byName := map[string]*asked{}
	for _, a := range all {
		byName[a.Name] = a
	}
	for {
		var r scoreRequest
		if more, err := l.next(&r); !more {
			return err
		}
		a := byName[r.Model]
		if a == nil {
			return fmt.Errorf("the fleet has no model %q", r.Model)
		}
		done, err := a.score(r.Batch, r.Out)
		if err != nil {
			return err
		}
		if err := l.answer(done); err != nil {
			return err
		}
	}
}

func (a *asked) score(size int, out string) (*scored, error) {
	b, err := a.batch(size)
	if err != nil {
		return nil, err
	}
	done := &scored{Rows: a.rows.Rows}
	fields := a.servable.Engine().Schema().Outputs
	outputs := make([]engine.Column, len(fields))
	for i, f := range fields {
		outputs[i] = newColumn(f, a.rows.Rows)
	}
	for from := 0; from < a.rows.Rows; from += size {
		n := min(size, a.rows.Rows-from)
		for i := range n {
			engine.CopyRow(b.Inputs(), i, a.rows.Columns, from+i)
		}
		err := b.Run(n)
		var refused *engine.RowErrors
		if err != nil && !errors.As(err, &refused) {
			return nil, fmt.Errorf("%s: %w", a.Name, err)
		}
		for i := range n {
			engine.CopyRow(outputs, from+i, b.Outputs(), i)
		}
		if refused == nil {
			continue
		}
		if done.Refused == 0 {
			done.Why = refused.Rows[0].Err.Error()
		}
		done.Refused += len(refused.Rows)
		for _, r := range refused.Rows {
			blank(outputs, from+r.Row)
		}
	}
	var data bytes.Buffer
	e := msgpack.NewEncoder(&data)
	if err := errors.Join(e.EncodeMapLen(1), e.EncodeString("outputs"), columns.Encode(e, fields, outputs, a.rows.Rows)); err != nil {
		return nil, err
	}
	return done, os.WriteFile(out, data.Bytes(), 0o644)
}

// blank sets a row to NaN.
func blank(outputs []engine.Column, row int) {
	for _, c := range outputs {
		for j := row * c.Width; j < (row+1)*c.Width; j++ {
			if c.Type == engine.Float32 {
				c.Float32[j] = float32(math.NaN())
			} else {
				c.Float64[j] = math.NaN()
			}
		}
	}
}
