package bank

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"gavel/internal/admission"
	"gavel/internal/rank/classifiers"
)

// bound decides which classifiers have room in Options.Memory: those that are asked for most often. Every method is called under
// Bank.mu.
//
// A new classifier takes room that is free. It never displaces another one by itself: only what is asked for competes. What has no
// room is absent: its campaign is listed, with a logit of NaN. balanceLoop loads absent classifiers that are asked for.
//
// A classifier's size is what it takes alone. In a segment it shares texts with others and takes less. So the policy's bound is
// Memory times the ratio of the two, measured when all is merged.
type bound struct {
	memory int64
	load   func(campaign string) (*classifiers.File, error)
	policy *admission.Policy[string] // by campaign
	sizes  map[string]int64          // of those that have room
	asked  map[string]uint32         // how often each campaign was asked for since the last balance
}

func newBound(o Options) (*bound, error) {
	policy, err := admission.New[string](o.Memory)
	return &bound{memory: o.Memory, load: o.Load, policy: policy, sizes: map[string]int64{}, asked: map[string]uint32{}}, err
}

// admits says whether a classifier that came has room: its campaign's earlier one had it, or there is room that is free.
func (b *bound) admits(campaign string, bytes int64) bool {
	if b == nil {
		return true
	}
	if !b.policy.Has(campaign) && !b.policy.Fits(bytes) {
		return false
	}
	b.ask(campaign, bytes)
	return true
}

func (b *bound) ask(campaign string, bytes int64) {
	b.policy.Ask(campaign, bytes)
	b.sizes[campaign] = bytes
}

// forget is that a campaign has no classifier in memory any more.
func (b *bound) forget(campaign string) {
	if b != nil {
		b.policy.Forget(campaign)
		delete(b.sizes, campaign)
	}
}

// settle calls evict for each classifier that lost its room. Some may not have been loaded yet.
func (b *bound) settle(evict func(campaign string, bytes int64)) {
	if b == nil {
		return
	}
	for _, campaign := range b.policy.Settle() {
		if !b.policy.Has(campaign) { // else it asked again since
			evict(campaign, b.sizes[campaign])
			delete(b.sizes, campaign)
		}
	}
}

// note takes over what a state has counted.
func (b *bound) note(s *state) {
	if b == nil {
		return
	}
	for i := range s.asks {
		if n := s.asks[i].Swap(0); n > 0 {
			b.asked[s.campaigns[i].ID] += n
		}
	}
}

// measure sets the policy's bound by what the state takes of memory.
func (b *bound) measure(s *state) {
	alone, taken := float64(b.policy.Bytes()), 0.0
	for _, p := range s.parts {
		taken += float64(p.segment.size()) * float64(p.live) / float64(len(p.segment.campaigns))
	}
	room := b.memory
	for _, g := range s.priors {
		room -= g.size()
	}
	if alone > 0 && taken > 0 {
		room = int64(float64(room) * alone / taken)
	}
	b.policy.SetBound(room)
}

// resync makes the policy know what serves, after a state could not be made.
func (b *Bank) resync() {
	if b.bound == nil {
		return
	}
	s := b.current.Load()
	sizes := b.bound.sizes
	made, err := newBound(b.options)
	if err != nil {
		b.options.Log.Error("the bound on classifiers' memory is not exact any more", "error", err)
		return
	}
	b.bound.policy, b.bound.sizes = made.policy, made.sizes
	for _, c := range s.campaigns[:s.live] {
		b.bound.ask(c.ID, cmp.Or(sizes[c.ID], 1))
	}
	b.bound.measure(s)
}

const (
	batch = 64 // absent classifiers that are loaded together
	most  = 15 // uses of one campaign that the policy can tell apart from fewer
	mean  = 2  // uses of a campaign that the policy is told at a time, in the mean
)

// choose tells the policy what was asked for, and asks room for absent classifiers: those that were asked for most, and others while
// room is free.
func (b *bound) choose(s *state) (asking []absentee) {
	scale, sum := 1.0, 0.0
	for _, n := range b.asked {
		scale, sum = min(scale, most/float64(n)), sum+float64(n)
	}
	scale = min(scale, mean*float64(len(b.asked))/max(sum, 1))
	uses := func(campaign string) int { return int(float64(b.asked[campaign])*scale + rand.Float64()) }
	for campaign := range b.asked {
		if b.policy.Has(campaign) {
			for range uses(campaign) {
				b.policy.Use(campaign)
			}
		} else if a := s.absent.find(campaign); a != nil {
			asking = append(asking, *a)
		}
	}
	slices.SortFunc(asking, func(x, y absentee) int {
		return cmp.Or(cmp.Compare(b.asked[y.campaign.ID], b.asked[x.campaign.ID]), cmp.Compare(x.campaign.ID, y.campaign.ID))
	})
	asking = asking[:min(len(asking), batch)]
	for _, a := range asking {
		for range max(uses(a.campaign.ID), 1) {
			b.ask(a.campaign.ID, a.bytes)
		}
	}
	// An eighth must be free before it is filled, so that measuring again does not empty it at once.
	if b.policy.Fits(b.policy.Bound() / 8) {
		for _, a := range s.absent.list {
			if len(asking) == batch || !b.policy.Fits(a.bytes+b.policy.Bound()/16) {
				break
			}
			if !b.policy.Has(a.campaign.ID) {
				b.ask(a.campaign.ID, a.bytes)
				asking = append(asking, a)
			}
		}
	}
	clear(b.asked)
	return asking
}
