package bank

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
	"gavel/internal/throttle"
)

const (
	// maxParts is how many segments there may be before Apply waits for a merge.
	maxParts = 48
	// growth: segments are merged while the largest of them has fewer rows than growth times all smaller ones. So there are about
	// log(n) to the base growth + 1 of them, and a row is written as often.
	growth = 2
)

// ExactTolerance is how far golden probabilities may be from those of a bank that is exact.
const ExactTolerance = 1e-12

// Options are a bank's settings. Log is required.
type Options struct {
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	// Memory bounds the bytes of the classifiers and priors that serve; 0: no bound. While segments are merged, their copy comes on top.
	Memory int64
	// Exact keeps all of what float64 weights add, as far as two float32 hold it: some 1e-14 of a weight. It takes more memory, and a
	// score a little longer. Golden probabilities must hold to ExactTolerance then.
	Exact bool
	// Load reads a campaign's file again, which had no room before. It is required if there is a bound. It is called outside of the
	// serving path, one call at a time, for nothing that Apply has not checked before.
	Load func(campaign string) (*classifiers.File, error)
}

// A Bank holds all classifiers of a model. It implements score.Scorer and classifiers.Sink. All methods may be called by many
// goroutines at once.
type Bank struct {
	options Options
	metrics *metrics
	seed    uint64 // of hash tables: who sends profiles must not know which values collide
	account mapped
	current atomic.Pointer[state]

	mu     sync.Mutex // held while the state is changed
	merged *sync.Cond // a merge has ended, or the bank is closed
	failed bool       // the last merge found no memory
	closed bool
	bound  *bound // nil: none

	absent   chan struct{} // to balanceLoop; one suffices
	done     chan struct{} // closed by Close
	unloaded throttle.Line
	wake     chan struct{} // to mergeLoop; one suffices, since it looks at everything
	loop     sync.WaitGroup
}

var (
	_ score.Scorer     = (*Bank)(nil)
	_ classifiers.Sink = (*Bank)(nil)
)

// New makes a bank without classifiers. It must be closed.
func New(o Options) (*Bank, error) {
	if o.Log == nil {
		return nil, errors.New("bank: cannot work without a log")
	}
	if o.Memory < 0 || o.Memory > 0 && o.Load == nil {
		return nil, fmt.Errorf("bank: cannot bound memory to %d bytes: it must not be negative, and needs a way to load", o.Memory)
	}
	b := &Bank{options: o, seed: rand.Uint64(), wake: make(chan struct{}, 1), absent: make(chan struct{}, 1), done: make(chan struct{})}
	b.merged = sync.NewCond(&b.mu)
	var err error
	if o.Memory > 0 {
		if b.bound, err = newBound(o); err != nil {
			return nil, err
		}
	}
	s, err := newState(b, nil, nil, &absents{})
	if err != nil {
		return nil, err
	}
	if b.metrics, err = newMetrics(b, o.Registerer); err != nil {
		s.Release()
		return nil, err
	}
	b.current.Store(s)
	b.loop.Go(b.mergeLoop)
	if b.bound != nil {
		b.loop.Go(b.balanceLoop)
	}
	return b, nil
}

// View implements score.Scorer.
func (b *Bank) View() score.View { return b.view() }

func (b *Bank) view() *state {
	for {
		if s := b.current.Load(); s.acquire() {
			return s
		} // else it was replaced since
	}
}

// Bytes returns how much memory the bank has outside of Go's heap, what is being merged and what old views hold included, and
// the most that it had.
func (b *Bank) Bytes() (now, peak int64) { return b.account.now.Load(), b.account.peak.Load() }

// Close ends the merging and gives up the bank's own hold. Views serve until they are released.
func (b *Bank) Close() {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.closed = true
	b.merged.Broadcast()
	close(b.wake)
	close(b.done)
	b.mu.Unlock()
	b.loop.Wait()
	b.metrics.Unregister()
	b.mu.Lock()
	defer b.mu.Unlock()
	if empty, err := newState(b, nil, nil, &absents{}); err == nil { // late views are empty
		b.swap(empty)
	}
}

// swap makes a state the current one. The bank's hold goes over to it.
func (b *Bank) swap(s *state) {
	old := b.current.Swap(s)
	b.bound.note(old)
	old.Release()
}

// serve makes the next state the current one.
func (b *Bank) serve(n *next) error {
	s, err := n.state()
	if err != nil {
		b.resync()
		return err
	}
	b.swap(s)
	b.metrics.evictions.Add(float64(n.evicted))
	b.tell()
	b.missed()
	return nil
}

// Apply implements classifiers.Sink: one new state has all changes that are accepted.
func (b *Bank) Apply(changes []classifiers.Change) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := make([]error, len(changes))
	if b.closed {
		return all(faults, errors.New("bank: it is closed"))
	}
	n := newNext(b)
	defer n.release()
	for _, c := range changes {
		switch {
		case c.File != nil:
		case c.Campaign != "":
			n.remove(c.Campaign)
		default:
			n.removePrior(c.Prior)
		}
	}
	for i, c := range changes {
		if c.File != nil && c.File.Kind == classifiers.Prior {
			faults[i] = n.addPrior(c.File)
		}
	}
	for i, c := range changes {
		if c.File != nil && c.File.Kind == classifiers.Classifier {
			faults[i] = n.add(c.File)
		}
	}
	b.bound.settle(n.evict)
	if err := b.serve(n); err != nil {
		return all(faults, err)
	}
	for len(b.current.Load().parts) > maxParts && !b.failed && !b.closed {
		b.merged.Wait()
	}
	return faults
}

// all sets every fault that is not set.
func all(faults []error, err error) []error {
	for i := range faults {
		if faults[i] == nil {
			faults[i] = err
		}
	}
	return faults
}

// tell wakes mergeLoop.
func (b *Bank) tell() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}
