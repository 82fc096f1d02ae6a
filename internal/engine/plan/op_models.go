package plan

// #include "operators.h"
import "C"

import "unsafe"

func init() {
	add("linear", operator{1, 1, checkLinear})
	add("link", operator{1, 1, checkLink})
}

func checkLinear(n *node) (kind, build) {
	n.numbers()
	w := n.in[0].width
	coef := n.object("coef", Float64, -1, w)
	k := coef.dims[0]
	intercept := n.object("intercept", Float64, k)
	finite := n.flag("finite")
	return dense(k), func(m *memory) stage {
		p := params[C.gv_matrix_params](m)
		p.matrix = (*C.double)(coef.pointer())
		p.intercept = (*C.double)(intercept.pointer())
		p.k, p.w = C.int32_t(k), C.int32_t(w)
		if finite {
			p.finite = 1
		}
		return stage{unsafe.Pointer(C.gv_linear), unsafe.Pointer(p)}
	}
}

var links = map[string]C.int32_t{
	"sigmoid": C.GV_SIGMOID, "binary": C.GV_BINARY, "softmax": C.GV_SOFTMAX, "ovr": C.GV_OVR, "exp": C.GV_EXPONENT, "huber": C.GV_HUBER,
}

func checkLink(n *node) (kind, build) {
	n.dense()
	name := n.word("kind", "sigmoid", "binary", "softmax", "ovr", "exp", "huber")
	width := n.in[0].width
	if name == "binary" {
		n.column()
		width = 2
	}
	return dense(width), func(m *memory) stage {
		p := params[C.gv_link_params](m)
		p.kind = links[name]
		return stage{unsafe.Pointer(C.gv_link), unsafe.Pointer(p)}
	}
}
