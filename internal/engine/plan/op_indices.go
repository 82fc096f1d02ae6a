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
	add("indices_linear", operator{1, 1, checkIndicesLinear})
	add("fm", operator{1, 1, checkFM})
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

func checkIndicesLinear(n *node) (kind, build) {
	of := n.indices(1, 1)
	return logit, func(m *memory) stage {
		p := params[C.gv_indices_params](m)
		of.init(p)
		return stage{unsafe.Pointer(C.gv_indices_linear), unsafe.Pointer(p)}
	}
}

// checkFM has a deepfm without layers made, whose head adds weights and halves of pairs.
func checkFM(n *node) (kind, build) {
	of := n.indices(2, maxWidth)
	return logit, func(m *memory) stage {
		p := params[C.gv_deepfm_params](m)
		of.init(&p.indices)
		p.skip, p.group = 1, C.gv_fields_of_group(p.indices.width-1)
		head := make([]float32, 2*p.indices.width)
		head[0] = 1
		for j := p.indices.width + 1; j < 2*p.indices.width; j++ {
			head[j] = 0.5
		}
		p.head = arrangedHead(m, head, p.indices.width)
		return stage{unsafe.Pointer(C.gv_deepfm), unsafe.Pointer(p)}
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
			without := C.int32_t(0) // each so many-th row of the kernel
			if i == 0 && C.gv_first_unused(floats(l.kernel), C.int32_t(l.kernel.dims[0]), C.int32_t(l.kernel.dims[1]), p.indices.width) != 0 {
				p.skip, without = 1, p.indices.width
			}
			l.init(m, &made[i], without)
		}
		p.group = C.gv_fields_of_group(p.indices.width - p.skip)
		p.layers, p.layer_count = unsafe.SliceData(made), C.int32_t(count)
		p.head = arrangedHead(m, values[float32](head), p.indices.width)
		return stage{unsafe.Pointer(C.gv_deepfm), unsafe.Pointer(p)}
	}
}

// arrangedHead is the head of sums, pairs and the last layer as C has it.
func arrangedHead(m *memory, head []float32, width C.int32_t) *C.float {
	last := len(head) - 2*int(width)
	to := unsafe.SliceData(array[C.float](m, int(C.gv_interactions(width)+C.gv_padded(C.size_t(last), C.GV_PANEL))))
	C.gv_head((*C.float)(unsafe.SliceData(head)), width, C.int32_t(last), to)
	return to
}

// layer is a layer of the MLP.
type layer struct{ kernel, bias *Object }

// init packs the layer; without each so many-th row of the kernel unless without is 0.
func (l layer) init(m *memory, to *C.gv_layer, without C.int32_t) {
	in, out := C.int32_t(l.kernel.dims[0]), C.int32_t(l.kernel.dims[1])
	to.in, to.out = in, out
	if without > 0 {
		to.in -= in / without
	}
	padded := int(C.gv_padded(C.size_t(out), C.GV_PANEL))
	packed, bias := array[C.float](m, int(to.in)*padded), array[float32](m, padded)
	C.gv_pack(floats(l.kernel), in, out, without, unsafe.SliceData(packed))
	copy(bias, values[float32](l.bias))
	to.packed, to.bias = unsafe.SliceData(packed), (*C.float)(unsafe.SliceData(bias))
}

// floats is where an object's float32 values are.
func floats(o *Object) *C.float { return (*C.float)(o.pointer()) }
