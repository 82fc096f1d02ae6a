package plan

// #include "operators.h"
import "C"

import (
	"slices"
	"unsafe"
)

func init() {
	add("concat", operator{1, maxInputs, checkConcat})
	add("select", operator{1, 1, checkSelect})
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
	n.numbers()
	in := n.in[0]
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
		return stage{unsafe.Pointer(C.gv_select), unsafe.Pointer(p)}
	}
}
