package plan

/*
#cgo noescape gv_score
#cgo nocallback gv_score
#include <stdlib.h>
#include "runtime.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"gavel/internal/engine"
)

// maxBatchBytes bounds the columns of one batch.
const maxBatchBytes = 1 << 30

// Batch is memory for rows and their outputs, in C, but for texts, which are Go's: a run copies those into C memory.
type Batch struct {
	engine   *base
	capacity int
	memory   memory
	c        *C.gv_batch
	inputs   []engine.Column
	outputs  []engine.Column
	faults   []uint8 // gv_fault of each member's rows, in C memory; all GV_OK between runs
	at       []int32 // the stage that failed

	texts []textColumn // of the inputs that are texts
	bytes []byte       // C memory that the texts of a run are copied to
	unfit []unfit      // texts of a run that no stage may see, ascending by input
	usage usage
}

// unfit is a text that fails the members that read it.
type unfit struct {
	input, row int
	err        error
}

// textColumn is a text input: what C reads, a gv_text a row.
type textColumn struct {
	input int
	rows  []text
}

// text is a gv_text. Its pointer is to C memory.
type text struct {
	bytes  uintptr
	length uint32
	_      uint32
}

var (
	_ engine.Batch = (*Batch)(nil)
	_ engine.Meter = (*Batch)(nil)
)

// NewBatch implements engine.Engine. The batch keeps the engine alive until it is closed.
func (e *base) NewBatch(capacity int) (engine.Batch, error) {
	row := 5 * e.members() // bytes
	for _, f := range append(e.schema.Inputs[:len(e.schema.Inputs):len(e.schema.Inputs)], e.schema.Outputs...) {
		row += f.Width * sizeOf(f.Type)
	}
	if capacity < 1 || capacity > maxBatchBytes/row {
		return nil, fmt.Errorf("plan: cannot make a batch of %d rows of %d bytes; use 1 to %d rows", capacity, row, maxBatchBytes/row)
	}
	if err := e.opened(); err != nil {
		return nil, err
	}
	return e.newBatch(capacity), nil
}

func sizeOf(t engine.Type) int {
	switch t {
	case engine.Text:
		return textSize
	case engine.Float64:
		return 8
	default:
		return 4
	}
}

func (e *base) newBatch(capacity int) *Batch {
	b := &Batch{engine: e, capacity: capacity}
	m := &b.memory
	b.c = params[C.gv_batch](m)
	in, out := array[unsafe.Pointer](m, len(e.schema.Inputs)), array[unsafe.Pointer](m, len(e.schema.Outputs))
	b.faults, b.at = array[uint8](m, e.members()*capacity), array[int32](m, e.members()*capacity)
	b.c.inputs, b.c.outputs = unsafe.SliceData(in), unsafe.SliceData(out)
	b.c.fault, b.c.fault_at, b.c.capacity = (*C.uint8_t)(unsafe.SliceData(b.faults)), (*C.int32_t)(unsafe.SliceData(b.at)), C.int64_t(capacity)
	for i, f := range e.schema.Inputs {
		column, p := newColumn(m, f, capacity)
		if f.Type == engine.Text {
			rows := array[text](m, capacity)
			b.texts, p = append(b.texts, textColumn{i, rows}), unsafe.Pointer(unsafe.SliceData(rows))
		}
		b.inputs, in[i] = append(b.inputs, column), p
	}
	for i, f := range e.schema.Outputs {
		column, p := newColumn(m, f, capacity)
		b.outputs, out[i] = append(b.outputs, column), p
	}
	return b
}

// newColumn makes the memory of a field: in C, and where that is; in Go for texts.
func newColumn(m *memory, f engine.Field, rows int) (engine.Column, unsafe.Pointer) {
	c := engine.Column{Type: f.Type, Width: f.Width}
	switch n := rows * f.Width; f.Type {
	case engine.Text:
		c.Text = make([]string, n)
		return c, nil
	case engine.Int32:
		c.Int32 = array[int32](m, n)
		return c, unsafe.Pointer(unsafe.SliceData(c.Int32))
	case engine.Float32:
		c.Float32 = array[float32](m, n)
		return c, unsafe.Pointer(unsafe.SliceData(c.Float32))
	default:
		c.Float64 = array[float64](m, n)
		return c, unsafe.Pointer(unsafe.SliceData(c.Float64))
	}
}

// Inputs implements engine.Batch.
func (b *Batch) Inputs() []engine.Column { return b.inputs }

// Outputs implements engine.Batch.
func (b *Batch) Outputs() []engine.Column { return b.outputs }

// Run implements engine.Batch in one call of C. Where rows are at fault, the error is an *engine.RowErrors. Another one means
// that there was no memory.
func (b *Batch) Run(n int) error {
	if b.c == nil {
		return errors.New("plan: cannot run a closed batch")
	}
	if n < 1 || n > b.capacity {
		return fmt.Errorf("plan: cannot run %d rows of a batch for %d", n, b.capacity)
	}
	if len(b.texts) > 0 {
		if err := b.pack(n); err != nil {
			return err
		}
	}
	pool := &b.engine.objects.runs
	run, err := pool.take()
	if err != nil {
		return err
	}
	failed := C.gv_score(b.engine.program.c, b.c, run, C.int64_t(n))
	pool.give(run)
	b.usage.add(int64(b.c.cpu_ns))
	switch {
	case failed < 0:
		clear(b.faults) // of tiles before
		return errNoMemory
	case failed > 0 || len(b.unfit) > 0:
		return b.rowErrors(n)
	default:
		return nil
	}
}

// RunCPU implements engine.Meter: the CPU time of the calling thread. The first runs of a batch are measured, then one in eight.
func (b *Batch) RunCPU() time.Duration { return time.Duration(b.c.cpu_ns) }

// pack copies the texts of rows [0, n) into C memory. A text that no stage may see is noted, and empty there.
func (b *Batch) pack(n int) error {
	b.unfit = b.unfit[:0]
	size := align // that stages may read behind the last text
	for i := range b.texts {
		for _, s := range b.inputs[b.texts[i].input].Text[:n] {
			size += min(len(s), b.engine.options.MaxText)
		}
	}
	if size > len(b.bytes) && !b.resize(2*size) {
		return errNoMemory
	}
	at, base := 0, uintptr(unsafe.Pointer(unsafe.SliceData(b.bytes)))
	for i := range b.texts {
		input, rows := b.texts[i].input, b.texts[i].rows
		for row, s := range b.inputs[input].Text[:n] {
			if err := b.engine.checkText(s); err != nil {
				b.unfit = append(b.unfit, unfit{input, row, b.engine.textFault(input, err, len(s))})
				s = ""
			}
			rows[row] = text{bytes: base + uintptr(at), length: uint32(len(s))}
			at += copy(b.bytes[at:], s)
		}
	}
	return nil
}

// resize makes the memory for texts anew.
func (b *Batch) resize(size int) bool {
	C.free(unsafe.Pointer(unsafe.SliceData(b.bytes)))
	b.bytes = nil
	p := C.malloc(C.size_t(size))
	if p == nil {
		return false
	}
	b.bytes = unsafe.Slice((*byte)(p), size)
	clear(b.bytes)
	return true
}

// Close frees the memory, and the engine with it if that was closed before and this was its last batch. A second call does
// nothing.
func (b *Batch) Close() {
	if b.c == nil {
		return
	}
	C.free(unsafe.Pointer(unsafe.SliceData(b.bytes)))
	b.memory.free()
	b.c, b.inputs, b.outputs, b.texts, b.bytes, b.faults, b.at = nil, nil, nil, nil, nil, nil, nil
	b.engine.batchClosed()
}
