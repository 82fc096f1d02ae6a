package plan

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// listing is a model of one row, whose coefficients that are 0 are left out.
func listing(coef []float64, intercept float64) tensors {
	words, values := make([]uint64, (len(coef)+31)/32), []float64{0}
	for j, c := range coef {
		if j%32 == 0 {
			words[j/32] = uint64(len(values)) << 32
		}
		if math.Float64bits(c) != 0 {
			words[j/32] |= 1 << (j % 32)
			values = append(values, c)
		}
	}
	return tensors{"listed": plantest.Of(words), "values": plantest.Of(append(values, intercept))}
}

// thinned are numbers half of which are 0, and one is −0.
func thinned(n int) []float64 {
	coef, r := drawn(n, normal), rand.New(rand.NewPCG(uint64(n), 13))
	for i := range coef {
		if r.IntN(2) == 0 {
			coef[i] = 0
		}
	}
	coef[r.IntN(n)] = math.Copysign(0, -1)
	return coef
}

// A model gives the same bits whether it lists its coefficients or has them all, whatever rewriting does with what it reads.
func TestListedCoefficientsGiveTheSameBits(t *testing.T) {
	const rows = 70
	numbers := drawn(40*rows, holes)
	codes := make([]float64, rows)
	for i := range codes {
		codes[i] = float64(i%6 - 1)
	}
	f := func(name string, width int, build func(s *sketch, x, c int) int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			coef := thinned(width)
			score := func(model tensors, written bool) ([]float64, []int) {
				s := &sketch{}
				x, c := s.input(engine.Float64, 40), s.input(engine.Float64, 1)
				s.output(s.node("linear", map[string]any{"finite": true}, model, build(s, x, c)))
				opened, _ := s.openAs(t, written, rows)
				values, refused := opened.score([]any{numbers, codes}, rows)
				return values[0], refused
			}
			for _, written := range []bool{true, false} {
				want, wantRefused := score(tensors{"coef": plantest.Of(coef, 1, width), "intercept": plantest.Of([]float64{0.5})}, written)
				got, refused := score(listing(coef, 0.5), written)
				if len(refused) != len(wantRefused) {
					t.Errorf("rows %v are refused, want %v", refused, wantRefused)
				}
				for i := range want {
					if math.Float64bits(got[i]) != math.Float64bits(want[i]) && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
						t.Errorf("as written %v: row %d: %v, want %v", written, i, got[i], want[i])
					}
				}
			}
		})
	}
	hot := func(s *sketch, c int) int { return s.node("expand", map[string]any{"sizes": []int{37}}, nil, c) }
	f("of a sparse value", 40, func(s *sketch, x, c int) int { return s.sparse(x, 40) })
	f("of sparse values beside each other", 120, func(s *sketch, x, c int) int {
		a, b := s.sparse(x, 40), s.sparse(s.node("add", nil, vectorOf(make([]float64, 40)...), x), 40)
		return s.node("concat", nil, nil, a, s.node("normalize", map[string]any{"norm": "l2"}, nil, b), s.node("mul", nil, vectorOf(drawn(40, (*rand.Rand).Float64)...), a))
	})
	f("of a sparse value, a dense one and a number", 117, func(s *sketch, x, c int) int {
		return s.node("concat", nil, nil, s.sparse(x, 40), x, hot(s, c))
	})
	f("of a number", 37, func(s *sketch, x, c int) int { return hot(s, c) })
}

func TestListedCoefficientsAreChecked(t *testing.T) {
	coef := []float64{0, 1.5, 0, -2}
	f := func(want string, change func(model tensors)) {
		t.Helper()
		model := listing(coef, 1)
		change(model)
		refused(t, "linear", nil, model, sparse(4), strings.Split(want, ", ")...)
	}
	of := func(words ...uint64) plantest.Tensor { return plantest.Of(words) }
	f("listed, a word for each 32 columns", func(m tensors) { m["listed"] = of(1<<32|10, 3<<32) })
	f("each value", func(m tensors) { m["values"] = plantest.Of([]float64{0, 1, 2, 3, 9}) })
	f("each value", func(m tensors) { m["listed"] = of(1<<32 | 2) })
	f("more columns", func(m tensors) { m["listed"] = of(1<<32 | 2 | 1<<4) })
	f("in their order", func(m tensors) { m["listed"] = of(10) })
	f("first value is not 0", func(m tensors) { m["values"] = plantest.Of([]float64{1, 1, 2, 9}) })
	f("first value is not 0", func(m tensors) { m["values"] = plantest.Of([]float64{math.Copysign(0, -1), 1, 2, 9}) })
	f("first value is not 0", func(m tensors) { m["values"] = plantest.Of([]float64{0}) })
	f("first value is not 0", func(m tensors) { m["values"] = plantest.Of([]float64{}) })
	f("values, float64", func(m tensors) { m["values"] = plantest.Of([]float32{0, 1, 2, 9}) })
	f("values, missing", func(m tensors) { delete(m, "values") })
	f("coef, unknown", func(m tensors) { m["coef"] = plantest.Of(coef, 1, 4) })
	f("intercept, unknown", func(m tensors) { m["intercept"] = plantest.Of([]float64{1}) })
	refused(t, "linear", nil, listing(coef, 1), dense(4), "listed coefficients take")
	refused(t, "project", nil, listing(coef, 1), sparse(4), "matrix", "missing")
}
