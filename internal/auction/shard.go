package auction

import (
	"slices"
	"sync"
)

// none is the end of a list of entries.
const none = int32(-1)

// idKey stands for a bid id: 128 bits of a keyed hash, which a million ids share with a chance of 10⁻²⁷.
type idKey [2]uint64

// entry is a bid id that is held or was booked. It holds no pointer, nor does what finds it: there are as many as bids in
// a minute, and a garbage collection would have to look at each. It fills a cache line.
type entry struct {
	id            idKey
	account       int32 // number of the account that holds it; of no meaning once booked
	day           Day
	held, charged Micros // charged: what pacing counts for it, see pacer
	expires       int64  // Unix ns
	booked        bool
	prev, next    int32
	chained       int32 // the next entry in its bucket
}

// shard is a part of a ledger's ids: a slab of entries, found by id, each on one of two lists.
//
// What finds them is a hash table with a chain of entries a bucket, twice as many buckets as entries, or nearly. Go's map
// would do, but under ids that come and go it doubles, and doubles again ever more slowly, to four times its size:
// deleted slots fill its tables, which split and never join. A bidder at 8,400 auctions a second grew by a tenth in ten
// minutes for it.
type shard struct {
	mu                     sync.Mutex // guards all below
	buckets                []int32    // by the low bits of id[1], where its chain begins; a power of 2
	slab                   []entry
	free                   int32 // list of unused entries, by next
	openHead, openTail     int32 // by expiry, the earliest first
	bookedHead, bookedTail int32 // by age, the oldest first
	openCount, bookedCount int
}

func (s *shard) init() {
	s.buckets = []int32{none}
	s.free, s.openHead, s.openTail, s.bookedHead, s.bookedTail = none, none, none, none, none
}

// bucket is where the chain of an id begins.
func (s *shard) bucket(id idKey) *int32 { return &s.buckets[id[1]&uint64(len(s.buckets)-1)] }

// find returns the entry of an id, or none.
func (s *shard) find(id idKey) int32 {
	i := *s.bucket(id)
	for i != none && s.slab[i].id != id {
		i = s.slab[i].chained
	}
	return i
}

// add puts e into the slab, on no list yet.
func (s *shard) add(e entry) int32 {
	e.prev, e.next = none, none
	i := s.free
	if i == none {
		if 2*len(s.slab) >= len(s.buckets) {
			s.grow()
		}
		i = int32(len(s.slab))
		s.slab = append(s.slab, e)
	} else {
		s.free = s.slab[i].next
		s.slab[i] = e
	}
	s.chain(i)
	return i
}

// grow doubles the buckets. Every entry of the slab is in use, for it is called when none is free.
func (s *shard) grow() {
	s.buckets = slices.Repeat([]int32{none}, 2*len(s.buckets))
	for i := range s.slab {
		s.chain(int32(i))
	}
}

// chain puts entry i at the head of its bucket's chain.
func (s *shard) chain(i int32) {
	e := &s.slab[i]
	first := s.bucket(e.id)
	e.chained, *first = *first, i
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
	*e = entry{id: e.id, booked: true, prev: none, next: none, chained: e.chained}
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
	link := s.bucket(s.slab[i].id)
	for *link != i {
		link = &s.slab[*link].chained
	}
	*link = s.slab[i].chained
	s.slab[i] = entry{prev: none, next: s.free}
	s.free = i
}
