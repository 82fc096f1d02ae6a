package bank

import (
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
	"gavel/internal/throttle"
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
	// Memory bounds the bytes of the classifiers and priors that serve; 0: no bound. While segments are merged, their copy comes on top.
	Memory int64
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

// next collects what the next state has.
type next struct {
	bank   *Bank
	priors []*segment
	parts  []part
	added  map[string]*segment // of one row, by campaign
	made   []*segment          // held until the state holds them
	// absent are changes to the absents; nil: one that is not absent any more.
	absent  map[string]*absentee
	evicted int
}

func newNext(b *Bank) *next {
	s := b.current.Load()
	return &next{bank: b, priors: slices.Clone(s.priors), parts: slices.Clone(s.parts), added: map[string]*segment{}, absent: map[string]*absentee{}}
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
	s, err := newState(n.bank, priors, parts, &absents{})
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
		s.score(p, logit[:])
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
	if err != nil {
		return err
	}
	if c := g.campaigns[0]; n.bank.bound.admits(c.ID, g.size()) {
		n.place(g)
	} else {
		n.take(c.ID)
		n.absent[c.ID] = &absentee{c, g.size()}
		n.bank.missed()
	}
	return nil
}

// place adds a classifier in place of the campaign's earlier one.
func (n *next) place(g *segment) {
	campaign := g.campaigns[0].ID
	n.take(campaign)
	n.found(campaign)
	n.added[campaign] = g
}

// evict makes a classifier absent.
func (n *next) evict(campaign string, bytes int64) {
	if c, there := n.take(campaign); there {
		n.absent[campaign] = &absentee{c, bytes}
		n.evicted++
	}
}

// absentee returns a campaign's absent classifier, or nil.
func (n *next) absentee(campaign string) *absentee {
	if a, changed := n.absent[campaign]; changed {
		return a
	}
	return n.bank.current.Load().absent.find(campaign)
}

// found is that a campaign's classifier is not absent, if it was.
func (n *next) found(campaign string) {
	if n.absentee(campaign) != nil {
		n.absent[campaign] = nil
	}
}

func (n *next) remove(campaign string) {
	n.take(campaign)
	n.found(campaign)
	n.bank.bound.forget(campaign)
}

// take takes a campaign's classifier out of memory, if it is there.
func (n *next) take(campaign string) (c score.Campaign, there bool) {
	if g, is := n.added[campaign]; is {
		c, there = g.campaigns[0], true
		delete(n.added, campaign)
	}
	for i := range n.parts {
		if row, has := n.parts[i].segment.index[campaign]; has && n.parts[i].bury(row) && !there {
			c, there = n.parts[i].segment.campaigns[row], true
		}
	}
	return c, there
}

// bury takes a row out of those that serve. It returns false if it did not serve.
func (p *part) bury(row int) bool {
	if p.dead.has(row) {
		return false
	}
	p.dead = p.dead.with(row, len(p.segment.campaigns))
	p.live--
	return true
}

// removePrior removes a prior, and the classifiers that are deltas to it.
func (n *next) removePrior(version uint64) {
	n.priors = slices.DeleteFunc(n.priors, func(g *segment) bool { return g.version() == version })
	for campaign, g := range n.added {
		if g.campaigns[0].Prior == version {
			n.remove(campaign)
		}
	}
	for i := range n.parts {
		for row, c := range n.parts[i].segment.campaigns {
			if c.Prior == version && n.parts[i].bury(row) {
				n.bank.bound.forget(c.ID)
			}
		}
	}
	for _, a := range n.bank.current.Load().absent.list {
		if a.campaign.Prior == version {
			n.remove(a.campaign.ID)
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
	return newState(n.bank, n.priors, n.parts, n.bank.current.Load().absent.with(n.absent))
}
