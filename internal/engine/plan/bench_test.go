package plan

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// adult is what is usual for the census data: six numbers, imputed and scaled, and eight categories, one-hot, into a logistic
// regression of k classes.
func adult(k int) *sketch {
	s := &sketch{}
	numbers := s.input(engine.Float64, 6)
	sizes := []int{9, 16, 7, 15, 6, 5, 2, 42}
	var texts, codes []int
	for range sizes {
		texts = append(texts, s.input(engine.Text, 1))
	}
	x := s.node("impute", nil, vectorOf(drawn(6, normal)...), numbers)
	x = s.node("div", nil, vectorOf(2, 3, 4, 5, 6, 7), s.node("sub", nil, vectorOf(1, 2, 3, 4, 5, 6), x))
	width := 6
	for i, n := range sizes {
		var known []string
		for c := range n {
			known = append(known, category(i, c))
		}
		obj := dictionary(known...)
		code := make([]float64, n)
		for c := range code {
			code[c] = float64(c)
		}
		obj["codes"] = plantest.Of(code)
		codes = append(codes, s.node("lookup", map[string]any{"unknown": -1.0}, obj, texts[i]))
		width += n
	}
	hot := s.node("expand", map[string]any{"sizes": sizes}, nil, s.node("concat", nil, nil, codes...))
	y := s.node("linear", map[string]any{"finite": true}, model(k, width), s.node("concat", nil, nil, x, hot))
	if k == 1 {
		s.output(s.node("link", map[string]any{"kind": "binary"}, nil, y))
	} else {
		s.output(s.node("link", map[string]any{"kind": "softmax"}, nil, y))
	}
	return s
}

func category(column, c int) string {
	return fmt.Sprintf("%d-category", column)[:4+c%6] + fmt.Sprint(c)
}

func adultRows(rows int) []any {
	data := []any{drawn(6*rows, holes)}
	for column := range 8 {
		texts := make([]string, rows)
		for i := range texts {
			texts[i] = category(column, (i*7+column)%44)
		}
		data = append(data, texts)
	}
	return data
}

func BenchmarkAdult(b *testing.B) {
	for _, k := range []int{1, 10} {
		for _, written := range []bool{true, false} {
			for _, rows := range []int{1, 8, 64, 512} {
				b.Run(fmt.Sprintf("classes=%d/as_written=%v/rows=%d", max(k, 2), written, rows), func(b *testing.B) {
					s, _ := adult(k).openAs(b, written, rows)
					s.score(adultRows(rows), rows)
					b.ReportAllocs()
					for b.Loop() {
						if err := s.batch.Run(rows); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
				})
			}
		}
	}
}

// The operators of numbers, a row of 14 columns.
func BenchmarkOperators(b *testing.B) {
	const w, rows = 14, 64
	value := vectorOf(drawn(w, normal)...)
	edges, counts := make([]float64, 9*w), make([]int, w)
	for i := range edges {
		edges[i] = float64(i%9)/2 - 2
	}
	for i := range counts {
		counts[i] = 9
	}
	var powers []int32
	for i := range w {
		for j := range i + 1 {
			p := make([]int32, w)
			p[i]++
			p[j]++
			powers = append(powers, p...)
		}
	}
	for _, o := range []struct {
		op  string
		set map[string]any
		obj tensors
	}{
		{"sub", nil, value}, {"div", nil, value}, {"impute", nil, value}, {"clip", map[string]any{"low": -1.0, "high": 1.0}, nil},
		{"normalize", map[string]any{"norm": "l2"}, nil}, {"function", map[string]any{"name": "log1p"}, nil},
		{"bins", map[string]any{"counts": counts}, tensors{"edges": plantest.Of(edges)}},
		{"polynomial", nil, tensors{"powers": plantest.Of(powers, len(powers)/w, w)}},
		{"linear", nil, model(1, w)}, {"linear", nil, model(10, w)}, {"distances", nil, tensors{"centers": plantest.Of(drawn(8*w, normal), 8, w)}},
		{"link", map[string]any{"kind": "softmax"}, nil},
	} {
		s := &sketch{}
		s.output(s.node(o.op, o.set, o.obj, s.input(engine.Float64, w)))
		name := o.op
		if m, ok := o.obj["coef"]; ok {
			name = fmt.Sprintf("%s/classes=%d", o.op, m.Dims[0])
		}
		b.Run(name, func(b *testing.B) {
			r := s.open(b, rows)
			r.score([]any{drawn(w*rows, (*rand.Rand).Float64)}, rows)
			for b.Loop() {
				if err := r.batch.Run(rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
		})
	}
}

// What a run costs besides its stages.
func BenchmarkRun(b *testing.B) {
	for _, rows := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			e, _ := opened(b, logistic())
			batch, err := e.NewBatch(rows)
			if err != nil {
				b.Fatal(err)
			}
			defer batch.Close()
			b.ReportAllocs()
			for b.Loop() {
				if err := batch.Run(rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
		})
	}
}
