// Package admission decides which of many things stay in a bounded memory: those that are used most. It is otter's policy,
// W-TinyLFU. A sketch counts how often each key was used lately, present or not. A thing that would have to go is kept if it is
// used more often than the one that wants its room.
package admission

import (
	"fmt"

	"github.com/maypok86/otter/v2"
)

// Policy knows what is in memory, by key and size. It holds nothing itself: its owner loads what got room, and frees what lost
// it. The owner calls its methods one at a time.
type Policy[K comparable] struct {
	cache *otter.Cache[K, uint32] // sizes in KiB
	lost  []K                     // since the last Settle
}

// unit is the precision of sizes, in bytes: otter's are 32 bits wide.
const unit = 1 << 10

func units(bytes int64) uint32 { return uint32(min(max((bytes+unit-1)/unit, 1), 1<<31)) }

// New makes a policy for so many bytes.
func New[K comparable](bytes int64) (*Policy[K], error) {
	p := &Policy[K]{}
	var err error
	p.cache, err = otter.New(&otter.Options[K, uint32]{
		MaximumWeight: max(1, uint64(bytes)/unit),
		Weigher:       func(_ K, size uint32) uint32 { return size },
		OnDeletion: func(e otter.DeletionEvent[K, uint32]) {
			if e.WasEvicted() {
				p.lost = append(p.lost, e.Key)
			}
		},
		Executor: func(f func()) { f() }, // so that Settle knows all
	})
	if err != nil {
		return nil, fmt.Errorf("admission: cannot bound memory: %w", err)
	}
	return p, nil
}

// Use tells that a thing is used, and returns false if it has no room.
func (p *Policy[K]) Use(key K) bool {
	_, there := p.cache.GetIfPresent(key)
	return there
}

// Has tells whether a thing has room. It counts no use.
func (p *Policy[K]) Has(key K) bool {
	_, there := p.cache.GetEntryQuietly(key)
	return there
}

// Ask asks for room for a thing of so many bytes, and counts as a use. Settle says who lost. A thing that has room may ask
// for another size.
func (p *Policy[K]) Ask(key K, bytes int64) { p.cache.Set(key, units(bytes)) }

// Settle returns the keys that have no room any more. They may be some that just asked. The caller must not keep the slice
// beyond the next call.
func (p *Policy[K]) Settle() []K {
	p.cache.CleanUp()
	lost := p.lost
	p.lost = p.lost[:0]
	return lost
}

// Forget takes a thing out that its owner has dropped.
func (p *Policy[K]) Forget(key K) { p.cache.Invalidate(key) }

// Bytes is the size of all things that have room, each rounded up to a KiB.
func (p *Policy[K]) Bytes() int64 { return int64(p.cache.WeightedSize()) * unit }

// Fits says whether so many bytes have room and nothing has to go for them.
func (p *Policy[K]) Fits(bytes int64) bool {
	return p.cache.WeightedSize()+uint64(units(bytes)) <= p.cache.GetMaximum()
}

// Bound is how many bytes have room.
func (p *Policy[K]) Bound() int64 { return int64(p.cache.GetMaximum()) * unit }

// SetBound changes how many bytes have room. Settle says what does not fit any more.
func (p *Policy[K]) SetBound(bytes int64) { p.cache.SetMaximum(max(1, uint64(max(bytes, 0))/unit)) }
