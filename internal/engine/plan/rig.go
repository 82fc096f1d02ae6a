package plan

// #include <stdlib.h>
// #include "plan.h"
// #include "runtime.h"
import "C"

import (
	"fmt"
	"unsafe"

	"gavel/internal/engine"
)

// rigRun runs nodes in place of the engine, until tests can use that; then this file goes. It returns dense float64 and float32
// values by number, nil for others, and the fault of each row.
func rigRun(inputs []kind, nodes []*node, data []any, rows int) (out [][]float64, faults []int, err error) {
	kinds := append([]kind{}, inputs...)
	m := &memory{}
	defer m.free()
	var builds []build
	for i, n := range nodes {
		n.number = len(inputs) + i
		n.asked, n.in, n.faults, n.contents = map[string]bool{}, nil, nil, nil
		for _, r := range n.reads {
			n.in = append(n.in, kinds[r])
		}
		op, ok := operators[n.op]
		if !ok || len(n.in) < op.least || len(n.in) > op.most {
			return nil, nil, fmt.Errorf("no operator %q, or wrong number of inputs", n.op)
		}
		k, b := op.check(n)
		if err := n.finish(); err != nil {
			return nil, nil, err
		}
		if k.width < 1 || k.width > 1<<24 {
			return nil, nil, fmt.Errorf("%v: width %d", n, k.width)
		}
		kinds, builds = append(kinds, k), append(builds, b)
	}
	stages := array[C.gv_stage](m, len(nodes))
	for i, b := range builds {
		s := b(m)
		stages[i].run = (*[0]byte)(s.run)
		stages[i].params = s.params
		stages[i].in = copiedInts(m, nodes[i].reads)
		stages[i].inputs = C.int32_t(len(nodes[i].reads))
		stages[i].out = C.int32_t(len(inputs) + i)
		stages[i].number = C.int32_t(i)
	}
	vals := array[C.gv_value](m, len(kinds))
	run := params[C.gv_run](m)
	run.values = unsafe.SliceData(vals)
	types := map[engine.Type]C.uint8_t{engine.Float64: C.GV_F64, engine.Float32: C.GV_F32, engine.Int32: C.GV_I32, engine.Text: C.GV_TEXT}
	ptr := func(v *C.gv_value) *unsafe.Pointer { return (*unsafe.Pointer)(unsafe.Pointer(&v.anon0)) }
	for i, k := range kinds {
		vals[i]._type = types[k.of]
		vals[i].width = C.int32_t(k.width)
		if k.sparse {
			vals[i].sparse = 1
			vals[i].start = unsafe.SliceData(array[C.int32_t](m, 65))
		} else {
			*ptr(&vals[i]) = m.take(uintptr(64 * 16 * k.width))
		}
	}
	out = make([][]float64, len(kinds))
	for at := 0; at < rows; at += 64 {
		n := min(64, rows-at)
		run.rows = C.int32_t(n)
		for r := range n {
			run.fault[r] = 0
		}
		for i := range inputs {
			w := inputs[i].width
			switch d := data[i].(type) {
			case []float64:
				copy(unsafe.Slice((*float64)(*ptr(&vals[i])), n*w), d[at*w:])
			case []float32:
				copy(unsafe.Slice((*float32)(*ptr(&vals[i])), n*w), d[at*w:])
			case []int32:
				copy(unsafe.Slice((*int32)(*ptr(&vals[i])), n*w), d[at*w:])
			case []string:
				t := unsafe.Slice((*C.gv_text)(*ptr(&vals[i])), n)
				for r := range n {
					b := m.take(uintptr(len(d[at+r]) + 64))
					copy(unsafe.Slice((*byte)(b), len(d[at+r])), d[at+r])
					t[r].bytes, t[r].length = (*C.uint8_t)(b), C.uint32_t(len(d[at+r]))
				}
			}
		}
		if rc := C.gv_execute(unsafe.SliceData(stages), C.int32_t(len(stages)), run); rc != 0 {
			return nil, nil, fmt.Errorf("rc %d", rc)
		}
		for i, k := range kinds {
			if k.sparse || k.of == engine.Text || k.of == engine.Int32 {
				continue
			}
			if k.of == engine.Float32 {
				for _, v := range unsafe.Slice((*float32)(*ptr(&vals[i])), n*k.width) {
					out[i] = append(out[i], float64(v))
				}
				continue
			}
			out[i] = append(out[i], unsafe.Slice((*float64)(*ptr(&vals[i])), n*k.width)...)
		}
		for r := range n {
			faults = append(faults, int(run.fault[r]))
		}
		C.gv_reset(&run.arena)
		for i, k := range kinds {
			if k.sparse {
				vals[i].capacity = 0
			}
		}
	}
	C.gv_arena_free(&run.arena)
	return out, faults, nil
}
