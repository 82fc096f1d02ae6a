package bank

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
)

const (
	// maxParts is how many segments there may be before Apply waits for a merge.
	maxParts = 48
	// growth: segments are merged while the largest of them has fewer rows than growth times all smaller ones. So there are about
	// log(n) to the base growth + 1 of them, and a row is written as often.
	growth = 2
)

// Options are a bank's settings. Log is required.
type Options struct {
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
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

	wake chan struct{} // to mergeLoop; one suffices, since it looks at everything
	loop sync.WaitGroup
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
	b := &Bank{options: o, seed: rand.Uint64(), wake: make(chan struct{}, 1)}
	b.merged = sync.NewCond(&b.mu)
	s, err := newState(b, nil, nil)
	if err != nil {
		return nil, err
	}
	if b.metrics, err = newMetrics(b, o.Registerer); err != nil {
		s.Release()
		return nil, err
	}
	b.current.Store(s)
	b.loop.Go(b.mergeLoop)
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
	b.mu.Unlock()
	b.loop.Wait()
	b.metrics.Unregister()
	b.mu.Lock()
	defer b.mu.Unlock()
	if empty, err := newState(b, nil, nil); err == nil { // late views are empty
		b.swap(empty)
	}
}

// swap makes a state the current one. The bank's hold goes over to it.
func (b *Bank) swap(s *state) { b.current.Swap(s).Release() }

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
	s, err := n.state()
	if err != nil {
		return all(faults, err)
	}
	b.swap(s)
	b.tell()
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

// next collects what the next state has.
type next struct {
	bank   *Bank
	priors []*segment
	parts  []part
	added  map[string]*segment // of one row, by campaign
	made   []*segment          // held until the state holds them
}

func newNext(b *Bank) *next {
	s := b.current.Load()
	return &next{bank: b, priors: slices.Clone(s.priors), parts: slices.Clone(s.parts), added: map[string]*segment{}}
}

func (n *next) release() {
	for _, g := range n.made {
		g.release()
	}
}

// make makes a segment of one file, if its golden probabilities hold.
func (n *next) make(f *classifiers.File) (*segment, error) {
	g, err := single(&n.bank.account, n.bank.seed, f)
	if err != nil {
		return nil, err
	}
	n.made = append(n.made, g)
	var priors []*segment
	parts := []part{{segment: g, live: 1}}
	if f.Kind == classifiers.Prior {
		priors, parts = []*segment{g}, nil
	} else if f.Prior > 0 {
		at := slices.IndexFunc(n.priors, func(g *segment) bool { return g.version() == f.Prior })
		if at < 0 {
			return nil, fmt.Errorf("bank: %w: version %d", classifiers.ErrPrior, f.Prior)
		}
		priors = n.priors[at : at+1]
	}
	s, err := newState(n.bank, priors, parts)
	if err != nil {
		return nil, err
	}
	defer s.free()
	return g, f.Golden.Check(func(p score.Profile) float64 {
		if f.Kind == classifiers.Prior {
			logit, _ := s.Prior(p)
			return logit
		}
		var logit [1]float64
		_, _ = s.Score(context.Background(), p, nil, logit[:]) // neither late nor of another length
		return logit[0]
	})
}

func (n *next) addPrior(f *classifiers.File) error {
	at, has := slices.BinarySearchFunc(n.priors, f.Version, func(g *segment, version uint64) int {
		return int(min(max(int64(g.version())-int64(version), -1), 1))
	})
	if has {
		return fmt.Errorf("bank: prior %d serves already: a prior with other contents needs another version", f.Version)
	}
	g, err := n.make(f)
	if err == nil {
		n.priors = slices.Insert(n.priors, at, g)
	}
	return err
}

func (n *next) add(f *classifiers.File) error {
	g, err := n.make(f)
	if err == nil {
		n.remove(f.Campaign)
		n.added[g.campaigns[0].ID] = g
	}
	return err
}

func (n *next) remove(campaign string) {
	delete(n.added, campaign)
	for i := range n.parts {
		if row, has := n.parts[i].segment.index[campaign]; has {
			n.parts[i].bury(row)
		}
	}
}

// bury takes a row out of those that serve.
func (p *part) bury(row int) {
	if !p.dead.has(row) {
		p.dead = p.dead.with(row, len(p.segment.campaigns))
		p.live--
	}
}

// removePrior removes a prior, and the classifiers that are deltas to it.
func (n *next) removePrior(version uint64) {
	n.priors = slices.DeleteFunc(n.priors, func(g *segment) bool { return g.version() == version })
	for campaign, g := range n.added {
		if g.campaigns[0].Prior == version {
			delete(n.added, campaign)
		}
	}
	for i := range n.parts {
		for row, c := range n.parts[i].segment.campaigns {
			if c.Prior == version {
				n.parts[i].bury(row)
			}
		}
	}
}

// state makes the state. What was added becomes one segment.
func (n *next) state() (*state, error) {
	n.parts = slices.DeleteFunc(n.parts, func(p part) bool { return p.live == 0 })
	var sources []source
	flush := func() error {
		g := (*segment)(nil)
		switch len(sources) {
		case 0:
			return nil
		case 1:
			g = sources[0].segment
		default:
			var err error
			if g, _, err = merge(&n.bank.account, n.bank.seed, sources); err != nil {
				return err
			}
			n.made = append(n.made, g)
		}
		n.parts = append(n.parts, part{segment: g, live: len(g.campaigns)})
		sources = nil
		return nil
	}
	var held load
	for _, campaign := range sortedKeys(n.added) {
		g := n.added[campaign]
		if !held.fits(part{segment: g, live: 1}) {
			if err := flush(); err != nil {
				return nil, err
			}
			held = load{}
		}
		held.add(part{segment: g, live: 1})
		sources = append(sources, source{segment: g})
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return newState(n.bank, n.priors, n.parts)
}
