package plan

// #include "runtime.h"
import "C"

import (
	"encoding/binary"
	"unsafe"

	"gavel/internal/engine"
)

// textSize is the size of a gv_text.
const textSize = C.sizeof_gv_text

// program is checked plans in C memory, ready to run: which stages run in which order, on which values. The stages' parameters are
// shared. Runs only read it.
type program struct {
	c      *C.gv_program
	memory memory
	steps  []step // without what builds them
	stages []*shared
	keys   []key // of all values, inputs first
	gives  []int // the value of each output
	caches *caches
}

// types are those of values in C.
var types = map[engine.Type]C.uint8_t{engine.Float64: C.GV_F64, engine.Float32: C.GV_F32, engine.Int32: C.GV_I32, engine.Text: C.GV_TEXT}

// compile takes the stages of a checked plan and links them. The caller keeps the plan's objects until it has released the stages,
// after the last program that runs them was freed. The user is a version, such as "ctr version 3".
func compile(g *checked, objects *Objects, user string, o Options) (*program, error) {
	from := &objects.stages
	stages := make([]*shared, len(g.steps))
	for i, s := range g.steps {
		stages[i] = from.take(s.form, user, s.build)
		g.steps[i].build = nil
	}
	p, err := link(g, stages, []int{0, len(g.gives)}, &objects.caches, o)
	if err != nil {
		from.releaseAll(stages, user)
	}
	return p, err
}

// link makes a program of stages, one a step. The outputs of member m are [members[m], members[m+1]).
func link(g *checked, stages []*shared, members []int, caches *caches, o Options) (*program, error) {
	var chains []chain
	var within map[int]bool
	if o.StageCache > 0 {
		chains, within = g.chains()
	}
	offsets, size, err := g.layout(within)
	if err != nil {
		return nil, err
	}
	ofStages, ofRows, err := caches.take(o)
	if err != nil {
		return nil, err
	}
	p := &program{steps: g.steps, stages: stages, gives: g.gives, caches: caches}
	m := &p.memory
	reads := 0
	for _, s := range g.steps {
		reads += len(s.reads)
	}
	all := array[C.int32_t](m, reads)
	linked := array[C.gv_stage](m, len(g.steps))
	slots := array[C.gv_slot](m, len(g.inputs)+len(g.steps))
	for i, f := range g.inputs {
		slots[i] = C.gv_slot{_type: types[f.Type], width: C.int32_t(f.Width)}
		p.keys = append(p.keys, inputKey(f))
	}
	for i, s := range g.steps {
		number := len(g.inputs) + i
		slots[number] = C.gv_slot{_type: types[s.kind.of], width: C.int32_t(s.kind.width), offset: C.int64_t(offsets[i])}
		if s.kind.sparse {
			slots[number].sparse = 1
		}
		in := all[:len(s.reads)]
		all = all[len(s.reads):]
		for k, from := range s.reads {
			in[k] = C.int32_t(from)
		}
		linked[i] = C.gv_stage{
			run: (*[0]byte)(stages[i].stage.run), params: stages[i].stage.params,
			in: unsafe.SliceData(in), inputs: C.int32_t(len(in)), out: C.int32_t(number), number: C.int32_t(i),
		}
		p.keys = append(p.keys, s.key)
	}
	p.c = params[C.gv_program](m)
	*p.c = C.gv_program{
		stages: unsafe.SliceData(linked), slots: unsafe.SliceData(slots),
		outputs: copiedInts(m, g.gives), outputs_from: copiedInts(m, members), member_count: C.int32_t(len(members) - 1),
		stage_count: C.int32_t(len(g.steps)), input_count: C.int32_t(len(g.inputs)), output_count: C.int32_t(len(g.gives)),
		scratch: C.int64_t(size),
	}
	p.cache(ofStages, ofRows, chains, within)
	return p, nil
}

// cache has the program use caches, which may be nil, and keep the chains in the first.
func (p *program) cache(stages, rows *C.gv_cache, chains []chain, within map[int]bool) {
	m := &p.memory
	p.c.row_cache = rows
	var outputs []key
	for _, v := range p.gives {
		outputs = append(outputs, p.keys[v])
	}
	p.c.owner = owner(valueKey(key{}, outputs))
	if len(chains) == 0 {
		return
	}
	p.c.stage_cache = stages
	cached, order := array[C.gv_cached](m, len(chains)), array[C.int32_t](m, len(p.steps))
	p.c.cached, p.c.order = unsafe.SliceData(cached), unsafe.SliceData(order)
	for i := range order {
		if order[i] = C.GV_RUN; within[i] {
			order[i] = C.GV_WITHIN
		}
	}
	for k, c := range chains {
		end := c.steps[len(c.steps)-1]
		order[end] = C.int32_t(k)
		cached[k] = C.gv_cached{
			owner: owner(p.steps[end].key), stages: copiedInts(m, c.steps), stage_count: C.int32_t(len(c.steps)),
			inputs: copiedInts(m, c.inputs), input_count: C.int32_t(len(c.inputs)),
		}
	}
}

// owner is the part of a key that caches know: no two that anyone can find are alike.
func owner(k key) [2]C.uint64_t {
	return [2]C.uint64_t{C.uint64_t(binary.LittleEndian.Uint64(k[:])), C.uint64_t(binary.LittleEndian.Uint64(k[8:]))}
}

func (p *program) free() {
	p.memory.free()
	p.caches.release()
}
