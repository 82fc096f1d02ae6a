package auction

import (
	"slices"
	"sync"
)

// account is one campaign's money.
type account struct {
	number int32 // its place in Ledger.numbered

	mu    sync.Mutex // guards all below
	days  []dayBook  // the newest keptDays that were touched, in no order
	pacer pacer
}

// keptDays: yesterday's bids may still be booked, tomorrow's money may be granted already; the rest is history.
const keptDays = 3

// dayBook is a campaign's day. reserved never falls below zero.
type dayBook struct {
	day                      Day
	allowed, spent, reserved Micros
}

func (b dayBook) left() Micros { return b.allowed - b.spent - b.reserved }

// book returns the day's book, opened if need be; the pointer holds until the next call. When a day too many is opened,
// the oldest without reservations is dropped.
func (a *account) book(day Day) *dayBook {
	for i := range a.days {
		if a.days[i].day == day {
			return &a.days[i]
		}
	}
	if len(a.days) >= keptDays {
		oldest := -1
		for i := range a.days {
			if a.days[i].reserved == 0 && (oldest < 0 || a.days[i].day < a.days[oldest].day) {
				oldest = i
			}
		}
		if oldest >= 0 {
			a.days = slices.Delete(a.days, oldest, oldest+1)
		}
	}
	a.days = append(a.days, dayBook{day: day})
	return &a.days[len(a.days)-1]
}

// none is the end of a list of entries.
const none = int32(-1)

// idKey stands for a bid id: 128 bits of a keyed hash, which a million ids share with a chance of 10⁻²⁷.
type idKey [2]uint64

// entry is a bid id that is held or was booked. It holds no pointer, nor does what finds it: there are as many as bids in
// a minute, and a garbage collection would have to look at each.
type entry struct {
	id            idKey
	account       int32 // number of the account that holds it; of no meaning once booked
	day           Day
	held, charged Micros // charged: what pacing counts for it, see pacer
	expires       int64  // Unix ns
	booked        bool
	prev, next    int32
}

// shard is a part of a ledger's ids: a slab of entries, found by id, each on one of two lists.
type shard struct {
	mu                     sync.Mutex // guards all below
	byID                   map[idKey]int32
	slab                   []entry
	free                   int32 // list of unused entries, by next
	openHead, openTail     int32 // by expiry, the earliest first
	bookedHead, bookedTail int32 // by age, the oldest first
	openCount, bookedCount int
}

func (s *shard) init() {
	s.byID = make(map[idKey]int32)
	s.free, s.openHead, s.openTail, s.bookedHead, s.bookedTail = none, none, none, none, none
}

func (s *shard) find(id idKey) int32 {
	if i, ok := s.byID[id]; ok {
		return i
	}
	return none
}

// add puts e into the slab, on no list yet.
func (s *shard) add(e entry) int32 {
	e.prev, e.next = none, none
	i := s.free
	if i == none {
		i = int32(len(s.slab))
		s.slab = append(s.slab, e)
	} else {
		s.free = s.slab[i].next
		s.slab[i] = e
	}
	s.byID[e.id] = i
	return i
}

// addOpen adds a reservation at its place by expiry: the end, unless the clock went back.
func (s *shard) addOpen(e entry) {
	i := s.add(e)
	after := s.openTail
	for after != none && s.slab[after].expires > e.expires {
		after = s.slab[after].prev
	}
	s.link(i, after, &s.openHead, &s.openTail)
	s.openCount++
}

// markBooked puts entry i, which is on no list, at the end of the booked ones.
func (s *shard) markBooked(i int32) {
	e := &s.slab[i]
	*e = entry{id: e.id, booked: true, prev: none, next: none}
	s.link(i, s.bookedTail, &s.bookedHead, &s.bookedTail)
	s.bookedCount++
}

// link inserts entry i behind after (none: at the head).
func (s *shard) link(i, after int32, head, tail *int32) {
	e := &s.slab[i]
	e.prev = after
	if after == none {
		e.next, *head = *head, i
	} else {
		e.next, s.slab[after].next = s.slab[after].next, i
	}
	if e.next == none {
		*tail = i
	} else {
		s.slab[e.next].prev = i
	}
}

// unlink takes entry i off its list.
func (s *shard) unlink(i int32) {
	e := &s.slab[i]
	head, tail := &s.openHead, &s.openTail
	if e.booked {
		head, tail = &s.bookedHead, &s.bookedTail
	}
	if e.prev == none {
		*head = e.next
	} else {
		s.slab[e.prev].next = e.next
	}
	if e.next == none {
		*tail = e.prev
	} else {
		s.slab[e.next].prev = e.prev
	}
	e.prev, e.next = none, none
}

// remove takes entry i off its list and frees it.
func (s *shard) remove(i int32) {
	if s.slab[i].booked {
		s.bookedCount--
	}
	s.unlink(i)
	delete(s.byID, s.slab[i].id)
	s.slab[i] = entry{prev: none, next: s.free}
	s.free = i
}
