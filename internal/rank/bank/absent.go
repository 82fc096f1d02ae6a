package bank

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"gavel/internal/rank/score"
)

// absentee is a classifier that was read and checked, but has no room in memory.
type absentee struct {
	campaign score.Campaign
	bytes    int64 // that it takes alone
}

// absents are all of a state, after its rows in the list of campaigns. They are immutable, and shared by states.
type absents struct {
	list  []absentee // ascending by campaign
	index map[string]int
}

// with returns the absents after changes: a nil absentee is no longer one.
func (a *absents) with(changes map[string]*absentee) *absents {
	if len(changes) == 0 {
		return a
	}
	b := &absents{}
	for _, old := range a.list {
		if _, changed := changes[old.campaign.ID]; !changed {
			b.list = append(b.list, old)
		}
	}
	for _, c := range changes {
		if c != nil {
			b.list = append(b.list, *c)
		}
	}
	slices.SortFunc(b.list, func(x, y absentee) int { return cmp.Compare(x.campaign.ID, y.campaign.ID) })
	b.index = make(map[string]int, len(b.list))
	for i, c := range b.list {
		b.index[c.campaign.ID] = i
	}
	return b
}

// find returns the absent classifier of a campaign, or nil.
func (a *absents) find(campaign string) *absentee {
	if i, is := a.index[campaign]; is {
		return &a.list[i]
	}
	return nil
}

// sampled is how many campaigns of a request are counted as asked for.
const sampled = 64

// asks count how often campaigns were asked for, by index. A request that asks for many counts an even sample of them, each for all that
// it stands for: a ranking of all campaigns must not take longer to count than to score.
type asks []atomic.Uint32

// count counts a request. nil asks for all.
func (a asks) count(asked []int32) {
	n := len(asked)
	if asked == nil {
		n = len(a)
	}
	first, step := 0, 1
	if n > sampled {
		first, step = rand.IntN(n), n/sampled
	}
	for k := range min(n, sampled) {
		i := (first + k*step) % n
		if asked != nil {
			i = int(asked[i])
		}
		a[i].Add(uint32(step))
	}
}
