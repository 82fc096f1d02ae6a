package plan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// indexed is a model of rows of indices, with random weights: what a node `op` has.
type indexed struct {
	op           string
	fields, n, k int
	layers       []int // units of a deepfm
	seed         uint64
}

func (m indexed) name() string {
	return fmt.Sprintf("%s of %d fields, k=%d, layers %v", m.op, m.fields, m.k, m.layers)
}

// objects are the node's weights. The linear weights have no part in the MLP, as in what pytrain exports, unless seed is odd.
func (m indexed) objects() tensors {
	r := rand.New(rand.NewPCG(m.seed, 3))
	draw := func(n int, by float64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(by * r.NormFloat64())
		}
		return v
	}
	width := 1 + m.k
	obj := tensors{"table": plantest.Of(draw(m.n*width, 0.3), m.n, width), "bias": plantest.Of(draw(1, 1))}
	if m.op != "deepfm" {
		return obj
	}
	in := m.fields * width
	for i, units := range m.layers {
		kernel := draw(in*units, 1/math.Sqrt(float64(in)))
		for f := range m.fields {
			if i == 0 && m.seed%2 == 0 {
				clear(kernel[f*width*units : (f*width+1)*units])
			}
		}
		obj[fmt.Sprint("kernel", i)] = plantest.Of(kernel, in, units)
		obj[fmt.Sprint("layer_bias", i)] = plantest.Of(draw(units, 0.1))
		in = units
	}
	obj["head"] = plantest.Of(draw(2*width+in, 0.3), 2*width+in, 1)
	return obj
}

func (m indexed) set() map[string]any {
	if m.op == "deepfm" {
		return map[string]any{"layers": len(m.layers)}
	}
	return nil
}

func (m indexed) plan() *sketch {
	s := &sketch{}
	s.output(s.node(m.op, m.set(), m.objects(), s.input(engine.Int32, m.fields)))
	return s
}

// want is the logit of a row, in float64.
func (m indexed) want(obj tensors, row []int32) float64 {
	of := func(name string) []float32 { return obj[name].Values.([]float32) }
	table, width := of("table"), 1+m.k
	sums, squares := make([]float64, width), make([]float64, width)
	var x []float64
	for _, i := range row {
		for j, e := range table[int(i)*width : (int(i)+1)*width] {
			sums[j] += float64(e)
			squares[j] += float64(e) * float64(e)
			x = append(x, float64(e))
		}
	}
	y := float64(of("bias")[0])
	if m.op != "deepfm" {
		y += sums[0]
		for j := 1; j < width; j++ {
			y += (sums[j]*sums[j] - squares[j]) / 2
		}
		return y
	}
	for i, units := range m.layers {
		kernel, bias := of(fmt.Sprint("kernel", i)), of(fmt.Sprint("layer_bias", i))
		h := make([]float64, units)
		for c := range h {
			for k, v := range x {
				h[c] += v * float64(kernel[k*units+c])
			}
			h[c] = max(h[c]+float64(bias[c]), 0)
		}
		x = h
	}
	head := of("head")
	for j := range width {
		y += sums[j]*float64(head[j]) + (sums[j]*sums[j]-squares[j])*float64(head[width+j])
	}
	for c, v := range x {
		y += v * float64(head[2*width+c])
	}
	return y
}

// rows draws rows. Each shares about so many of its fields with the row before it, the same ones for some rows on end.
func (m indexed) rows(n int, share float64, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, uint64(m.fields)))
	x := make([]int32, n*m.fields)
	var own []bool
	for i := range n {
		if i%7 == 0 {
			own = make([]bool, m.fields)
			for f := range own {
				own[f] = r.Float64() >= share
			}
		}
		for f := range m.fields {
			if x[i*m.fields+f] = r.Int32N(int32(m.n)); i > 0 && !own[f] {
				x[i*m.fields+f] = x[(i-1)*m.fields+f]
			}
		}
	}
	return x
}

var indexedModels = []indexed{
	{op: "indices_linear", fields: 1, n: 1},
	{op: "indices_linear", fields: 33, n: 500},
	{op: "indices_linear", fields: 100, n: 500},
	{op: "fm", fields: 1, n: 1, k: 1},
	{op: "fm", fields: 5, n: 50, k: 3},
	{op: "fm", fields: 33, n: 500, k: 8},
	{op: "fm", fields: 17, n: 100, k: 21},
	{op: "fm", fields: 9, n: 100, k: 40},
	{op: "deepfm", fields: 1, n: 1, k: 1, layers: []int{1}},
	{op: "deepfm", fields: 33, n: 500, k: 8, layers: []int{128, 64, 32}},
	{op: "deepfm", fields: 33, n: 500, k: 8, layers: []int{128, 64, 32}, seed: 1},
	{op: "deepfm", fields: 7, n: 60, k: 5, layers: []int{33, 17}, seed: 2},
	{op: "deepfm", fields: 26, n: 100, k: 16, layers: []int{100}, seed: 3},
	{op: "deepfm", fields: 3, n: 100, k: 50, layers: []int{5, 70, 9, 1}, seed: 4},
}

func TestIndices(t *testing.T) {
	for _, m := range indexedModels {
		t.Run(m.name(), func(t *testing.T) {
			s, obj := m.plan().open(t, 130), m.objects()
			for _, n := range []int{1, 2, 5, 64, 130} {
				x := m.rows(n, 0.5, uint64(n))
				values, refused := s.score([]any{x}, n)
				if len(refused) > 0 {
					t.Fatalf("rows %v are refused", refused)
				}
				for i, got := range values[0] {
					if want := m.want(obj, x[i*m.fields:(i+1)*m.fields]); !near([]float64{got}, []float64{want}, 5e-6) {
						t.Fatalf("row %d of %d: %v, want %v", i, n, got, want)
					}
				}
			}
		})
	}
}

// A row's result depends neither on the size of its batch nor on what it shares with its neighbours.
func TestSharedContextGivesTheSameBits(t *testing.T) {
	for _, m := range indexedModels {
		t.Run(m.name(), func(t *testing.T) {
			s := m.plan().open(t, 130)
			for i, share := range []float64{0, 0.3, 0.8, 0.95, 1} {
				for _, n := range []int{3, 16, 64, 130} {
					x := m.rows(n, share, uint64(n+i))
					values, _ := s.score([]any{x}, n)
					for i, got := range values[0] {
						alone, _ := s.score([]any{x[i*m.fields : (i+1)*m.fields]}, 1)
						if math.Float64bits(alone[0][0]) != math.Float64bits(got) {
							t.Fatalf("row %d of %d that share %g: %v, alone %v", i, n, share, got, alone[0][0])
						}
					}
				}
			}
		})
	}
}

func TestIndexOutsideItsTable(t *testing.T) {
	for _, m := range indexedModels {
		t.Run(m.name(), func(t *testing.T) {
			s := m.plan().open(t, 100)
			x := m.rows(100, 0.7, 5)
			sound, _ := s.score([]any{x}, 100)
			want := []int{0, 1, 31, 64, 99}
			spoilt := slices.Clone(x)
			for i, r := range want {
				spoilt[r*m.fields+r%m.fields] = []int32{-1, int32(m.n), math.MaxInt32, math.MinInt32, int32(m.n) + 5}[i]
			}
			values, refused := s.score([]any{spoilt}, 100)
			if !slices.Equal(refused, want) {
				t.Errorf("rows %v are refused, want %v", refused, want)
			}
			for i, got := range values[0] {
				if !slices.Contains(want, i) && got != sound[0][i] {
					t.Errorf("row %d beside one at fault: %v, want %v", i, got, sound[0][i])
				}
			}
		})
	}
}

// Rewriting leaves out no model of indices that an output names, since it may refuse rows.
func TestRewritingKeepsIndicesThatRefuse(t *testing.T) {
	for _, m := range indexedModels {
		s := &sketch{}
		rows, x := s.input(engine.Int32, m.fields), s.input(engine.Float64, 1)
		logit := s.node("cast", map[string]any{"to": "float64"}, nil, s.node(m.op, m.set(), m.objects(), rows))
		s.output(s.node("select", columns(1), nil, s.node("concat", nil, nil, logit, x)))
		data := m.rows(4, 0, 1)
		data[2*m.fields] = int32(m.n)
		s.same(t, []any{data, []float64{1, 2, 3, 4}}, 4, 0)
	}
}

func TestIndicesRefused(t *testing.T) {
	rows := kind{of: engine.Int32, width: 3}
	m := indexed{op: "deepfm", fields: 3, n: 4, k: 2, layers: []int{4, 2}}
	f := func(op string, set map[string]any, obj tensors, in kind, words ...string) {
		t.Helper()
		refused(t, op, set, obj, in, words...)
	}
	without := func(name string, other ...plantest.Tensor) tensors {
		obj := m.objects()
		delete(obj, name)
		for _, o := range other {
			obj[name] = o
		}
		return obj
	}
	table := plantest.Of([]float32{1, 2}, 2, 1)
	bias := plantest.Of([]float32{1})
	f("indices_linear", nil, tensors{"table": table, "bias": bias}, dense(3), "takes dense [int32]")
	f("indices_linear", nil, tensors{"table": plantest.Of([]float32{1, 2}, 1, 2), "bias": bias}, rows, `"table" is float32[1, 2], must have rows of 1 to 1 values`)
	f("indices_linear", nil, tensors{"table": plantest.Of([]float32{}, 0, 1), "bias": bias}, rows, `"table" is float32[0, 1]`)
	f("fm", nil, tensors{"table": table, "bias": bias}, rows, "must have rows of 2")
	f("fm", nil, tensors{"table": table}, rows, `"bias" is missing`)
	f("deepfm", map[string]any{"layers": 0}, m.objects(), rows, `"layers" is 0, must be an integer in [1, 64]`)
	f("deepfm", map[string]any{"layers": 3}, m.objects(), rows, `"kernel2" is missing`)
	f("deepfm", map[string]any{"layers": 1}, m.objects(), rows, `"head" is float32[8, 1], must be float32[10, 1]`)
	f("deepfm", map[string]any{"layers": 2}, without("layer_bias1"), rows, `"layer_bias1" is missing`)
	f("deepfm", map[string]any{"layers": 2}, without("kernel1", plantest.Of(make([]float32, 10), 5, 2)), rows, `"kernel1" is float32[5, 2], must be float32[4, -]`)
	f("deepfm", map[string]any{"layers": 2}, without("kernel1", plantest.Of([]float32{}, 4, 0)), rows, `must have 1 to`)
	f("deepfm", map[string]any{"layers": 2}, m.objects(), kind{of: engine.Int32, width: 4}, `"kernel0" is float32[9, 4], must be float32[12, -]`)
}

// The DeepFM of models/ctr: 33 fields, of which the last 9 are the candidate's.
func BenchmarkDeepFM(b *testing.B) {
	m := indexed{op: "deepfm", fields: 33, n: 5000, k: 8, layers: []int{128, 64, 32}}
	for _, shared := range []int{0, 24} {
		for _, rows := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("shared=%d/rows=%d", shared, rows), func(b *testing.B) {
				x := m.rows(rows, 0, 1)
				for i := 1; i < rows; i++ {
					copy(x[i*m.fields:i*m.fields+shared], x[:shared])
				}
				s := m.plan().open(b, rows)
				s.score([]any{x}, rows)
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
