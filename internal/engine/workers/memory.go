package workers

import "gavel/internal/admission"

// copyOf is a worker's copy of a classifier.
type copyOf struct {
	key    uint32
	worker int
}

// memory decides which copies stay. Every method is called under Pool.mu.
type memory struct{ policy *admission.Policy[copyOf] }

func newMemory(bytes int64) (*memory, error) {
	policy, err := admission.New[copyOf](bytes)
	return &memory{policy}, err
}

// use tells the policy that a copy is used.
func (m *memory) use(c *Classifier, worker int) { m.policy.Use(copyOf{c.key, worker}) }

// ask asks for room for a copy. Once all that want it have asked, settle says who lost.
func (m *memory) ask(c *Classifier, worker int) { m.policy.Ask(copyOf{c.key, worker}, c.bytes) }

// settle returns the copies that have no room any more. They may be some that just asked. The caller must not keep the slice.
func (m *memory) settle() []copyOf { return m.policy.Settle() }

// forget takes a copy out, whose worker does not have it any more.
func (m *memory) forget(c *Classifier, worker int) { m.policy.Forget(copyOf{c.key, worker}) }

// bytes is the size of all copies, rounded up by copy.
func (m *memory) bytes() int64 { return m.policy.Bytes() }
