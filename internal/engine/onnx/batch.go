package onnx

/*
#cgo noescape onnx_run
#cgo nocallback onnx_run
#include <stdlib.h>
#include "shim.h"
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

var (
	_ engine.Batch = (*Batch)(nil)
	_ engine.Meter = (*Batch)(nil)
)

// Batch is memory for rows and their outputs, in C, but for texts, which are Go's: a run copies those into C memory.
type Batch struct {
	engine   *Engine
	capacity int
	c        *C.onnx_batch
	blocks   []unsafe.Pointer
	inputs   []engine.Column
	outputs  []engine.Column

	texts []textColumn // of the inputs that are texts
	bytes []byte       // C memory that the texts of a run are copied to
}

// textColumn is a text input: what C reads, a onnx_text a row.
type textColumn struct {
	input int
	rows  []text
}

// text is a onnx_text. Its pointer is to C memory.
type text struct {
	bytes  uintptr
	length uintptr
}

// NewBatch implements engine.Engine. The batch keeps the model alive until it is closed.
func (e *Engine) NewBatch(capacity int) (engine.Batch, error) {
	row := 0 // bytes
	for _, fields := range [][]engine.Field{e.schema.Inputs, e.schema.Outputs} {
		for _, f := range fields {
			row += f.Width * int(sizeOf(f.Type))
		}
	}
	if capacity < 1 || capacity > maxBatchBytes/row {
		return nil, fmt.Errorf("onnx: cannot make a batch of %d rows of %d bytes; use 1 to %d rows", capacity, row, maxBatchBytes/row)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errors.New("onnx: cannot make a batch: the model is closed")
	}
	e.batches++
	liveBatches.Add(1)
	return e.newBatch(capacity), nil
}

func sizeOf(t engine.Type) uintptr {
	switch t {
	case engine.Text:
		return unsafe.Sizeof(text{})
	case engine.Float64:
		return 8
	default:
		return 4
	}
}

func (e *Engine) newBatch(capacity int) *Batch {
	b := &Batch{engine: e, capacity: capacity}
	b.c = &array[C.onnx_batch](b, 1)[0]
	in, out := array[unsafe.Pointer](b, len(e.schema.Inputs)), array[unsafe.Pointer](b, len(e.schema.Outputs))
	wide := array[*C.int64_t](b, len(in))
	b.c.input, b.c.output, b.c.wide = unsafe.SliceData(in), unsafe.SliceData(out), unsafe.SliceData(wide)
	b.c.value = unsafe.SliceData(array[*C.OrtValue](b, len(in)+len(out)))
	for k, f := range e.schema.Inputs {
		column, p := b.column(f)
		switch {
		case f.Type == engine.Text:
			rows := array[text](b, capacity)
			b.texts, p = append(b.texts, textColumn{k, rows}), unsafe.Pointer(unsafe.SliceData(rows))
		case unsafe.Slice(e.c.input, len(in))[k].element == C.ORT_INT64:
			wide[k] = unsafe.SliceData(array[C.int64_t](b, min(capacity, C.ONNX_CHUNK)*f.Width))
		}
		b.inputs, in[k] = append(b.inputs, column), p
	}
	for k, f := range e.schema.Outputs {
		column, p := b.column(f)
		b.outputs, out[k] = append(b.outputs, column), p
	}
	return b
}

// array returns n zeroed Ts in C memory that the batch frees, aligned for vectors.
func array[T any](b *Batch, n int) []T {
	const align = 64
	var t T
	bytes := (unsafe.Sizeof(t)*uintptr(n) + align) / align * align
	p := C.aligned_alloc(align, C.size_t(bytes))
	if p == nil {
		panic("onnx: out of memory") // as Go's own allocator does
	}
	clear(unsafe.Slice((*byte)(p), bytes))
	b.blocks = append(b.blocks, p)
	return unsafe.Slice((*T)(p), n)
}

// column makes the memory of a field: in C, and where that is; in Go for texts.
func (b *Batch) column(f engine.Field) (engine.Column, unsafe.Pointer) {
	c := engine.Column{Type: f.Type, Width: f.Width}
	switch n := b.capacity * f.Width; f.Type {
	case engine.Text:
		c.Text = make([]string, n)
		return c, nil
	case engine.Int32:
		c.Int32 = array[int32](b, n)
		return c, unsafe.Pointer(unsafe.SliceData(c.Int32))
	case engine.Float32:
		c.Float32 = array[float32](b, n)
		return c, unsafe.Pointer(unsafe.SliceData(c.Float32))
	default:
		c.Float64 = array[float64](b, n)
		return c, unsafe.Pointer(unsafe.SliceData(c.Float64))
	}
}

// Inputs implements engine.Batch.
func (b *Batch) Inputs() []engine.Column { return b.inputs }

// Outputs implements engine.Batch.
func (b *Batch) Outputs() []engine.Column { return b.outputs }

// RunCPU implements engine.Meter: the CPU time of the calling thread. A model's first runs are measured, then one in eight.
func (b *Batch) RunCPU() time.Duration { return time.Duration(b.c.cpu_ns) }

// Run implements engine.Batch. Where onnxruntime refuses rows, it tells neither how many nor which: Run then runs each alone,
// and the error is an *engine.RowErrors of those that it refuses again. Rows whose texts cannot be scored are among them.
func (b *Batch) Run(n int) error {
	if b.c == nil {
		return errors.New("onnx: cannot run a closed batch")
	}
	if n < 1 || n > b.capacity {
		return fmt.Errorf("onnx: cannot run %d rows of a batch for %d", n, b.capacity)
	}
	sound := true
	if len(b.texts) > 0 {
		if sound = b.pack(n); b.bytes == nil {
			return errors.New("onnx: cannot run: out of memory")
		}
	}
	if !sound || C.onnx_run(b.engine.c, b.c, 0, C.int64_t(n)) != nil {
		return b.runAlone(n)
	}
	if b.engine.tableRows > 0 {
		return b.checkProbabilities(n)
	}
	return nil
}

// runAlone runs rows [0, n) one by one, and names those that fail; nil if none does.
func (b *Batch) runAlone(n int) error {
	e := &engine.RowErrors{}
	for i := range n {
		err := b.engine.Validate(b.inputs, i)
		if err == nil {
			if message := C.onnx_run(b.engine.c, b.c, C.int64_t(i), 1); message != nil {
				err = fmt.Errorf("onnxruntime: %s", C.GoString(message))
			} else if b.engine.tableRows > 0 {
				err = b.checkProbability(i)
			}
		}
		if err != nil {
			e.Rows = append(e.Rows, engine.RowError{Row: i, Err: err})
		}
	}
	if len(e.Rows) == 0 {
		return nil
	}
	return e
}

// checkProbabilities names the rows of a model of indices whose result is no probability: one that diverged.
func (b *Batch) checkProbabilities(n int) error {
	for i := range n {
		if b.checkProbability(i) != nil {
			return b.probabilityFaults(n)
		}
	}
	return nil
}

func (b *Batch) checkProbability(i int) error {
	c := &b.outputs[0]
	for j := i * c.Width; j < (i+1)*c.Width; j++ {
		p := 0.0
		if c.Type == engine.Float32 {
			p = float64(c.Float32[j])
		} else {
			p = c.Float64[j]
		}
		if !(p >= 0 && p <= 1) { // NaN too
			return fmt.Errorf("onnx: the model's result %v is not a probability", p)
		}
	}
	return nil
}

func (b *Batch) probabilityFaults(n int) error {
	e := &engine.RowErrors{}
	for i := range n {
		if err := b.checkProbability(i); err != nil {
			e.Rows = append(e.Rows, engine.RowError{Row: i, Err: err})
		}
	}
	return e
}

// pack copies the texts of rows [0, n) into C memory. It returns false if one of them cannot be scored; it is empty there. If
// there is no memory, bytes are nil.
func (b *Batch) pack(n int) (sound bool) {
	size := 1
	for i := range b.texts {
		for _, s := range b.inputs[b.texts[i].input].Text[:n] {
			size += min(len(s), b.engine.maxText)
		}
	}
	if size > len(b.bytes) {
		C.free(unsafe.Pointer(unsafe.SliceData(b.bytes)))
		b.bytes = nil
		p := C.malloc(C.size_t(2 * size))
		if p == nil {
			return false
		}
		b.bytes = unsafe.Slice((*byte)(p), 2*size)
	}
	sound = true
	at, base := 0, uintptr(unsafe.Pointer(unsafe.SliceData(b.bytes)))
	for i := range b.texts {
		rows := b.texts[i].rows
		for row, s := range b.inputs[b.texts[i].input].Text[:n] {
			if b.engine.checkText(s) != nil {
				s, sound = "", false
			}
			rows[row] = text{bytes: base + uintptr(at), length: uintptr(len(s))}
			at += copy(b.bytes[at:], s)
		}
	}
	return sound
}

// Close frees the memory, and the model with it if that was closed before and this was its last batch. A second call does
// nothing.
func (b *Batch) Close() {
	if b.c == nil {
		return
	}
	C.onnx_end_batch(b.engine.c, b.c)
	C.free(unsafe.Pointer(unsafe.SliceData(b.bytes)))
	for _, p := range b.blocks {
		C.free(p)
	}
	b.c, b.blocks, b.inputs, b.outputs, b.texts, b.bytes = nil, nil, nil, nil, nil, nil
	liveBatches.Add(-1)
	e := b.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.batches--; e.closed && e.batches == 0 {
		e.free()
	}
}
