package rank

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gavel/internal/rank/landings"
	"gavel/internal/rank/score"
)

// plan decomposes rankings over one set of campaigns and one list of classifiers: by what each campaign is scored.
type plan struct {
	set         *landings.Set
	classifiers []score.Campaign
	// index is the index of each campaign's classifier in the view, by place; −1: the newest prior scores it.
	index []int32
	// asked are the indexes above: what a ranking of all campaigns asks the view for; nil if that is all that it has.
	asked []int32
}

// plans keeps the plan of the present set and classifiers. Campaigns and classifiers change some times a second at most,
// rankings thousands of times.
type plans struct {
	mu   sync.Mutex // held while a plan is made, so that it is made once
	last atomic.Pointer[plan]
}

// decompose returns the plan for a set and a view.
func (p *plans) decompose(set *landings.Set, view score.View) *plan {
	list := view.Campaigns()
	if last := p.last.Load(); last.fits(set, list) {
		return last
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.last.Load(); last.fits(set, list) {
		return last
	}
	made := &plan{set: set, classifiers: list, index: make([]int32, set.Len()), asked: []int32{}}
	for place, id := range set.IDs {
		made.index[place] = -1
		if i, ok := view.Index(id); ok {
			made.index[place] = int32(i)
			made.asked = append(made.asked, int32(i))
		}
	}
	if len(made.asked) == len(list) {
		made.asked = nil
	}
	p.last.Store(made)
	return made
}

// fits reports whether the plan is for the set and the list: the same list, not an equal one (see score.View).
func (p *plan) fits(set *landings.Set, list []score.Campaign) bool {
	return p != nil && p.set == set && len(p.classifiers) == len(list) && unsafe.SliceData(p.classifiers) == unsafe.SliceData(list)
}
