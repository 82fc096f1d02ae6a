package plan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// forestArrays is a forest as plans have it, and how a plain program evaluates it.
type forestArrays struct {
	roots, feature, left, right, leaf, bitStart, bitCount []int32
	threshold, values, base                               []float64
	flags                                                 []uint8
	bits                                                  []uint32
	columns                                               []int
	less, nanFalse, single                                bool
	divide                                                float64
	width                                                 int
}

// The values where comparisons may go wrong.
var corners = []float64{
	0, math.Copysign(0, -1), 5e-324, -5e-324, 1e-36, -1e-36, float64(float32(1e-35)), -float64(float32(1e-35)), 1, -1, -0.5, 31, 32, 63.5, 64,
	1e9, -1e9, 4294967296, math.MaxFloat64, -math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(), math.NaN(),
}

// someNumber is a corner, a whole number, or a normal one.
func someNumber(r *rand.Rand) float64 {
	switch r.IntN(3) {
	case 0:
		return corners[r.IntN(len(corners))]
	case 1:
		return float64(r.IntN(80) - 5)
	}
	return r.NormFloat64()
}

// randomForest makes trees of up to `leaves` leaves.
func randomForest(r *rand.Rand, trees, leaves, outputs int, wide bool) *forestArrays {
	f := &forestArrays{less: r.IntN(2) == 0, single: r.IntN(3) == 0, divide: 1, width: 1 + r.IntN(6)}
	f.nanFalse = r.IntN(4) == 0
	if r.IntN(3) == 0 {
		f.divide = float64(trees)
	}
	v := 1
	if wide {
		v = outputs
	}
	for range outputs {
		f.base = append(f.base, math.Round(r.NormFloat64()*64)/64) // a float32
	}
	for t := range trees {
		f.roots = append(f.roots, int32(len(f.feature)))
		if !wide {
			f.columns = append(f.columns, t%outputs)
		}
		open := []int{f.add(-1)} // places of what is a leaf so far
		for n := r.IntN(leaves); n > 0; n-- {
			i := r.IntN(len(open))
			at := open[i]
			left, right := f.add(-1), f.add(-1)
			open[i] = left
			open = append(open, right)
			f.feature[at], f.left[at], f.right[at] = int32(r.IntN(f.width)), int32(left), int32(right)
			f.flags[at] = uint8(r.IntN(8))
			if f.nanFalse && f.flags[at]&2 != 0 {
				f.flags[at] |= 4
			}
			for f.threshold[at] = math.NaN(); math.IsNaN(f.threshold[at]); {
				f.threshold[at] = someNumber(r)
			}
			if r.IntN(5) == 0 {
				f.flags[at] |= uint8(8 + 16*r.IntN(2))
				f.bitStart[at], f.bitCount[at] = int32(len(f.bits)), int32(r.IntN(4))
				for range f.bitCount[at] {
					f.bits = append(f.bits, r.Uint32())
				}
			}
		}
		for _, at := range open {
			f.leaf[at] = int32(len(f.values) / v)
			for range v {
				f.values = append(f.values, float64(float32(r.NormFloat64())))
			}
		}
	}
	f.bits = append(f.bits, 0)
	return f
}

func (f *forestArrays) add(feature int32) int {
	f.feature, f.left, f.right, f.leaf = append(f.feature, feature), append(f.left, -1), append(f.right, -1), append(f.leaf, -1)
	f.threshold, f.flags = append(f.threshold, 0), append(f.flags, 0)
	f.bitStart, f.bitCount = append(f.bitStart, 0), append(f.bitCount, 0)
	return len(f.feature) - 1
}

// goesLeft is docs/plan-format.md's table of flags, one after another.
func (f *forestArrays) goesLeft(at int, x float64) bool {
	flags := f.flags[at]
	missing := false
	if math.IsNaN(x) {
		switch {
		case flags&4 != 0:
			missing = true
		case f.nanFalse:
			return false
		default:
			x = 0
		}
	}
	if flags&2 != 0 && math.Abs(x) <= float64(float32(1e-35)) {
		missing = true
	}
	switch {
	case missing:
		return flags&1 != 0
	case flags&8 != 0:
		whole := math.Trunc(x)
		if flags&16 != 0 && x < 0 || whole < 0 || whole >= 32*float64(f.bitCount[at]) {
			return false
		}
		return f.bits[int(f.bitStart[at])+int(whole)/32]>>(int(whole)%32)&1 == 1
	case f.less:
		return x < f.threshold[at]
	}
	return x <= f.threshold[at]
}

// score is the sums of a row, and its leaves' places.
func (f *forestArrays) score(row []float64) (sums []float64, leaves []int) {
	round := func(x float64) float64 {
		if f.single {
			return float64(float32(x))
		}
		return x
	}
	sums = append([]float64{}, f.base...)
	for t, root := range f.roots {
		at := int(root)
		for f.feature[at] >= 0 {
			if f.goesLeft(at, row[f.feature[at]]) {
				at = int(f.left[at])
			} else {
				at = int(f.right[at])
			}
		}
		leaves = append(leaves, at)
		if f.columns != nil {
			sums[f.columns[t]] = round(sums[f.columns[t]] + f.values[f.leaf[at]])
			continue
		}
		for j := range sums {
			sums[j] = round(sums[j] + f.values[int(f.leaf[at])*len(sums)+j])
		}
	}
	for j := range sums {
		if f.divide != 1 {
			sums[j] = round(sums[j] / f.divide)
		}
	}
	return sums, leaves
}

// ordinals numbers the leaves of each tree in the order of its nodes.
func (f *forestArrays) ordinals() []int {
	numbers := make([]int, len(f.feature))
	for t, root := range f.roots {
		end, next := len(f.feature), 0
		if t+1 < len(f.roots) {
			end = int(f.roots[t+1])
		}
		for at := int(root); at < end; at++ {
			if f.feature[at] < 0 {
				numbers[at], next = next, next+1
			}
		}
	}
	return numbers
}

func (f *forestArrays) objects() tensors {
	return tensors{
		"roots": plantest.Of(f.roots), "feature": plantest.Of(f.feature), "threshold": plantest.Of(f.threshold), "left": plantest.Of(f.left),
		"right": plantest.Of(f.right), "leaf": plantest.Of(f.leaf), "flags": plantest.Of(f.flags), "bits": plantest.Of(f.bits),
		"bit_start": plantest.Of(f.bitStart), "bit_count": plantest.Of(f.bitCount), "base": plantest.Of(f.base),
		"values": plantest.Of(f.values, int(f.leaves()), len(f.values)/f.leaves()),
	}
}

func (f *forestArrays) leaves() (n int) {
	for _, feature := range f.feature {
		if feature < 0 {
			n++
		}
	}
	return n
}

// The engine agrees with a plain program to the last bit: for all flags, both forms, any number of rows.
func TestTreesAgreeWithAPlainProgram(t *testing.T) {
	for seed := range 60 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			trees, leaves := 1+r.IntN(40), []int{1, 2, 8, 31, 32, 33, 64, 65, 200}[seed%9]
			if seed%20 == 19 {
				trees = 600 // several groups of QuickScorer
			}
			f := randomForest(r, trees, leaves, 1+seed%3, seed%2 == 0)
			set := map[string]any{"compare": "le", "nan": !f.nanFalse}
			if f.less {
				set["compare"] = "lt"
			}
			var s sketch
			of := []engine.Type{engine.Float64, engine.Float32}[seed/2%2]
			x := s.input(of, f.width)
			s.output(s.node("leaves", set, f.objects(), x))
			sums := map[string]any{"compare": set["compare"], "nan": set["nan"], "divide": f.divide, "precision": "float64"}
			if f.single {
				sums["precision"] = "float32"
			}
			if f.columns != nil {
				sums["columns"] = f.columns
			}
			s.output(s.node("trees", sums, f.objects(), x))
			ordinals := f.ordinals()
			scorer := s.open(t, 200)
			for _, rows := range []int{200, 64, 21, 16, 15, 9, 8, 7, 2, 1} {
				data := make([]float64, rows*f.width)
				narrow := make([]float32, len(data))
				for i := range data {
					if data[i] = someNumber(r); r.IntN(3) == 0 { // at a threshold, or beside one
						data[i] = math.Nextafter(f.threshold[r.IntN(len(f.threshold))], someNumber(r))
					}
					if narrow[i] = float32(data[i]); of == engine.Float32 {
						data[i] = float64(narrow[i])
					}
				}
				input := any(data)
				if of == engine.Float32 {
					input = narrow
				}
				out, refused := scorer.score([]any{input}, rows)
				if len(refused) > 0 {
					t.Fatalf("rows %v are refused", refused)
				}
				for i := range rows {
					row := data[i*f.width : (i+1)*f.width]
					want, places := f.score(row)
					for j, place := range places {
						if got := out[0][i*trees+j]; got != float64(ordinals[place]) {
							t.Fatalf("%d rows: row %d %v is in leaf %v of tree %d, want %d", rows, i, row, got, j, ordinals[place])
						}
					}
					for j := range want {
						if got := out[1][i*len(want)+j]; math.Float64bits(got) != math.Float64bits(want[j]) {
							t.Fatalf("%d rows: the sum of row %d %v is %v, want %v", rows, i, row, got, want[j])
						}
					}
				}
			}
		})
	}
}

// Rows with numbers that the trees do not take are refused, and no others.
func TestTreesRefuseRows(t *testing.T) {
	f := randomForest(rand.New(rand.NewPCG(1, 1)), 9, 20, 1, false)
	f.width = 3
	for accepts, want := range map[string]string{"any": "[]", "no_infinity": "[1 3]", "finite": "[1 2 3]"} {
		for _, of := range []engine.Type{engine.Float64, engine.Float32} {
			var s sketch
			for i := range f.feature {
				f.feature[i] = min(f.feature[i], 2)
			}
			s.output(s.node("trees", map[string]any{"compare": "le", "accepts": accepts}, f.objects(), s.input(of, 3)))
			data := []float64{1, 2, 3, 1, math.Inf(1), 3, math.NaN(), 2, 3, math.NaN(), 2, math.Inf(-1), -1e300, 0, 1}
			input := any(data)
			if of == engine.Float32 {
				narrow := make([]float32, len(data))
				for i, x := range data {
					narrow[i] = float32(max(x, -1e30))
					if math.IsInf(x, -1) {
						narrow[i] = float32(x)
					}
				}
				input = narrow
			}
			if _, refused := s.open(t, 5).score([]any{input}, 5); fmt.Sprint(refused) != want {
				t.Errorf("%s, %v: rows %v are refused, want %s", accepts, of, refused, want)
			}
		}
	}
}
