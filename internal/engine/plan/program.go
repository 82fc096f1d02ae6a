package plan

// #include "runtime.h"
import "C"

import (
	"unsafe"

	"gavel/internal/engine"
)

// textSize is the size of a gv_text.
const textSize = C.sizeof_gv_text

// program is a checked plan in C memory, ready to run. Runs only read it.
type program struct {
	c      *C.gv_program
	memory memory
	names  []string // of the stages' nodes, for messages
}

// types are those of values in C.
var types = map[engine.Type]C.uint8_t{engine.Float64: C.GV_F64, engine.Float32: C.GV_F32, engine.Int32: C.GV_I32, engine.Text: C.GV_TEXT}

// compile builds the stages of a checked plan. The caller frees the program, and keeps the plan's objects until then.
func compile(g *checked) (*program, error) {
	offsets, size, err := g.layout()
	if err != nil {
		return nil, err
	}
	p := &program{}
	m := &p.memory
	stages := array[C.gv_stage](m, len(g.steps))
	slots := array[C.gv_slot](m, len(g.inputs)+len(g.steps))
	for i, f := range g.inputs {
		slots[i] = C.gv_slot{_type: types[f.Type], width: C.int32_t(f.Width)}
	}
	for i, s := range g.steps {
		number := len(g.inputs) + i
		slots[number] = C.gv_slot{_type: types[s.kind.of], width: C.int32_t(s.kind.width), offset: C.int64_t(offsets[i])}
		if s.kind.sparse {
			slots[number].sparse = 1
		}
		made := s.build(m)
		stages[i] = C.gv_stage{
			run: (*[0]byte)(made.run), params: made.params,
			in: copiedInts(m, s.reads), inputs: C.int32_t(len(s.reads)), out: C.int32_t(number), number: C.int32_t(i),
		}
		p.names = append(p.names, s.name)
	}
	p.c = params[C.gv_program](m)
	*p.c = C.gv_program{
		stages: unsafe.SliceData(stages), slots: unsafe.SliceData(slots), outputs: copiedInts(m, g.gives),
		stage_count: C.int32_t(len(g.steps)), input_count: C.int32_t(len(g.inputs)), output_count: C.int32_t(len(g.gives)),
		scratch: C.int64_t(size),
	}
	return p, nil
}

func (p *program) free() { p.memory.free() }
