package plan

// #include "operators.h"
import "C"

import (
	"slices"
	"unsafe"

	"gavel/internal/engine"
)

func init() {
	add("concat", operator{1, maxInputs, checkConcat})
	add("select", operator{1, 1, checkSelect})
	add("cast", operator{1, 1, checkCast})
	add("dense", operator{1, 1, checkDense})
	add("finite", operator{1, 1, checkFinite})
	add("mean", operator{1, maxInputs, checkMean})
}

func checkConcat(n *node) (kind, build) {
	n.numbers()
	out := dense(0)
	for _, in := range n.in {
		out.width += in.width
		out.sparse = out.sparse || in.sparse
	}
	return out, func(*memory) stage { return stage{run: unsafe.Pointer(C.gv_concat)} }
}

func checkSelect(n *node) (kind, build) {
	in := n.in[0]
	if in.of != engine.Float64 && in.of != engine.Text {
		n.fault("input 0 is %v, it takes float64 or text", in)
	}
	columns := n.integers("columns", -1, 0, in.width-1)
	out := kind{in.of, len(columns), in.sparse}
	target := make([]int, 0)
	if in.sparse {
		target = slices.Repeat([]int{-1}, in.width)
		for to, from := range columns {
			if target[from] >= 0 {
				n.fault("setting \"columns\" holds %d twice, which a sparse value does not allow", from)
			}
			target[from] = to
		}
	}
	return out, func(m *memory) stage {
		p := params[C.gv_select_params](m)
		if in.sparse {
			p.target = copiedInts(m, target)
		} else {
			p.columns = copiedInts(m, columns)
		}
		if slices.IsSorted(columns) {
			p.ascending = 1
		}
		if in.of == engine.Text {
			return stage{unsafe.Pointer(C.gv_select_text), unsafe.Pointer(p)}
		}
		return stage{unsafe.Pointer(C.gv_select), unsafe.Pointer(p)}
	}
}

func checkCast(n *node) (kind, build) {
	n.dense(engine.Float64, engine.Float32, engine.Int32)
	out := dense(n.in[0].width)
	if n.word("to", "float64", "float32") == "float32" {
		out.of = engine.Float32
	}
	return out, func(*memory) stage { return stage{run: unsafe.Pointer(C.gv_cast)} }
}

func checkDense(n *node) (kind, build) {
	if in := n.in[0]; !in.sparse {
		n.fault("input 0 is %v, it takes sparse float64", in)
	}
	return dense(n.in[0].width), func(*memory) stage { return stage{run: unsafe.Pointer(C.gv_dense)} }
}

func checkFinite(n *node) (kind, build) {
	n.numbers()
	nan := n.flag("nan")
	return n.in[0], func(m *memory) stage {
		p := params[C.gv_finite_params](m)
		p.nan = flag(nan)
		return stage{unsafe.Pointer(C.gv_finite), unsafe.Pointer(p)}
	}
}

func checkMean(n *node) (kind, build) {
	n.dense()
	for i, in := range n.in {
		if in.width != n.in[0].width {
			n.fault("input %d is %v, input 0 %v; their widths must be equal", i, in, n.in[0])
		}
	}
	return dense(n.in[0].width), func(*memory) stage { return stage{run: unsafe.Pointer(C.gv_mean)} }
}

// flag is C's 1 or 0.
func flag(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}
