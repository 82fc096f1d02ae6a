package plan

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// numeric is a plan of what numbers may go through: arithmetic, functions, projections, comparisons.
func numeric() plantest.Plan {
	s := &sketch{}
	x := s.input(engine.Float64, 5)
	filled := s.node("impute", nil, vectorOf(1, 2, 3, 4, 5), x)
	scaled := s.node("div", nil, vectorOf(2, 3, 5, 7, 11), s.node("sub", nil, vectorOf(1, 1e9, -1, 0, 1e-9), filled))
	matrix := func(name string, k int) tensors { return tensors{name: plantest.Of(drawn(5*k, normal), k, 5)} }
	projected := s.node("project", nil, matrix("matrix", 3), scaled)
	far := s.node("distances", nil, matrix("centers", 6), scaled)
	near := s.node("nearest", nil, matrix("centers", 4), s.node("normalize", map[string]any{"norm": "l2"}, nil, scaled))
	powers := s.node("polynomial", nil, tensors{"powers": plantest.Of([]int32{1, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 3, 1}, 3, 5)}, filled)
	logs := s.node("function", map[string]any{"name": "log1p"}, nil, s.node("clip", map[string]any{"low": -0.5, "high": 1e6}, nil, x))
	bins := s.node("bins", map[string]any{"counts": []int{2, 1, 3}}, tensors{"edges": plantest.Of([]float64{-1, 1, 0, -2, 0, 2})}, projected)
	hot := s.node("expand", map[string]any{"sizes": []int{3, 2, 4}}, nil, bins)
	code := s.node("lookup", map[string]any{"unknown": nil}, tensors{"keys": plantest.Of([]float64{0, 1, 2, 3}), "codes": plantest.Of([]float64{5, 6, 7, 8})}, near)
	all := s.node("concat", nil, nil, far, powers, logs, hot, code, s.node("missing", nil, nil, x))
	y := s.node("linear", map[string]any{"finite": true}, model(3, 6+3+5+9+1+5), all)
	s.output(s.node("link", map[string]any{"kind": "ovr"}, nil, y))
	s.output(s.node("argmax", nil, nil, y))
	s.output(projected)
	s.output(s.node("linear", nil, model(1, 5), filled))
	s.output(s.node("linear", nil, model(2, 5), s.sparse(x, 5)))
	return s.plan
}

// filled gives `rows` rows of a batch the bytes as their inputs. Where there are too few, numbers are 0 and texts empty.
func filled(b engine.Batch, rows int, bytes []byte) {
	next := func(n int) []byte {
		var of [8]byte
		bytes = bytes[copy(of[:n], bytes):]
		return of[:]
	}
	for i := range b.Inputs() {
		c := &b.Inputs()[i]
		engine.Clear(b.Inputs()[i:i+1], 0, rows)
		for j := range c.Float64[:min(len(c.Float64), rows*c.Width)] {
			c.Float64[j] = math.Float64frombits(binary.LittleEndian.Uint64(next(8)))
		}
		for j := range c.Int32[:min(len(c.Int32), rows*c.Width)] {
			c.Int32[j] = int32(int8(next(1)[0])) // most are no row of a table of three
		}
		for j := range c.Text[:min(len(c.Text), rows)] {
			n := min(int(next(1)[0]), len(bytes))
			c.Text[j], bytes = string(bytes[:n]), bytes[n:]
		}
	}
}

// FuzzInputs scores rows of any bytes, together and each alone: each has the same fault, or the same bits.
func FuzzInputs(f *testing.F) {
	const capacity = 40
	var together, alone []engine.Batch
	for _, p := range []plantest.Plan{everything(), numeric(), logistic()} {
		e, _ := opened(f, p)
		for _, to := range []*[]engine.Batch{&together, &alone} {
			b, err := e.NewBatch(capacity)
			if err != nil {
				f.Fatal(err)
			}
			f.Cleanup(b.Close)
			*to = append(*to, b)
		}
	}
	numbers := func(x ...float64) (bytes []byte) {
		for _, v := range x {
			bytes = binary.LittleEndian.AppendUint64(bytes, math.Float64bits(v))
		}
		return bytes
	}
	f.Add(uint8(0), uint8(3), []byte("\x05Abc a\x04\xce\x91\xce\xa3\x01\xff\x02\xc4\xb0 the rest is numbers, as they come"))
	f.Add(uint8(1), uint8(5), numbers(1, 2, 3, 4, 5, math.NaN(), 1e9, math.Inf(1), 0, -0.5, 1e300, -1e300, 5e-324, 1, 1))
	f.Add(uint8(2), uint8(40), numbers(1, 2, 3, math.NaN(), 5, 6, 7, math.Inf(-1)))
	f.Fuzz(func(t *testing.T, plan, count uint8, bytes []byte) {
		which, rows := int(plan)%len(together), 1+int(count)%capacity
		all, one := together[which], alone[which]
		filled(all, rows, bytes)
		faults := faultsOf(t, all, rows)
		for row := range rows {
			for i := range one.Inputs() {
				engine.CopyRow(one.Inputs()[i:i+1], 0, all.Inputs()[i:i+1], row)
			}
			if got := faultsOf(t, one, 1)[0]; got != faults[row] {
				t.Fatalf("row %d alone: fault %q, among others %q", row, got, faults[row])
			}
			for i, c := range one.Outputs() {
				for j, v := range c.Float64[:min(len(c.Float64), c.Width)] {
					if w := all.Outputs()[i].Float64[row*c.Width+j]; math.Float64bits(v) != math.Float64bits(w) && (v == v || w == w) {
						t.Fatalf("row %d alone: output %d is %v, among others %v", row, i, v, w)
					}
				}
				for j, v := range c.Float32[:min(len(c.Float32), c.Width)] {
					if w := all.Outputs()[i].Float32[row*c.Width+j]; math.Float32bits(v) != math.Float32bits(w) && (v == v || w == w) {
						t.Fatalf("row %d alone: output %d is %v, among others %v", row, i, v, w)
					}
				}
			}
		}
	})
}

// faultsOf runs rows and returns what is wrong with each; empty if nothing is.
func faultsOf(t *testing.T, b engine.Batch, rows int) map[int]string {
	t.Helper()
	faults := map[int]string{}
	if err := b.Run(rows); err != nil {
		var several *engine.RowErrors
		if !errors.As(err, &several) {
			t.Fatal(err)
		}
		for _, r := range several.Rows {
			faults[r.Row] = r.Err.Error()
		}
	}
	return faults
}
