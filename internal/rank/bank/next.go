package bank

import (
	"fmt"
	"slices"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
)

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
	g, err := single(&n.bank.account, n.bank.seed, f, n.bank.options.Exact)
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
	tolerance := classifiers.Tolerance
	if n.bank.options.Exact {
		tolerance = ExactTolerance
	}
	return g, f.Golden.Check(tolerance, func(p score.Profile) float64 {
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
