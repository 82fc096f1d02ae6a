package models

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"gavel/internal/columns"
	"gavel/internal/engine"
	"gavel/internal/packed"
)

const (
	goldenTolerance = 1e-6     // the largest difference from Python's outputs, if the file names no smaller one
	goldenMinRows   = 16       // fewer rows prove little
	goldenMaxBytes  = 64 << 20 // bounds golden.msgpack
	goldenChunk     = 256      // rows run at a time
)

// golden holds rows and the outputs that were computed for them when the version was exported.
type golden struct {
	inputs, outputs columns.Table
	tolerance       float64
}

// readGolden reads golden.msgpack, in either form: rows of indices with probabilities, or columns. Its data are nil if it is too
// large.
func readGolden(name string, data []byte, m *Manifest) (*golden, error) {
	if data == nil {
		return nil, fmt.Errorf("%s is larger than %d bytes; a few dozen rows suffice", name, goldenMaxBytes)
	}
	var wire goldenWire
	if err := wire.read(data); err != nil {
		return nil, fmt.Errorf("%s cannot be decoded: %w", name, err)
	}
	g, err := wire.indices(m)
	if wire.typed {
		g, err = wire.columns()
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	if g.inputs.Rows < goldenMinRows {
		return nil, fmt.Errorf("%s has %d rows, at least %d are needed", name, g.inputs.Rows, goldenMinRows)
	}
	return g, nil
}

// goldenWire is golden.msgpack. A file has the keys of one form only.
type goldenWire struct {
	indexed bool // rows of indices with one probability each: int32[n, f], float32[n]
	n, f    int
	x, p    []byte

	typed           bool // columns
	inputs, outputs columns.Table
	tolerance       float64
}

func (w *goldenWire) read(data []byte) error {
	r := packed.NewReader(data)
	table := func() columns.Table {
		t, err := columns.Read(r)
		if err != nil {
			r.Break("%v", err)
		}
		return t
	}
	number := func(key string) int {
		n := r.Want(key, packed.Integer).Integer
		if n < 0 || n > goldenMaxBytes {
			r.Break("%s is %d, must be in [0, %d]", key, n, goldenMaxBytes)
			return 0
		}
		return int(n)
	}
	r.Object("the file", func(key string) bool {
		switch key {
		case "n":
			w.n = number(key)
		case "f":
			w.f = number(key)
		case "x":
			w.x = r.Want(key, packed.Binary).Bytes
		case "p":
			w.p = r.Want(key, packed.Binary).Bytes
		case "inputs":
			w.inputs = table()
		case "outputs":
			w.outputs = table()
		case "tolerance":
			w.tolerance = r.Want(key, packed.Float).Float
		default:
			return false
		}
		w.indexed = w.indexed || len(key) == 1
		w.typed = w.typed || len(key) > 1
		return true
	})
	if r.Err() == nil && r.Rest() > 0 {
		return fmt.Errorf("%d bytes follow it", r.Rest())
	}
	return r.Err()
}

// indices checks sizes and indices against the manifest.
func (w *goldenWire) indices(m *Manifest) (*golden, error) {
	switch {
	case !m.Indexed():
		return nil, fmt.Errorf("has no columns, which the rows of this version are")
	case w.f != m.RowLen:
		return nil, fmt.Errorf("has rows of %d indices, the manifest says %d", w.f, m.RowLen)
	case len(w.x) != 4*w.n*w.f:
		return nil, fmt.Errorf("has %d bytes of x, %d rows of %d int32 need %d", len(w.x), w.n, w.f, 4*w.n*w.f)
	case len(w.p) != 4*w.n:
		return nil, fmt.Errorf("has %d bytes of p, %d float32 need %d", len(w.p), w.n, 4*w.n)
	}
	x, p := make([]int32, w.n*w.f), make([]float32, w.n)
	for i := range x {
		x[i] = int32(binary.LittleEndian.Uint32(w.x[4*i:]))
		if x[i] < 0 || int(x[i]) >= m.TableRows {
			return nil, fmt.Errorf("has the index %d in row %d, not in [0, %d)", x[i], i/w.f, m.TableRows)
		}
	}
	for i := range p {
		p[i] = math.Float32frombits(binary.LittleEndian.Uint32(w.p[4*i:]))
	}
	return &golden{
		inputs:    columns.Table{Columns: []engine.Column{{Type: engine.Int32, Width: w.f, Int32: x}}, Rows: w.n},
		outputs:   columns.Table{Columns: []engine.Column{{Type: engine.Float32, Width: 1, Float32: p}}, Rows: w.n},
		tolerance: goldenTolerance,
	}, nil
}

// columns reads the other form.
func (w *goldenWire) columns() (*golden, error) {
	g := &golden{w.inputs, w.outputs, w.tolerance}
	switch {
	case w.indexed:
		return nil, fmt.Errorf("has rows of indices beside columns; it may have one of them")
	case g.inputs.Fields == nil || g.outputs.Fields == nil:
		return nil, fmt.Errorf("lacks inputs or outputs")
	case g.inputs.Rows != g.outputs.Rows:
		return nil, fmt.Errorf("has %d rows of inputs and %d of outputs", g.inputs.Rows, g.outputs.Rows)
	case !(w.tolerance > 0 && w.tolerance <= goldenTolerance):
		return nil, fmt.Errorf("has the tolerance %g, must be above 0 and at most %g", w.tolerance, goldenTolerance)
	}
	return g, nil
}

// checkSchema checks that the engine takes and gives the golden columns. Rows of indices name none; the manifest describes them.
func (g *golden) checkSchema(s *engine.Schema, m *Manifest) error {
	in, out := s.Inputs, s.Outputs
	if m.Indexed() && (len(in) != 1 || in[0].Type != engine.Int32 || in[0].Width != m.RowLen ||
		len(out) != 1 || out[0].Type != engine.Float32 || out[0].Width != 1) {
		return refuse(ReasonSignature, fmt.Errorf("the engine takes %v and gives %v; by the manifest it takes int32[%d] and gives float32", in, out, m.RowLen))
	}
	if g.inputs.Fields != nil && (!slices.Equal(g.inputs.Fields, in) || !slices.Equal(g.outputs.Fields, out)) {
		return refuse(ReasonGolden, fmt.Errorf("the engine takes %v and gives %v; golden rows have %v and %v", in, out, g.inputs.Fields, g.outputs.Fields))
	}
	return nil
}

// check runs the rows and compares the outputs. The refusal names the row with the largest difference.
func (g *golden) check(e engine.Engine) error {
	b, err := e.NewBatch(min(g.inputs.Rows, goldenChunk))
	if err != nil {
		return refuse(ReasonGolden, err)
	}
	defer b.Close()
	worst := difference{}
	for from := 0; from < g.inputs.Rows; from += goldenChunk {
		n := min(goldenChunk, g.inputs.Rows-from)
		for i := range n {
			engine.CopyRow(b.Inputs(), i, g.inputs.Columns, from+i)
		}
		if err := b.Run(n); err != nil {
			return refuse(ReasonGolden, fmt.Errorf("golden rows %d to %d: %w", from, from+n-1, err))
		}
		for i := range n {
			g.compare(b.Outputs(), i, from+i, &worst)
		}
	}
	if worst.rows > 0 {
		return refuse(ReasonGolden, fmt.Errorf("%d of %d golden rows differ by more than %g; row %d gives %v, Python had %v",
			worst.rows, g.inputs.Rows, g.tolerance, worst.row, worst.got, worst.want))
	}
	return nil
}

// difference is the largest difference found, and in how many rows there is one.
type difference struct {
	rows, row int
	by        float64
	got, want float64
}

// compare compares row i of the outputs with golden row number row. A number may differ by the tolerance, or by that part of
// itself where it is larger than 1. NaN equals NaN alone.
func (g *golden) compare(outputs []engine.Column, i, row int, worst *difference) {
	found := false
	for k := range outputs {
		for j := range outputs[k].Width {
			got, want := number(&outputs[k], i, j), number(&g.outputs.Columns[k], row, j)
			by := math.Abs(got-want) / max(1, math.Abs(want))
			if by <= g.tolerance || got == want || math.IsNaN(got) && math.IsNaN(want) { // the first is false for NaN
				continue
			}
			if !found {
				found = true
				worst.rows++
			}
			if worst.rows == 1 && worst.by == 0 || by > worst.by {
				worst.row, worst.by, worst.got, worst.want = row, by, got, want
			}
		}
	}
}

// number is a value of an output.
func number(c *engine.Column, row, j int) float64 {
	if at := row*c.Width + j; c.Type == engine.Float32 {
		return float64(c.Float32[at])
	} else {
		return c.Float64[at]
	}
}

// samples are rows like those of traffic.
func (g *golden) samples() engine.Samples {
	return engine.Samples{Columns: g.inputs.Columns, Rows: g.inputs.Rows}
}
