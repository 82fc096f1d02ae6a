package plan

// #include "indices.h"
import "C"

import (
	"fmt"
	"unsafe"

	"gavel/internal/engine"
)

// maxLayers bounds the layers of a deepfm.
const maxLayers = 64

func init() {
	add("indices_linear", operator{1, 1, checkIndices(1, 1, unsafe.Pointer(C.gv_indices_linear))})
	add("fm", operator{1, 1, checkIndices(2, maxWidth, unsafe.Pointer(C.gv_fm))})
	add("deepfm", operator{1, 1, checkDeepFM})
}

// indices is what a node of rows of indices has: a table, whose rows are from least to most wide, and a bias.
type indices struct {
	table, bias *Object
	fields      int
}

func (n *node) indices(least, most int) indices {
	n.dense(engine.Int32)
	i := indices{n.object("table", Float32, -1, -1), n.object("bias", Float32, 1), n.in[0].width}
	if d := i.table.dims; len(n.faults) == 0 && (d[0] < 1 || d[1] < least || d[1] > most) {
		n.fault("object \"table\" is %v, must have rows of %d to %d values", i.table, least, most)
	}
	return i
}

func (i indices) init(p *C.gv_indices_params) {
	p.table, p.bias, p.fields = floats(i.table), *floats(i.bias), C.int32_t(i.fields)
	p.n, p.width = C.int32_t(i.table.dims[0]), C.int32_t(i.table.dims[1])
}

// logit is the kind of what a model of indices gives.
var logit = kind{of: engine.Float32, width: 1}

func checkIndices(least, most int, run unsafe.Pointer) func(*node) (kind, build) {
	return func(n *node) (kind, build) {
		of := n.indices(least, most)
		return logit, func(m *memory) stage {
			p := params[C.gv_indices_params](m)
			of.init(p)
			return stage{run, unsafe.Pointer(p)}
		}
	}
}

func checkDeepFM(n *node) (kind, build) {
	of := n.indices(2, maxWidth)
	count := n.integer("layers", 1, maxLayers)
	width := of.table.dims[1]
	in := of.fields * width
	if in > maxWidth {
		n.fault("the first layer reads %d values, at most %d are allowed", in, maxWidth)
	}
	type layer struct{ kernel, bias *Object }
	layers := make([]layer, count)
	for i := range layers {
		kernel := n.object(fmt.Sprint("kernel", i), Float32, in, -1)
		if in = kernel.dims[1]; len(n.faults) == 0 && (in < 1 || in > maxWidth) {
			n.fault("object \"kernel%d\" is %v, must have 1 to %d columns", i, kernel, maxWidth)
		}
		layers[i] = layer{kernel, n.object(fmt.Sprint("layer_bias", i), Float32, in)}
	}
	head := n.object("head", Float32, 2*width+in, 1)
	return logit, func(m *memory) stage {
		p := params[C.gv_deepfm_params](m)
		of.init(&p.indices)
		made := array[C.gv_layer](m, count)
		for i, l := range layers {
			made[i] = C.gv_layer{kernel: floats(l.kernel), bias: floats(l.bias), in: C.int32_t(l.kernel.dims[0]), out: C.int32_t(l.kernel.dims[1])}
		}
		p.layers, p.layer_count, p.head = unsafe.SliceData(made), C.int32_t(count), floats(head)
		return stage{unsafe.Pointer(C.gv_deepfm), unsafe.Pointer(p)}
	}
}

// floats is where an object's float32 values are.
func floats(o *Object) *C.float { return (*C.float)(o.pointer()) }
