// Package references counts who uses a thing that is freed when nobody does any more.
package references

import "sync/atomic"

// Count is a number of references that never rises from 0: what was freed stays freed. The zero Count has none. Its methods
// may be called by many goroutines at once.
type Count struct{ n atomic.Int64 }

// Start gives a new thing its first reference, its owner's.
func (c *Count) Start() { c.n.Store(1) }

// Acquire adds a reference. It returns false if the last one was already released.
func (c *Count) Acquire() bool {
	for {
		n := c.n.Load()
		if n <= 0 {
			return false
		}
		if c.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release takes a reference back. It returns true to who released the last one: that caller frees the thing. It panics if there was
// none: then somebody else's reference may be lost, and the thing freed under them.
func (c *Count) Release() (last bool) {
	n := c.n.Add(-1)
	if n < 0 {
		panic("references: released more often than acquired")
	}
	return n == 0
}

// Load is the number of references now.
func (c *Count) Load() int64 { return c.n.Load() }
