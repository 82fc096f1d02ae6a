package plan

// #include "operators.h"
import "C"

import (
	"fmt"
	"math"
	"slices"
	"unsafe"
)

func init() {
	add("add", operator{1, 1, columnwise(unsafe.Pointer(C.gv_add))})
	add("sub", operator{1, 1, columnwise(unsafe.Pointer(C.gv_sub))})
	add("mul", operator{1, 1, columnwise(unsafe.Pointer(C.gv_mul), "finite")})
	add("div", operator{1, 1, columnwise(unsafe.Pointer(C.gv_div), "a number and not 0")})
	add("impute", operator{1, 1, columnwise(unsafe.Pointer(C.gv_impute))})
	add("clip", operator{1, 1, checkClip})
	add("missing", operator{1, 1, checkMissing})
	add("equal_missing", operator{1, 1, checkEqualMissing})
	add("binarize", operator{1, 1, checkBinarize})
	add("normalize", operator{1, 1, checkNormalize})
	add("function", operator{1, 1, checkFunction})
	add("bins", operator{1, 1, checkBins})
	add("polynomial", operator{1, 1, checkPolynomial})
}

// columnwise is the check of the operators with a number for each column. If a rule is named, sparse values are taken too; the
// numbers must keep it, so that what is not listed stays 0.
func columnwise(run unsafe.Pointer, rule ...string) func(*node) (kind, build) {
	return func(n *node) (kind, build) {
		if len(rule) > 0 {
			n.numbers()
		} else {
			n.dense()
		}
		in := n.in[0]
		value := n.object("value", Float64, in.width)
		if in.sparse && len(rule) > 0 {
			n.content(value, rule[0], func() error { return keepsZero(value, rule[0]) })
		}
		return in, func(m *memory) stage {
			p := params[C.gv_columns_params](m)
			p.value = doubles(value)
			return stage{run, unsafe.Pointer(p)}
		}
	}
}

func keepsZero(value *Object, rule string) error {
	for j, v := range values[float64](value) {
		if math.IsNaN(v) || rule == "finite" && math.IsInf(v, 0) || rule != "finite" && v == 0 {
			return fmt.Errorf("object \"value\" holds %g at %d, must be %s for a sparse value", v, j, rule)
		}
	}
	return nil
}

// doubles is where an object's float64 values are.
func doubles(o *Object) *C.double { return (*C.double)(o.pointer()) }

// comparableFloat is a setting that is a float, but not NaN.
func comparableFloat(n *node, name string) float64 {
	if f, ok := n.set[name].(float64); ok && math.IsNaN(f) {
		n.fault("setting %q is NaN", name)
	}
	return n.float(name)
}

func checkClip(n *node) (kind, build) {
	n.dense()
	low, high := comparableFloat(n, "low"), comparableFloat(n, "high")
	return n.in[0], func(m *memory) stage {
		p := params[C.gv_clip_params](m)
		p.low, p.high = C.double(low), C.double(high)
		return stage{unsafe.Pointer(C.gv_clip), unsafe.Pointer(p)}
	}
}

func checkMissing(n *node) (kind, build) {
	n.dense()
	return n.in[0], func(*memory) stage { return stage{run: unsafe.Pointer(C.gv_missing)} }
}

func checkEqualMissing(n *node) (kind, build) {
	n.dense()
	value := comparableFloat(n, "value")
	return n.in[0], func(m *memory) stage {
		p := params[C.gv_number_params](m)
		p.value = C.double(value)
		return stage{unsafe.Pointer(C.gv_equal_missing), unsafe.Pointer(p)}
	}
}

func checkBinarize(n *node) (kind, build) {
	n.numbers()
	threshold := comparableFloat(n, "threshold")
	if n.in[0].sparse && threshold < 0 {
		n.fault("setting \"threshold\" is %g, must be at least 0 for a sparse value", threshold)
	}
	return n.in[0], func(m *memory) stage {
		p := params[C.gv_number_params](m)
		p.value = C.double(threshold)
		return stage{unsafe.Pointer(C.gv_binarize), unsafe.Pointer(p)}
	}
}

func checkNormalize(n *node) (kind, build) {
	n.numbers()
	norm := n.word("norm", "l1", "l2", "max")
	return n.in[0], func(m *memory) stage {
		p := params[C.gv_normalize_params](m)
		p.norm = map[string]C.int32_t{"l1": C.GV_L1, "l2": C.GV_L2, "max": C.GV_MAX}[norm]
		return stage{unsafe.Pointer(C.gv_normalize), unsafe.Pointer(p)}
	}
}

// functions are the names in the order of gv_function_name, from GV_LOG.
var functions = []string{
	"log", "log1p", "log2", "log10", "exp", "expm1", "sqrt", "cbrt", "square", "abs", "negative", "reciprocal",
	"sign", "sin", "cos", "tanh", "floor", "ceil", "rint",
}

func checkFunction(n *node) (kind, build) {
	n.dense()
	name := n.word("name", functions...)
	return n.in[0], func(m *memory) stage {
		p := params[C.gv_function_params](m)
		p.name = C.GV_LOG + C.int32_t(slices.Index(functions, name))
		return stage{unsafe.Pointer(C.gv_function), unsafe.Pointer(p)}
	}
}

func checkBins(n *node) (kind, build) {
	n.dense()
	w := n.in[0].width
	counts := n.integers("counts", w, 0, math.MaxInt32)
	edges := n.object("edges", Float64, -1)
	start := running(counts)
	if total := start[len(start)-1]; len(n.faults) == 0 && total != edges.dims[0] {
		n.fault("setting \"counts\" counts %d edges, object \"edges\" is %v", total, edges)
	}
	n.content(edges, fmt.Sprintf("edges of %v", counts), func() error {
		all := values[float64](edges)
		for j := range counts {
			if of := all[start[j]:start[j+1]]; !slices.IsSorted(of) || slices.ContainsFunc(of, math.IsNaN) {
				return fmt.Errorf("object \"edges\": those of column %d do not ascend", j)
			}
		}
		return nil
	})
	return dense(w), func(m *memory) stage {
		p := params[C.gv_bins_params](m)
		p.edges, p.start = doubles(edges), copiedInts(m, start)
		return stage{unsafe.Pointer(C.gv_bins), unsafe.Pointer(p)}
	}
}

// running returns the sums of the first 0, 1, … counts.
func running(counts []int) []int {
	sums := make([]int, len(counts)+1)
	for i, c := range counts {
		sums[i+1] = sums[i] + c
	}
	return sums
}

const maxDegree = 64 // of a polynomial

func checkPolynomial(n *node) (kind, build) {
	n.dense()
	w := n.in[0].width
	powers := n.object("powers", Int32, -1, w)
	n.content(powers, fmt.Sprintf("powers of %d columns", w), func() error { return checkPowers(powers, w) })
	return dense(powers.dims[0]), func(m *memory) stage {
		p := params[C.gv_polynomial_params](m)
		base, start, factor := products(values[int32](powers), w)
		p.base, p.start, p.factor = copiedInts(m, base), copiedInts(m, start), copiedInts(m, factor)
		return stage{unsafe.Pointer(C.gv_polynomial), unsafe.Pointer(p)}
	}
}

func checkPowers(powers *Object, w int) error {
	if err := powers.below("powers", 0, maxDegree+1); err != nil {
		return err
	}
	c := 0
	for of := range slices.Chunk(values[int32](powers), w) {
		degree := 0
		for _, power := range of {
			degree += int(power)
		}
		if degree > maxDegree {
			return fmt.Errorf("object \"powers\": column %d is of degree %d, at most %d is supported", c, degree, maxDegree)
		}
		c++
	}
	return nil
}

// products turns powers into multiplications: column c of the result is column base[c] of it, or 1 if that is -1, times the columns
// factor[start[c]:start[c+1]] of the input. The order is scikit-learn's: from the last column to the first.
func products(powers []int32, w int) (base, start, factor []int) {
	start = []int{0}
	seen := map[string]int{} // by the factors, where they are the result's
	c := 0
	for of := range slices.Chunk(powers, w) {
		var all []int
		for j := w - 1; j >= 0; j-- {
			for range of[j] {
				all = append(all, j)
			}
		}
		from, rest := -1, all
		if len(all) > 1 {
			if known, ok := seen[fmt.Sprint(all[:len(all)-1])]; ok {
				from, rest = known, all[len(all)-1:]
			}
		}
		if name := fmt.Sprint(all); len(all) > 0 {
			if _, ok := seen[name]; !ok {
				seen[name] = c
			}
		}
		base, factor = append(base, from), append(factor, rest...)
		start = append(start, len(factor))
		c++
	}
	return base, start, factor
}
