package plan

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

var nan, inf = math.NaN(), math.Inf(1)

func normal(r *rand.Rand) float64 { return r.NormFloat64() }

// holes draws NaN at times, and zeros of both signs.
func holes(r *rand.Rand) float64 {
	switch r.IntN(8) {
	case 0:
		return nan
	case 1:
		return 0
	case 2:
		return math.Copysign(0, -1)
	case 3:
		return float64(r.IntN(5)) - 2
	default:
		return 3 * r.NormFloat64()
	}
}

// mostly0 draws for sparse values.
func mostly0(r *rand.Rand) float64 {
	if r.IntN(3) > 0 {
		return 0
	}
	return r.NormFloat64()
}

// strange draws NaN and infinity now and then.
func strange(r *rand.Rand) float64 {
	switch r.IntN(60) {
	case 0:
		return nan
	case 1:
		return inf
	default:
		return mostly0(r)
	}
}

func drawn(n int, draw func(*rand.Rand) float64) []float64 {
	r := rand.New(rand.NewPCG(uint64(n), 11))
	v := make([]float64, n)
	for i := range v {
		v[i] = draw(r)
	}
	return v
}

// each applies a function to every number of the first input.
func each(f func(x float64, j int) float64) func([][]float64) []float64 {
	return func(x [][]float64) []float64 {
		y := make([]float64, len(x[0]))
		for j, v := range x[0] {
			y[j] = f(v, j)
		}
		return y
	}
}

var widths = []int{1, 3, 4, 5, 8, 17, 33}

func dot(a, b []float64) float64 {
	sum := 0.0
	for j := range a {
		sum += a[j] * b[j]
	}
	return sum
}

func row(m []float64, w, r int) []float64 { return m[r*w : (r+1)*w] }

func finiteRow(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
}

func init() {
	structureExamples()
	for _, w := range widths {
		numberExamples(w)
		for _, k := range []int{1, 2, 3, 5, 8, 13, 26} { // each way of going through the matrix
			matrixExamples(w, k)
		}
		linkExamples(w)
	}
	categoryExamples()
	calibrationExamples()
}

func structureExamples() {
	join := func(x [][]float64) []float64 { return slices.Concat(x...) }
	examples = append(examples,
		example{op: "concat", widths: []int{1}, draw: holes, want: join},
		example{op: "concat", widths: []int{1, 1, 3, 17, 1}, draw: holes, want: join},
		example{op: "concat", widths: []int{1, 4, 3, 1}, sparse: []bool{false, true, false, true}, draw: holes, want: join},
		example{op: "concat", widths: []int{33, 5}, sparse: []bool{true, true}, draw: mostly0, want: join},
		example{op: "cast", set: map[string]any{"to": "float64"}, widths: []int{5}, draw: holes, want: join},
	)
	for _, w := range widths {
		mean := func(x [][]float64) []float64 {
			y := slices.Clone(x[0])
			for j := range y {
				y[j] = (x[0][j] + x[1][j] + x[2][j]) / 3
			}
			return y
		}
		pass := func(nan bool) func(x [][]float64) []float64 {
			return func(x [][]float64) []float64 {
				if slices.ContainsFunc(x[0], func(v float64) bool { return math.IsInf(v, 0) || math.IsNaN(v) && !nan }) {
					return nil
				}
				return x[0]
			}
		}
		examples = append(examples,
			example{op: "mean", widths: []int{w, w, w}, draw: normal, want: mean},
			example{op: "dense", widths: []int{w}, sparse: []bool{true}, draw: mostly0, want: join},
			example{op: "finite", widths: []int{w}, draw: strange, want: pass(false)},
			example{op: "finite", set: map[string]any{"nan": true}, widths: []int{w}, draw: strange, want: pass(true)},
			example{op: "finite", set: map[string]any{"nan": false}, widths: []int{w}, sparse: []bool{true}, draw: strange, want: pass(false)},
		)
		back := make([]int, w)
		for j := range back {
			back[j] = w - 1 - j
		}
		for _, columns := range [][]int{{0}, {w - 1}, back, back[:(w+1)/2]} {
			pick := func(x [][]float64) []float64 {
				var y []float64
				for _, j := range columns {
					y = append(y, x[0][j])
				}
				return y
			}
			set := map[string]any{"columns": columns}
			examples = append(examples,
				example{op: "select", set: set, widths: []int{w}, draw: holes, want: pick},
				example{op: "select", set: set, widths: []int{w}, sparse: []bool{true}, draw: mostly0, want: pick})
		}
	}
	examples = append(examples, example{op: "select", set: map[string]any{"columns": []int{2, 0, 2}}, widths: []int{3}, draw: holes,
		want: func(x [][]float64) []float64 { return []float64{x[0][2], x[0][0], x[0][2]} }})
}

func numberExamples(w int) {
	v := drawn(w, normal)
	value := tensors{"value": plantest.Of(v)}
	add := func(op string, set map[string]any, obj tensors, f func(x float64, j int) float64, sparse bool) {
		examples = append(examples, example{op: op, set: set, obj: obj, widths: []int{w}, draw: holes, want: each(f)})
		if sparse {
			examples = append(examples, example{op: op, set: set, obj: obj, widths: []int{w}, sparse: []bool{true}, draw: mostly0, want: each(f)})
		}
	}
	add("add", nil, value, func(x float64, j int) float64 { return x + v[j] }, false)
	add("sub", nil, value, func(x float64, j int) float64 { return x - v[j] }, false)
	add("mul", nil, value, func(x float64, j int) float64 { return x * v[j] }, true)
	add("div", nil, value, func(x float64, j int) float64 { return x / v[j] }, true)
	add("impute", nil, value, func(x float64, j int) float64 {
		if math.IsNaN(x) {
			return v[j]
		}
		return x
	}, false)
	add("clip", map[string]any{"low": -1.5, "high": int64(1)}, nil, func(x float64, _ int) float64 { return min(max(x, -1.5), 1) }, false)
	add("clip", map[string]any{"low": -inf, "high": 0.5}, nil, func(x float64, _ int) float64 { return min(x, 0.5) }, false)
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	add("missing", nil, nil, func(x float64, _ int) float64 { return truth(math.IsNaN(x)) }, false)
	add("equal_missing", map[string]any{"value": int64(-1)}, nil, func(x float64, _ int) float64 {
		if x == -1 {
			return nan
		}
		return x
	}, false)
	add("binarize", map[string]any{"threshold": 0.25}, nil, func(x float64, _ int) float64 { return truth(x > 0.25) }, true)
	examples = append(examples, example{op: "binarize", set: map[string]any{"threshold": -1.0}, widths: []int{w}, draw: holes,
		want: each(func(x float64, _ int) float64 { return truth(x > -1) })})

	norms := map[string]func(x []float64) float64{
		"l1": func(x []float64) (n float64) {
			for _, v := range x {
				n += math.Abs(v)
			}
			return n
		},
		"l2": func(x []float64) float64 { return math.Sqrt(dot(x, x)) },
		"max": func(x []float64) (n float64) {
			for _, v := range x {
				n = max(n, math.Abs(v))
			}
			return n
		},
	}
	for name, norm := range norms {
		want := func(x [][]float64) []float64 {
			by := norm(x[0])
			if by == 0 {
				by = 1
			}
			return each(func(v float64, _ int) float64 { return v / by })(x)
		}
		for _, sparse := range [][]bool{nil, {true}} {
			examples = append(examples, example{op: "normalize", set: map[string]any{"norm": name}, widths: []int{w}, sparse: sparse, draw: mostly0, want: want, near: 1e-14})
		}
	}
	functionExamples(w)
	binsAndPolynomials(w)
}

func functionExamples(w int) {
	for name, f := range map[string]func(float64) float64{
		"log": math.Log, "log1p": math.Log1p, "log2": math.Log2, "log10": math.Log10, "exp": math.Exp, "expm1": math.Expm1, "sqrt": math.Sqrt,
		"cbrt": math.Cbrt, "abs": math.Abs, "sin": math.Sin, "cos": math.Cos, "tanh": math.Tanh, "floor": math.Floor, "ceil": math.Ceil,
		"rint": math.RoundToEven, "square": func(x float64) float64 { return x * x }, "negative": func(x float64) float64 { return -x },
		"reciprocal": func(x float64) float64 { return 1 / x },
		"sign": func(x float64) float64 {
			if x == 0 || math.IsNaN(x) {
				return x
			}
			return math.Copysign(1, x)
		},
	} {
		examples = append(examples, example{op: "function", set: map[string]any{"name": name}, widths: []int{w}, draw: holes,
			want: each(func(x float64, _ int) float64 { return f(x) }), near: 1e-14})
	}
}

func binsAndPolynomials(w int) {
	var edges []float64
	var counts, start []int
	for j := range w {
		n := []int{3, 0, 1, 40}[j%4]
		of := drawn(n, normal)
		sort.Float64s(of)
		if n == 40 {
			of[7] = of[8] // an edge twice
		}
		start = append(start, len(edges))
		edges, counts = append(edges, of...), append(counts, n)
	}
	examples = append(examples, example{op: "bins", set: map[string]any{"counts": counts}, obj: tensors{"edges": plantest.Of(edges)},
		widths: []int{w}, draw: holes, want: each(func(x float64, j int) float64 {
			count := 0.0
			for _, e := range edges[start[j] : start[j]+counts[j]] {
				if e <= x {
					count++
				}
			}
			return count
		})})

	var powers []int32
	for j := range w {
		for i := -1; i < w; i++ {
			p := make([]int32, w)
			p[j] = 1
			if i >= 0 {
				p[i]++
			}
			powers = append(powers, p...)
		}
	}
	powers = append(powers, make([]int32, w)...) // 1
	deep := make([]int32, w)
	deep[0], deep[w-1] = 3, 5
	powers = append(powers, deep...)
	examples = append(examples, example{op: "polynomial", obj: tensors{"powers": plantest.Of(powers, len(powers)/w, w)}, widths: []int{w}, draw: holes,
		want: func(x [][]float64) (y []float64) {
			for of := range slices.Chunk(powers, w) {
				product := 1.0
				for j := w - 1; j >= 0; j-- {
					for range of[j] {
						product *= x[0][j]
					}
				}
				y = append(y, product)
			}
			return y
		}})
}

// inOrder adds products in the order of columns: fused with the sum, or each rounded.
func inOrder(a, b []float64, fused bool) float64 {
	sum := 0.0
	for j := range a {
		if fused {
			sum = math.FMA(a[j], b[j], sum)
		} else {
			sum += float64(a[j] * b[j])
		}
	}
	return sum
}

// squares adds as NumPy's einsum does: even columns and odd ones, of each eight columns the last pair first.
func squares(x []float64) float64 {
	var sums [2]float64
	at := 0
	for ; at+8 <= len(x); at += 8 {
		for pair := at + 6; pair >= at; pair -= 2 {
			sums[0] += float64(x[pair] * x[pair])
			sums[1] += float64(x[pair+1] * x[pair+1])
		}
	}
	for ; at < len(x); at++ {
		sums[at%2] += float64(x[at] * x[at])
	}
	return sums[0] + sums[1]
}

// matrixExamples have exact results, but for one output: its order of sums is free.
func matrixExamples(w, k int) {
	matrix, intercept := drawn(k*w, normal), drawn(k, normal)
	m := plantest.Of(matrix, k, w)
	for form, sparse := range [][]bool{nil, {true}, {true}} {
		asDense := form != 1
		project := func(x [][]float64) []float64 {
			y := make([]float64, k)
			for c := range y {
				y[c] = inOrder(row(matrix, w, c), x[0], asDense)
			}
			return y
		}
		linear := func(x [][]float64) []float64 {
			y := project(x)
			for c := range y {
				y[c] += intercept[c]
			}
			return y
		}
		distances := func(x [][]float64) []float64 {
			of := squares(x[0])
			if !asDense {
				of = inOrder(x[0], x[0], false)
			}
			y := project(x)
			for c := range y {
				y[c] = math.Sqrt(max(0, float64(-2*y[c]+of)+squares(row(matrix, w, c))))
			}
			return y
		}
		nearest := func(x [][]float64) []float64 {
			d := project(x)
			for c := range d {
				d[c] = squares(row(matrix, w, c)) - float64(2*d[c])
			}
			return []float64{float64(slices.Index(d, slices.Min(d)))}
		}
		strict := func(f func([][]float64) []float64) func([][]float64) []float64 {
			return func(x [][]float64) []float64 {
				if !finiteRow(x[0]) {
					return nil
				}
				return f(x)
			}
		}
		finite := map[string]any{"finite": true, "fused": form == 2}
		sums, distance := 0.0, 0.0
		if k == 1 {
			sums, distance = 1e-12, 1e-7
		}
		examples = append(examples,
			example{op: "linear", set: finite, obj: tensors{"coef": m, "intercept": plantest.Of(intercept)}, widths: []int{w}, sparse: sparse, draw: strange, want: strict(linear), near: sums},
			example{op: "project", set: finite, obj: tensors{"matrix": m}, widths: []int{w}, sparse: sparse, draw: strange, want: strict(project), near: sums},
			example{op: "distances", set: finite, obj: tensors{"centers": m}, widths: []int{w}, sparse: sparse, draw: strange, want: strict(distances), near: distance},
			example{op: "nearest", set: finite, obj: tensors{"centers": m}, widths: []int{w}, sparse: sparse, draw: strange, want: strict(nearest)},
		)
		if k == 1 && sparse != nil {
			examples = append(examples, example{op: "linear", set: finite, obj: listing(matrix, intercept[0]), widths: []int{w}, sparse: sparse, draw: strange, want: strict(linear), near: sums})
		}
		if w == 5 && sparse == nil {
			examples = append(examples, example{op: "linear", obj: tensors{"coef": m, "intercept": plantest.Of(intercept)}, widths: []int{w}, draw: holes, want: linear, near: sums})
		}
	}
}

func linkExamples(w int) {
	logistic := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	shares := func(y []float64) []float64 {
		sum := 0.0
		for _, v := range y {
			sum += v
		}
		for j := range y {
			if y[j] /= sum; sum == 0 {
				y[j] = 1 / float64(len(y))
			}
		}
		return y
	}
	sigmoid := each(func(x float64, _ int) float64 { return logistic(x) })
	huber := each(func(x float64, _ int) float64 { return (min(max(x, -1), 1) + 1) / 2 })
	for kind, want := range map[string]func([][]float64) []float64{
		"sigmoid": sigmoid,
		"ovr":     func(x [][]float64) []float64 { return shares(sigmoid(x)) },
		"exp":     each(func(x float64, _ int) float64 { return math.Exp(x) }),
		"huber":   huber,
		"shares":  func(x [][]float64) []float64 { return shares(slices.Clone(x[0])) },
		"parts": func(x [][]float64) []float64 {
			if slices.Max(x[0]) == 0 {
				return slices.Clone(x[0])
			}
			return shares(slices.Clone(x[0]))
		},
		"softmax": func(x [][]float64) []float64 {
			most := slices.Max(x[0])
			return shares(each(func(v float64, _ int) float64 { return math.Exp(v - most) })(x))
		},
	} {
		draw := normal
		if kind == "shares" || kind == "parts" {
			draw = func(r *rand.Rand) float64 { return max(0, r.NormFloat64()-1) } // rows of zeros, too
		}
		examples = append(examples, example{op: "link", set: map[string]any{"kind": kind}, widths: []int{w}, draw: draw, want: want, near: 1e-14})
	}
	if w == 1 {
		examples = append(examples, example{op: "link", set: map[string]any{"kind": "binary"}, widths: []int{1}, draw: normal, near: 1e-15,
			want: func(x [][]float64) []float64 { return []float64{1 - logistic(x[0][0]), logistic(x[0][0])} }})
	}
	examples = append(examples, example{op: "argmax", widths: []int{w}, draw: func(r *rand.Rand) float64 { return float64(r.IntN(4) - 1) },
		want: func(x [][]float64) []float64 {
			if w == 1 {
				return []float64{max(0, min(1, x[0][0]))}
			}
			return []float64{float64(slices.Index(x[0], slices.Max(x[0])))}
		}})
}

func categoryExamples() {
	texts := []string{"", "a", "bb", "sieben7", "achtacht", "neunneun9", "ein längerer Text mit 30 Bytes", "\xFF", "fremd", "fremder als fremd"}
	codes := drawn(8, normal)
	known := dictionary(texts[:8]...)
	known["codes"] = plantest.Of(codes)
	lookup := func(unknown []float64) func(string) []float64 {
		return func(text string) []float64 {
			if i := slices.Index(texts[:8], text); i >= 0 {
				return codes[i : i+1]
			}
			return unknown
		}
	}
	one := dictionary("x")
	one["codes"] = plantest.Of([]float64{3})
	examples = append(examples,
		example{op: "lookup", set: map[string]any{"unknown": nil}, obj: known, widths: []int{1}, texts: texts, text: lookup(nil)},
		example{op: "lookup", set: map[string]any{"unknown": -1.0}, obj: known, widths: []int{1}, texts: texts, text: lookup([]float64{-1})},
		example{op: "lookup", set: map[string]any{"unknown": nan}, obj: one, widths: []int{1}, texts: []string{"x", "y", ""}, text: func(text string) []float64 {
			if text == "x" {
				return []float64{3}
			}
			return []float64{nan}
		}},
	)
	for _, keys := range [][]float64{{1}, {nan}, {-2, 0, 1}, {-2, -1, 0, 1, nan}, {-1, 0, 1, 2, 2.5, 1e300, inf, nan}} {
		of := func(x float64) int {
			return slices.IndexFunc(keys, func(k float64) bool { return k == x || math.IsNaN(k) && math.IsNaN(x) })
		}
		obj := tensors{"keys": plantest.Of(keys), "codes": plantest.Of(codes[:len(keys)])}
		examples = append(examples,
			example{op: "lookup", set: map[string]any{"unknown": nil}, obj: obj, widths: []int{1}, draw: holes, want: func(x [][]float64) []float64 {
				if i := of(x[0][0]); i >= 0 {
					return codes[i : i+1]
				}
				return nil
			}},
			example{op: "lookup", set: map[string]any{"unknown": int64(9)}, obj: obj, widths: []int{1}, draw: holes, want: func(x [][]float64) []float64 {
				if i := of(x[0][0]); i >= 0 {
					return codes[i : i+1]
				}
				return []float64{9}
			}})
	}
	number := func(r *rand.Rand) float64 { return []float64{-1, 0, 1, 2, 3, 1.5, nan, inf, -inf, 1e300}[r.IntN(10)] }
	for _, sizes := range [][]int{{1}, {3}, {2, 1, 4}, {0, 2, 0}, {1, 2, 3, 4, 5, 6, 7}} {
		examples = append(examples, example{op: "expand", set: map[string]any{"sizes": sizes}, widths: []int{len(sizes)}, draw: number,
			want: func(x [][]float64) []float64 {
				var y []float64
				for j, size := range sizes {
					for at := range size {
						y = append(y, map[bool]float64{true: 1}[x[0][j] == float64(at)])
					}
				}
				return y
			}})
	}
	for _, k := range []int{1, 3, 10} {
		table := drawn(4*k, normal)
		examples = append(examples, example{op: "gather", obj: tensors{"table": plantest.Of(table, 4, k)}, widths: []int{1}, draw: number,
			want: func(x [][]float64) []float64 {
				if v := x[0][0]; v >= 0 && v < 4 && v == math.Floor(v) {
					return row(table, k, int(v))
				}
				return nil
			}})
	}
}

func calibrationExamples() {
	a, b := -1.5, 0.25
	examples = append(examples, example{op: "sigmoid_calibration", set: map[string]any{"a": a, "b": b}, widths: []int{1}, draw: normal,
		want: each(func(x float64, _ int) float64 { return 1 / (1 + math.Exp(a*x+b)) }), near: 1e-15})
	for _, n := range []int{1, 2, 3, 50} {
		xs, ys := drawn(n, normal), drawn(n, normal)
		sort.Float64s(xs)
		examples = append(examples, example{op: "isotonic", obj: tensors{"x": plantest.Of(xs), "y": plantest.Of(ys)}, widths: []int{1},
			draw: func(r *rand.Rand) float64 {
				if r.IntN(3) == 0 {
					return xs[r.IntN(n)]
				}
				return holes(r)
			},
			want: each(func(x float64, _ int) float64 {
				at := sort.SearchFloat64s(xs, x)
				switch {
				case math.IsNaN(x):
					return nan
				case x <= xs[0]:
					return ys[0]
				case x >= xs[n-1]:
					return ys[n-1]
				case xs[at] == x:
					return ys[at]
				}
				return (ys[at]-ys[at-1])/(xs[at]-xs[at-1])*(x-xs[at-1]) + ys[at-1]
			})})
	}
}

func TestCast(t *testing.T) {
	s := &sketch{}
	d, f, i := s.input(engine.Float64, 3), s.input(engine.Float32, 3), s.input(engine.Int32, 3)
	to32, to64 := map[string]any{"to": "float32"}, map[string]any{"to": "float64"}
	for _, value := range []int{s.node("cast", to32, nil, d), s.node("cast", to32, nil, f), s.node("cast", to64, nil, f), s.node("cast", to64, nil, i), s.node("cast", to32, nil, i)} {
		s.output(value)
	}
	got, _ := s.open(t, 1).score([]any{[]float64{0.1, 16777217, 1e300}, []float32{0.1, -3, float32(nan)}, []int32{16777217, -7, math.MaxInt32}}, 1)
	tenth := float64(float32(0.1))
	for i, want := range [][]float64{{tenth, 16777216, inf}, {tenth, -3, nan}, {tenth, -3, nan}, {16777217, -7, math.MaxInt32}, {16777216, -7, 1 << 31}} {
		if !near(got[i], want, 0) {
			t.Errorf("output %d: got %v, want %v", i, got[i], want)
		}
	}
}

// A number that is not finite fails its row even where it meets a weight of 0, and a sum that overflows does not.
func TestFinite(t *testing.T) {
	for _, k := range []int{1, 5} {
		matrix := make([]float64, k*2)
		for i := range matrix {
			matrix[i] = float64(i%2) * math.MaxFloat64
		}
		s := &sketch{}
		s.output(s.node("project", map[string]any{"finite": true}, tensors{"matrix": plantest.Of(matrix, k, 2)}, s.input(engine.Float64, 2)))
		if _, refused := s.open(t, 5).score([]any{[]float64{nan, 0, inf, 0, 0, inf, 1, 100, 1, 0}}, 5); !slices.Equal(refused, []int{0, 1, 2}) {
			t.Errorf("k=%d: rows %v are refused", k, refused)
		}
	}
}

func TestArgmaxTakesNaNForTheGreatest(t *testing.T) {
	s := &sketch{}
	s.output(s.node("argmax", nil, nil, s.input(engine.Float64, 3)))
	got, _ := s.open(t, 4).score([]any{[]float64{1, nan, nan, nan, 2, 3, 1, 3, 3, nan, inf, nan}}, 4)
	if !slices.Equal(got[0], []float64{1, 0, 1, 0}) {
		t.Errorf("got %v", got)
	}
}

func TestRefusals(t *testing.T) {
	three, one := dense(3), dense(1)
	text := kind{of: engine.Text, width: 1}
	vector := func(v ...float64) tensors { return tensors{"value": plantest.Of(v)} }
	refused(t, "concat", nil, nil, text, "takes float64")
	refused(t, "select", map[string]any{"columns": []int{0, 3}}, nil, three, "columns", "[0, 2]")
	refused(t, "select", map[string]any{"columns": []int{1, 1}}, nil, sparse(3), "twice")
	refused(t, "select", map[string]any{"columns": []int{}}, nil, three, "width 0")
	refused(t, "cast", map[string]any{"to": "int8"}, nil, three, "to", "int8")
	refused(t, "dense", nil, nil, three, "takes sparse")
	refused(t, "mean", nil, nil, sparse(3), "takes dense")
	for _, op := range []string{"add", "sub", "impute"} {
		refused(t, op, nil, vector(1, 2, 3), sparse(3), "takes dense")
		refused(t, op, nil, vector(1, 2), three, "value", "float64[3]")
		refused(t, op, nil, nil, three, "value", "missing")
	}
	refused(t, "mul", nil, vector(1, inf, 1), sparse(3), "finite")
	refused(t, "div", nil, vector(1, 0, 1), sparse(3), "not 0")
	refused(t, "div", nil, vector(1, nan, 1), sparse(3), "not 0")
	refused(t, "clip", map[string]any{"low": nan, "high": 1.0}, nil, three, "low", "NaN")
	refused(t, "clip", map[string]any{"low": 0.0}, nil, three, "high", "missing")
	refused(t, "missing", map[string]any{"more": int64(1)}, nil, three, "more", "unknown")
	refused(t, "equal_missing", map[string]any{"value": nan}, nil, three, "NaN")
	refused(t, "binarize", map[string]any{"threshold": -0.5}, nil, sparse(3), "at least 0")
	refused(t, "normalize", map[string]any{"norm": "l3"}, nil, three, "l3")
	refused(t, "function", map[string]any{"name": "gamma"}, nil, three, "gamma")
	refused(t, "function", map[string]any{"name": "log"}, nil, sparse(3), "takes dense")
	edges := func(v ...float64) tensors { return tensors{"edges": plantest.Of(v)} }
	refused(t, "bins", map[string]any{"counts": []int{1, 1, 1}}, edges(1, 2), three, "counts 3 edges")
	refused(t, "bins", map[string]any{"counts": []int{2, 0, 0}}, edges(2, 1), three, "column 0", "ascend")
	refused(t, "bins", map[string]any{"counts": []int{1, 1, 0}}, edges(1, nan), three, "column 1", "ascend")
	refused(t, "bins", map[string]any{"counts": []int{-1, 2, 1}}, edges(1, 2), three, "counts")
	powers := func(v ...int32) tensors { return tensors{"powers": plantest.Of(v, len(v)/3, 3)} }
	refused(t, "polynomial", nil, powers(0, -1, 0), three, "-1")
	refused(t, "polynomial", nil, powers(40, 0, 40), three, "degree 80")

	refused(t, "lookup", map[string]any{"unknown": nil}, dictionary("a"), text, "codes")
	refused(t, "lookup", nil, dictionary("a"), text, "unknown", "missing")
	refused(t, "lookup", map[string]any{"unknown": "a"}, dictionary("a"), text, "must be a number")
	broken := dictionary("a", "b")
	broken["codes"] = plantest.Of([]float64{1, 2})
	broken["offsets"] = plantest.Of([]uint32{0, 2, 1})
	refused(t, "lookup", map[string]any{"unknown": nil}, broken, text, "no dictionary", "descend")
	keys := func(v ...float64) tensors {
		return tensors{"keys": plantest.Of(v), "codes": plantest.Of(v)}
	}
	refused(t, "lookup", map[string]any{"unknown": nil}, keys(1, 1), one, "ascend at 1")
	refused(t, "lookup", map[string]any{"unknown": nil}, keys(nan, nan), one, "ascend at 1")
	refused(t, "lookup", map[string]any{"unknown": nil}, keys(nan, 1), one, "ascend at 1")
	refused(t, "lookup", map[string]any{"unknown": nil}, keys(1), three, "one column")
	refused(t, "expand", map[string]any{"sizes": []int{1, 2}}, nil, three, "sizes", "3 integers")
	refused(t, "expand", map[string]any{"sizes": []int{1 << 24, 1, 1}}, nil, three, "width 16777218")
	refused(t, "gather", nil, tensors{"table": plantest.Of([]float64{1})}, one, "table")

	refused(t, "linear", nil, tensors{"coef": plantest.Of([]float64{1, 2, 3}, 1, 3), "intercept": plantest.Of([]float64{1, 2})}, three, "intercept", "float64[1]")
	refused(t, "linear", nil, tensors{"coef": plantest.Of([]float64{1, 2}, 1, 2), "intercept": plantest.Of([]float64{1})}, three, "coef", "[-, 3]")
	refused(t, "project", map[string]any{"finite": int64(1)}, tensors{"matrix": plantest.Of([]float64{1, 2, 3}, 1, 3)}, three, "finite")
	refused(t, "project", nil, tensors{"matrix": plantest.Of([]float64{1, 2, 3}, 1, 3), "intercept": plantest.Of([]float64{1})}, three, "intercept", "unknown")
	refused(t, "link", map[string]any{"kind": "binary"}, nil, three, "one column")
	refused(t, "link", map[string]any{"kind": "probit"}, nil, three, "probit")
	refused(t, "sigmoid_calibration", map[string]any{"a": 1.0, "b": nan}, nil, one, "NaN")
	points := func(x, y []float64) tensors { return tensors{"x": plantest.Of(x), "y": plantest.Of(y)} }
	refused(t, "isotonic", nil, points([]float64{1, 1}, []float64{1, 2}), one, "ascend")
	refused(t, "isotonic", nil, points([]float64{1, 2}, []float64{1, nan}), one, "finite")
	refused(t, "isotonic", nil, points([]float64{1, 2}, []float64{1}), one, "\"y\"")
	refused(t, "isotonic", nil, points(nil, nil), one, "no points")
}
