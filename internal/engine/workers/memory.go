package workers

import (
	"fmt"

	"github.com/maypok86/otter/v2"
)

// copyOf is a worker's copy of a classifier.
type copyOf struct {
	key    uint32
	worker int
}

// memory decides which copies stay, by otter's policy: the bound is in KiB, a copy that is used less often than those that would
// have to go gets no room. Every method is called under Pool.mu; so what otter calls runs under it too.
type memory struct {
	cache   *otter.Cache[copyOf, *Classifier]
	evicted []copyOf // since the last admit, by otter
}

func newMemory(bytes int64) (*memory, error) {
	m := new(memory)
	var err error
	m.cache, err = otter.New(&otter.Options[copyOf, *Classifier]{
		MaximumWeight: max(1, uint64(bytes)>>10),
		Weigher:       func(_ copyOf, c *Classifier) uint32 { return uint32(min((c.bytes+1023)>>10, 1<<31)) },
		OnDeletion: func(e otter.DeletionEvent[copyOf, *Classifier]) {
			if e.WasEvicted() {
				m.evicted = append(m.evicted, e.Key)
			}
		},
		Executor: func(f func()) { f() },
	})
	if err != nil {
		return nil, fmt.Errorf("workers: cannot bound memory: %w", err)
	}
	return m, nil
}

// use tells the policy that a copy is used.
func (m *memory) use(c *Classifier, worker int) { m.cache.GetIfPresent(copyOf{c.key, worker}) }

// ask asks for room for a copy. Once all that want it have asked, settle says who lost.
func (m *memory) ask(c *Classifier, worker int) { m.cache.Set(copyOf{c.key, worker}, c) }

// settle returns the copies that have no room any more. They may be some that just asked. The caller must not keep the slice.
func (m *memory) settle() []copyOf {
	m.cache.CleanUp()
	evicted := m.evicted
	m.evicted = m.evicted[:0]
	return evicted
}

// forget takes a copy out, whose worker does not have it any more.
func (m *memory) forget(c *Classifier, worker int) { m.cache.Invalidate(copyOf{c.key, worker}) }

// bytes is the size of all copies, rounded up by copy.
func (m *memory) bytes() int64 { return int64(m.cache.WeightedSize()) << 10 }
