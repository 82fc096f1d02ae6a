package auction

import (
	"slices"
	"sync"
)

// none is the end of a list of entries.
const none = int32(-1)

// idKey is a keyed hash of a bid id: 128 bits. The probability that two of a million ids share a key is 10⁻²⁷.
type idKey [2]uint64

// entry is a bid id that is held or was booked. There are as many entries as bids in a minute, and the garbage
// collector would have to follow their pointers. So neither entries nor buckets hold any. An entry fills a cache line.
type entry struct {
	id            idKey
	account       int32 // number of the account that holds it, or that was booked
	day           Day
	held, charged Micros // held: what is reserved, or what was booked; charged: the charge of pacer
	expires       int64  // Unix ns
	booked        bool
	prev, next    int32
	chained       int32 // the next entry in its bucket
}

// shard is a part of a ledger's ids: a slab of entries, found by id, each on one of two lists.
//
// A hash table with chains finds an entry. It has about twice as many buckets as entries. Go's map is not used, because
// it grows to four times its size under ids that come and go (docs/decisions/0011-memory.md).
type shard struct {
	mu                     sync.Mutex // guards all below
	buckets                []int32    // heads of the chains, by the low bits of id[1]; the length is a power of 2
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

// bucket returns the head of the chain of an id.
func (s *shard) bucket(id idKey) *int32 { return &s.buckets[id[1]&uint64(len(s.buckets)-1)] }

// find returns the entry of an id, or none.
func (s *shard) find(id idKey) int32 {
	i := *s.bucket(id)
	for i != none && s.slab[i].id != id {
		i = s.slab[i].chained
	}
	return i
}

// add puts e into the slab. It is not on a list yet.
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

// grow doubles the buckets. It is called when no entry is free, so every entry of the slab is chained anew.
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

// addOpen adds a reservation to the list by expiry. That is the end of the list, unless the clock went back.
func (s *shard) addOpen(e entry) {
	i := s.add(e)
	after := s.openTail
	for after != none && s.slab[after].expires > e.expires {
		after = s.slab[after].prev
	}
	s.link(i, after, &s.openHead, &s.openTail)
	s.openCount++
}

// markBooked puts entry i, which is on no list, at the end of the booked list. price is what was booked.
func (s *shard) markBooked(i int32, price Micros) {
	e := &s.slab[i]
	*e = entry{id: e.id, account: e.account, day: e.day, held: price, booked: true, prev: none, next: none, chained: e.chained}
	s.link(i, s.bookedTail, &s.bookedHead, &s.bookedTail)
	s.bookedCount++
}

// link inserts entry i after the entry after (none: at the head).
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

// unlink removes entry i from its list.
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

// remove removes entry i from its list and frees it.
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
