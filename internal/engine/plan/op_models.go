package plan

// #include "operators.h"
import "C"

import (
	"fmt"
	"math"
	"unsafe"
)

func init() {
	add("linear", operator{1, 1, checkMatrix("coef", unsafe.Pointer(C.gv_linear))})
	add("project", operator{1, 1, checkMatrix("matrix", unsafe.Pointer(C.gv_linear))})
	add("distances", operator{1, 1, checkMatrix("centers", unsafe.Pointer(C.gv_distances))})
	add("nearest", operator{1, 1, checkMatrix("centers", unsafe.Pointer(C.gv_nearest))})
	add("link", operator{1, 1, checkLink})
	add("argmax", operator{1, 1, checkArgmax})
	add("sigmoid_calibration", operator{1, 1, checkSigmoidCalibration})
	add("isotonic", operator{1, 1, checkIsotonic})
}

// checkMatrix is the check of the operators that multiply with a matrix, which the object of that name is.
func checkMatrix(name string, run unsafe.Pointer) func(*node) (kind, build) {
	return func(n *node) (kind, build) {
		n.numbers()
		if n.op == "linear" && n.hasObject("listed") {
			return checkListed(n)
		}
		w := n.in[0].width
		matrix := n.object(name, Float64, -1, w)
		k := matrix.dims[0]
		var intercept *Object
		if n.op == "linear" {
			intercept = n.object("intercept", Float64, k)
		}
		finite, fused := n.flag("finite"), n.flag("fused")
		out := dense(k)
		if n.op == "nearest" {
			out = dense(min(k, 1))
		}
		return out, func(m *memory) stage {
			p := params[C.gv_matrix_params](m)
			p.matrix = doubles(matrix)
			p.k, p.w, p.finite, p.fused = C.int32_t(k), C.int32_t(w), flag(finite), flag(fused)
			if intercept != nil {
				p.intercept = doubles(intercept)
			}
			if k >= C.GV_TRANSPOSED {
				transposed := array[C.double](m, w*int(C.gv_stride(p.k)))
				p.transposed = unsafe.SliceData(transposed)
				m.note("transposed")
				C.gv_transpose(p.matrix, p.k, p.w, unsafe.SliceData(transposed))
			}
			if name == "centers" {
				norms := array[C.double](m, k)
				p.norms = unsafe.SliceData(norms)
				C.gv_squares(p.matrix, p.k, p.w, unsafe.SliceData(norms))
			}
			return stage{run, unsafe.Pointer(p)}
		}
	}
}

// checkListed is the check of a linear model that lists its coefficients.
func checkListed(n *node) (kind, build) {
	l := n.listed()
	n.lists = l
	finite := n.flag("finite")
	n.flag("fused") // of one output; it changes nothing
	return dense(1), func(m *memory) stage {
		p := params[C.gv_matrix_params](m)
		p.k, p.w, p.finite, p.intercept = 1, C.int32_t(l.width), flag(finite), l.intercept()
		l.fill(p)
		return stage{unsafe.Pointer(C.gv_linear), unsafe.Pointer(p)}
	}
}

var links = map[string]C.int32_t{
	"sigmoid": C.GV_SIGMOID, "binary": C.GV_BINARY, "softmax": C.GV_SOFTMAX, "ovr": C.GV_OVR, "exp": C.GV_EXPONENT, "huber": C.GV_HUBER,
	"shares": C.GV_SHARES, "parts": C.GV_PARTS,
}

func checkLink(n *node) (kind, build) {
	n.dense()
	name := n.word("kind", "sigmoid", "binary", "softmax", "ovr", "exp", "huber", "shares", "parts")
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

func checkArgmax(n *node) (kind, build) {
	n.dense()
	return dense(1), func(*memory) stage { return stage{run: unsafe.Pointer(C.gv_argmax)} }
}

func checkSigmoidCalibration(n *node) (kind, build) {
	n.dense()
	n.column()
	a, b := comparableFloat(n, "a"), comparableFloat(n, "b")
	return dense(1), func(m *memory) stage {
		p := params[C.gv_calibration_params](m)
		p.a, p.b = C.double(a), C.double(b)
		return stage{unsafe.Pointer(C.gv_sigmoid_calibration), unsafe.Pointer(p)}
	}
}

func checkIsotonic(n *node) (kind, build) {
	n.dense()
	n.column()
	x := n.object("x", Float64, -1)
	y := n.object("y", Float64, x.dims[0])
	if len(n.faults) == 0 && x.dims[0] == 0 {
		n.fault("object \"x\" has no points")
	}
	n.content(x, "finite, ascending", func() error {
		for i, v := range values[float64](x) {
			if math.IsNaN(v) || math.IsInf(v, 0) || i > 0 && !(values[float64](x)[i-1] < v) {
				return fmt.Errorf("object \"x\" holds %g at %d, must be finite and ascend", v, i)
			}
		}
		return nil
	})
	n.content(y, "finite", func() error {
		for i, v := range values[float64](y) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("object \"y\" holds %g at %d, must be finite", v, i)
			}
		}
		return nil
	})
	return dense(1), func(m *memory) stage {
		p := params[C.gv_isotonic_params](m)
		p.x, p.y, p.n = doubles(x), doubles(y), C.int32_t(x.dims[0])
		return stage{unsafe.Pointer(C.gv_isotonic), unsafe.Pointer(p)}
	}
}
