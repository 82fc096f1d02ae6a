package rank

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"gavel/internal/rank/landings"
	"gavel/internal/rank/score"
)

// plan decomposes rankings over one set of campaigns and one list of classifiers a model: by what each campaign is scored.
type plan struct {
	set   *landings.Set
	lists [][]score.Campaign // by model: what its view has
	// classifiers are the lists, one after another: that of model m begins at from[m] and ends at from[m+1].
	classifiers []score.Campaign
	from        []int
	// index is the index of each campaign's classifier in classifiers, by place; ^m: the newest prior of model m scores it.
	index []int32
	// asked are the indexes above, by model and within its view: what a ranking of all campaigns asks the view for; nil if that is
	// all that it has.
	asked [][]int32
}

// plans keeps the plan of the present set and classifiers. Campaigns and classifiers change some times a second at most,
// rankings thousands of times.
type plans struct {
	mu   sync.Mutex // held while a plan is made, so that it is made once
	last atomic.Pointer[plan]
}

// decompose returns the plan for a set and the models' views.
func (p *plans) decompose(set *landings.Set, views []score.View) *plan {
	if last := p.last.Load(); last.fits(set, views) {
		return last
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.last.Load(); last.fits(set, views) {
		return last
	}
	made := newPlan(set, views)
	p.last.Store(made)
	return made
}

func newPlan(set *landings.Set, views []score.View) *plan {
	p := &plan{set: set, from: []int{0}, index: make([]int32, set.Len()), asked: make([][]int32, len(views))}
	for m, view := range views {
		list := view.Campaigns()
		p.lists, p.asked[m] = append(p.lists, list), []int32{}
		if len(views) == 1 {
			p.classifiers = list
		} else {
			p.classifiers = append(p.classifiers, list...)
		}
		p.from = append(p.from, p.from[m]+len(list))
	}
	for place, id := range set.IDs {
		m := set.Models[place]
		p.index[place] = ^m
		if i, ok := views[m].Index(id); ok {
			p.index[place] = int32(p.from[m] + i)
			p.asked[m] = append(p.asked[m], int32(i))
		}
	}
	for m, list := range p.lists {
		if len(p.asked[m]) == len(list) {
			p.asked[m] = nil
		}
	}
	return p
}

// fits reports whether the plan is for the set and the views: the same lists, not equal ones (see score.View).
func (p *plan) fits(set *landings.Set, views []score.View) bool {
	if p == nil || p.set != set || len(p.lists) != len(views) {
		return false
	}
	for m, view := range views {
		list := view.Campaigns()
		if len(p.lists[m]) != len(list) || unsafe.SliceData(p.lists[m]) != unsafe.SliceData(list) {
			return false
		}
	}
	return true
}
