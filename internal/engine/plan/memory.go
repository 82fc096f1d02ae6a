package plan

// #include <stdlib.h>
// #include "plan.h"
import "C"

import (
	"slices"
	"sync/atomic"
	"unsafe"
)

// liveBlocks counts what is not freed, for tests.
var liveBlocks atomic.Int64

// memory is C memory that a program owns: parameters of stages. It is freed with the program. Objects are not in it: stages
// point into their mappings, which the program holds as long.
type memory struct {
	blocks []unsafe.Pointer
	bytes  int64
	last   []func() // called when it is freed
	notes  []string // how what lies in it was made; for pages
}

// note says how something in the memory was made of objects, in a word: "transposed". What nothing is noted of is read as it lies.
func (m *memory) note(how string) {
	if !slices.Contains(m.notes, how) {
		m.notes = append(m.notes, how)
	}
}

// later has release called when the memory is freed: of what stages share beyond their program.
func (m *memory) later(release func()) { m.last = append(m.last, release) }

// take returns zeroed C memory, aligned to GV_ALIGN.
func (m *memory) take(bytes uintptr) unsafe.Pointer {
	bytes = max((bytes+C.GV_ALIGN-1)/C.GV_ALIGN*C.GV_ALIGN, C.GV_ALIGN)
	p := C.aligned_alloc(C.GV_ALIGN, C.size_t(bytes))
	if p == nil {
		panic("plan: out of memory") // as Go's own allocator does
	}
	clear(unsafe.Slice((*byte)(p), bytes))
	liveBlocks.Add(1)
	m.blocks = append(m.blocks, p)
	m.bytes += int64(bytes)
	return p
}

func (m *memory) free() {
	for _, p := range m.blocks {
		C.free(p)
	}
	for _, release := range m.last {
		release()
	}
	liveBlocks.Add(int64(-len(m.blocks)))
	m.blocks, m.bytes, m.last = nil, 0, nil
}

// params returns a zeroed T in C memory. T is a C struct, which holds no Go pointer.
func params[T any](m *memory) *T {
	var t T
	return (*T)(m.take(unsafe.Sizeof(t)))
}

// array returns n zeroed Ts in C memory; the slice is of that memory.
func array[T any](m *memory, n int) []T {
	var t T
	return unsafe.Slice((*T)(m.take(unsafe.Sizeof(t)*uintptr(n))), n)
}

// copied returns the values in C memory.
func copied[T any](m *memory, values []T) *T {
	to := array[T](m, len(values))
	copy(to, values)
	return unsafe.SliceData(to)
}

// copiedInts returns the values, which fit, as int32 in C memory.
func copiedInts(m *memory, values []int) *C.int32_t {
	to := array[C.int32_t](m, len(values))
	for i, v := range values {
		to[i] = C.int32_t(v)
	}
	return unsafe.SliceData(to)
}
