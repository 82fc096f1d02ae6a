package host

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// leastPercent keeps collections rare where the heap in use is many times the bytes allowed.
const leastPercent = 25

// Bound bounds how much a process allocates between two garbage collections. It is in force until Stop.
//
// Go collects when the heap has grown by a percentage of what the last collection found in use (GOGC). A high one spares
// collections, but multiplies whatever is in use for a moment, and a process that has seen one busy minute is larger from
// then on. Here a percentage holds for a small heap, and a number of bytes for a large one.
type Bound struct {
	percent int
	bytes   int64
	was     int // the percentage before it

	mu      sync.Mutex // guards what follows
	now     int        // the percentage set
	stopped bool
	sample  []metrics.Sample
}

// bell is garbage that the next collection finds: its cleanup is how Go tells that one has ended. It holds a pointer, for
// what holds none may be kept together with its neighbours.
type bell struct{ _ *byte }

// LimitGarbage lets percent of the memory in use be allocated between two collections, but no more than bytes, and no less than a
// quarter of it. What is in use is known from the last collection: the first after much has come into use is late. Both
// must be above 0. One Bound may be in force at a time.
func LimitGarbage(percent int, bytes int64) *Bound {
	b := &Bound{percent: percent, bytes: bytes, was: debug.SetGCPercent(percent), now: percent}
	for _, name := range []string{"/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes"} {
		b.sample = append(b.sample, metrics.Sample{Name: name})
	}
	b.adjust()
	return b
}

// Stop puts the percentage back that was in force before.
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
	used := uint64(0) // what the percentage is of: see the Go runtime's GC guide
	for _, s := range b.sample {
		used += s.Value.Uint64()
	}
	if p := percentFor(b.percent, b.bytes, used); p != b.now {
		b.now = p
		debug.SetGCPercent(p) // stops the world for some microseconds
	}
	runtime.AddCleanup(new(bell), (*Bound).adjust, b)
}

// percentFor is the percentage that allows percent of used bytes, or as many bytes as said if that is less.
func percentFor(percent int, bytes int64, used uint64) int {
	if allowed := 100 * float64(bytes) / float64(max(used, 1)); allowed < float64(percent) {
		return max(int(allowed), min(leastPercent, percent))
	}
	return percent
}
