package bank

// #cgo CFLAGS: -O3 -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror
// #include "bank.h"
import "C"

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapped counts the bytes of all blocks that are not freed.
type mapped struct{ now, peak atomic.Int64 }

func (m *mapped) add(n int64) {
	now := m.now.Add(n)
	for {
		peak := m.peak.Load()
		if now <= peak || m.peak.CompareAndSwap(peak, now) {
			return
		}
	}
}

// hugeBytes is the size from which the kernel is asked for large pages: a score reads a few places of a large block, so that with
// small pages each costs a walk of the page table too.
const hugeBytes = 4 << 20

// block is memory outside of Go's heap, zeroed and page-aligned, mapped for itself, so that freeing it gives it back to the system.
type block struct {
	bytes []byte
	used  int
}

// newBlock maps so many bytes.
func newBlock(m *mapped, size int) (*block, error) {
	if size == 0 {
		return &block{}, nil
	}
	bytes, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("bank: cannot map %d bytes (raise the memory limit, or remove classifiers): %w", size, err)
	}
	if size >= hugeBytes {
		_ = unix.Madvise(bytes, unix.MADV_HUGEPAGE) // a kernel without it serves small pages
	}
	m.add(int64(len(bytes)))
	return &block{bytes: bytes}, nil
}

func (b *block) free(m *mapped) {
	m.add(-int64(len(b.bytes)))
	if len(b.bytes) == 0 {
		return
	}
	if err := unix.Munmap(b.bytes); err != nil {
		panic(fmt.Sprintf("bank: cannot unmap: %v", err)) // freed twice
	}
	b.bytes = nil
}

const align = 64

// room is how many bytes n Ts take in a block.
func room[T any](n int) int {
	var t T
	return (n*int(unsafe.Sizeof(t)) + align - 1) / align * align
}

// take returns n zeroed Ts of the block, which must have been mapped with room for them.
func take[T any](b *block, n int) []T {
	at := b.used
	b.used += room[T](n)
	if n == 0 {
		return nil
	}
	_ = b.bytes[at:b.used:len(b.bytes)]
	return unsafe.Slice((*T)(unsafe.Pointer(&b.bytes[at])), n)
}
