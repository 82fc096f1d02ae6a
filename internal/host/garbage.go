package host

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// leastPercent keeps collections rare when the heap in use is many times the bytes allowed.
const leastPercent = 25

// Bound bounds how much a process allocates between two garbage collections, until Stop.
//
// Go collects when the heap has grown by a percentage (GOGC) of the memory that the last collection found in use. A high
// percentage means few collections. But it also multiplies a short peak, and the process stays large after the peak. So
// Bound uses the percentage for a small heap, and a number of bytes for a large one.
type Bound struct {
	percent int
	bytes   int64
	was     int // the percentage before this Bound

	mu      sync.Mutex // guards what follows
	now     int        // the percentage set
	stopped bool
	sample  []metrics.Sample
}

// bell is garbage for the next collection. Its cleanup runs when that collection has ended. It holds a pointer, because Go may
// keep small objects without pointers alive together with others.
type bell struct{ _ *byte }

// LimitGarbage allows percent of the memory in use to be allocated between two collections: at most bytes, but at least a
// quarter of the memory in use. That memory is known from the last collection, so after a sudden growth the next collection
// is late. percent and bytes must be above 0. Only one Bound may exist at a time.
func LimitGarbage(percent int, bytes int64) *Bound {
	b := &Bound{percent: percent, bytes: bytes, was: debug.SetGCPercent(percent), now: percent}
	for _, name := range []string{"/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes"} {
		b.sample = append(b.sample, metrics.Sample{Name: name})
	}
	b.adjust()
	return b
}

// Stop restores the percentage that was set before.
func (b *Bound) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stopped {
		b.stopped = true
		debug.SetGCPercent(b.was)
	}
}

// adjust sets the percentage after a collection, and waits for the next.
func (b *Bound) adjust() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return
	}
	metrics.Read(b.sample)
	used := uint64(0) // the percentage refers to this sum: see the Go runtime's GC guide
	for _, s := range b.sample {
		used += s.Value.Uint64()
	}
	if p := percentFor(b.percent, b.bytes, used); p != b.now {
		b.now = p
		debug.SetGCPercent(p) // stops the world for some microseconds
	}
	runtime.AddCleanup(new(bell), (*Bound).adjust, b)
}

// percentFor returns the percentage of used that allows the smaller of percent and bytes.
func percentFor(percent int, bytes int64, used uint64) int {
	if allowed := 100 * float64(bytes) / float64(max(used, 1)); allowed < float64(percent) {
		return max(int(allowed), min(leastPercent, percent))
	}
	return percent
}
