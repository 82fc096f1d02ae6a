package rank

import (
	"fmt"
	"slices"

	"gavel/internal/rank/landings"
)

// check finds what is wrong with a well-formed request, fills its defaults, and looks up the campaigns that it names. Those that
// are not active are left out and counted.
func (w *work) check(set *landings.Set) error {
	o, q := &w.server.options, &w.request
	w.by = o.By
	if q.by != "" {
		if !slices.Contains(Orders, q.by) {
			return fmt.Errorf("by: %q must be one of %q", shown(q.by), Orders)
		}
		w.by = q.by
	}
	if q.limit == 0 {
		q.limit = o.Limit
	}
	if q.limit > o.MaxLimit {
		return fmt.Errorf("limit: must be a whole number from 1 to %d (rank.max_limit)", o.MaxLimit)
	}
	if !q.named {
		w.candidates.all(set)
		return nil
	}
	if len(q.names) == 0 {
		return fmt.Errorf("campaigns: names none; leave the key out to rank all")
	}
	w.candidates.named(set, q.names)
	return nil
}

// candidates are the campaigns that are ranked, by position. If places is nil, the positions are the places of the set.
type candidates struct {
	set      *landings.Set
	places   []int32 // ascending, each once; used if some is true
	some     bool
	inactive int // campaigns that were named, but are not active or unknown
}

func (c *candidates) all(set *landings.Set) { c.set, c.some, c.inactive = set, false, 0 }

func (c *candidates) named(set *landings.Set, names []string) {
	c.set, c.some, c.inactive, c.places = set, true, 0, c.places[:0]
	for _, name := range names {
		if place, ok := set.Place(name); ok {
			c.places = append(c.places, place)
		} else {
			c.inactive++
		}
	}
	slices.Sort(c.places)
	c.places = slices.Compact(c.places)
}

func (c *candidates) len() int {
	if c.some {
		return len(c.places)
	}
	return c.set.Len()
}

// place is the place of the candidate at a position.
func (c *candidates) place(position int) int32 {
	if c.some {
		return c.places[position]
	}
	return int32(position)
}
