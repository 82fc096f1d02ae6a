package auction

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// LedgerOptions bound a Ledger. The zero value is usable.
type LedgerOptions struct {
	// Expiry is how long a reservation lives if no notice arrives; 0 means 5 minutes. Set it above the longest time
	// that an exchange takes from bid to billing notice. A later booking still counts, but other bids may have reserved
	// the money by then, so the day can exceed its budget by that booking.
	Expiry time.Duration
	// Smoothing is the time over which pacing reacts; 0 means 10 seconds. See pacer.
	Smoothing time.Duration
	// MaxOpen bounds the reservations held at once; 0 means 1,048,576. Reserve refuses more.
	MaxOpen int
	// MaxBooked is how many booked ids are remembered, so that a repeated notice counts once; 0 means 262,144. The
	// oldest id is forgotten first, and Stats.Forgotten counts it. The caller must refuse notices that are older than
	// that.
	MaxBooked int
	// Rand draws from [0, 1) for pacing and must be safe for concurrent use; nil is math/rand/v2.
	Rand func() float64
}

// Ledger is the Budget in memory. For each campaign it knows what may still be spent today, what is held for open bids,
// and what was booked.
//
// Grant says how much may be spent, in one piece or lease by lease; on a day without a grant nothing can be spent.
// Whenever Reserve returns true, this invariant holds for the campaign and day:
//
//	spent + reserved ≤ allowed
//
// Only a booking can break it: one that comes after expiry or a restart, or one of more than was reserved. What an
// exchange bills is spent, whether it was reserved or not.
//
// Ids live in 16 shards; each is a slab of entries with its own lock. A campaign's sums live in its account, with
// another lock. Locks are taken in the order shard, Ledger.mu, account. A shard has two lists of entries: open ones by
// expiry, booked ones by age. Expired reservations are freed by the next Reserve in their shard, by any call that finds
// a campaign without money, and by Expire.
type Ledger struct {
	options LedgerOptions
	seeds   [2]maphash.Seed // of idKey
	shards  [ledgerShards]shard

	mu       sync.RWMutex // guards accounts and numbered, not what is in an account
	accounts map[string]*account
	numbered []*account // the same accounts by number; none is ever removed

	stats ledgerCounters
}

const ledgerShards = 16

// LedgerStats counts since start.
type LedgerStats struct {
	Open      int64  // reservations held now
	Reserved  uint64 // reservations made
	Refused   uint64 // reservations refused for lack of money or plan
	Full      uint64 // reservations refused because MaxOpen was reached
	Released  uint64
	Expired   uint64
	Booked    uint64 // bookings that counted
	Repeated  uint64 // bookings of an id that was booked already, whether they were larger or not
	Unheld    uint64 // bookings that counted although nothing was held (late, or after a restart)
	Forgotten uint64 // booked ids dropped because MaxBooked was reached
}

type ledgerCounters struct {
	open                                                                            atomic.Int64
	reserved, refused, full, released, expired, booked, repeated, unheld, forgotten atomic.Uint64
}

// NewLedger returns an empty ledger.
func NewLedger(o LedgerOptions) (*Ledger, error) {
	o.Expiry = cmp.Or(o.Expiry, 5*time.Minute)
	o.Smoothing = cmp.Or(o.Smoothing, 10*time.Second)
	o.MaxOpen = cmp.Or(o.MaxOpen, 1<<20)
	o.MaxBooked = cmp.Or(o.MaxBooked, 1<<18)
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	var faults []error
	if o.Expiry < 0 || o.Smoothing < 0 {
		faults = append(faults, fmt.Errorf("auction: expiry %s and smoothing %s must be above 0", o.Expiry, o.Smoothing))
	}
	if o.MaxOpen < ledgerShards || o.MaxBooked < ledgerShards {
		faults = append(faults, fmt.Errorf("auction: limits of %d open and %d booked bids must be at least %d",
			o.MaxOpen, o.MaxBooked, ledgerShards))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	l := &Ledger{options: o, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, accounts: make(map[string]*account)}
	for i := range l.shards {
		l.shards[i].init()
	}
	return l, nil
}

// Admit implements Budget.
func (l *Ledger) Admit(campaign string, now time.Time) NoBidReason {
	acct := l.lookup(campaign)
	if acct == nil {
		return NoBidBudget
	}
	acct.mu.Lock()
	b := acct.book(DayOf(now))
	planned, left, spent, reserved := acct.pacer.planned, b.left(), b.spent, b.reserved
	p := 0.0
	if planned && left > 0 {
		p = acct.pacer.probability(now, spent, l.options.Smoothing)
	}
	acct.mu.Unlock()
	switch {
	case !planned || left <= 0 && reserved == 0:
		return NoBidBudget
	case left <= 0:
		l.Expire(now) // frees expired reservations for the next auction
		return NoBidBudget
	case p >= 1 || p > 0 && l.options.Rand() < p:
		return NoBidNone
	default:
		return NoBidPacing
	}
}

// Reserve implements Budget. It also refuses an id that is held or booked, a price of 0 or less, and any reservation
// above MaxOpen.
func (l *Ledger) Reserve(campaign, id string, price Micros, now time.Time) bool {
	acct := l.lookup(campaign)
	if acct == nil || price <= 0 {
		l.stats.refused.Add(1)
		return false
	}
	key, sh := l.find(id)
	sh.mu.Lock()
	l.expireLocked(sh, now)
	held, short := l.reserveLocked(sh, acct, key, price, now)
	sh.mu.Unlock()
	if short && l.Expire(now) > 0 { // expired reservations in other shards held the money
		sh.mu.Lock()
		held, _ = l.reserveLocked(sh, acct, key, price, now)
		sh.mu.Unlock()
	}
	if held {
		l.stats.reserved.Add(1)
		l.stats.open.Add(1)
	} else {
		l.stats.refused.Add(1)
	}
	return held
}

// reserveLocked reserves; the caller holds the shard's lock. short means that the campaign lacks money while some of it
// is reserved.
func (l *Ledger) reserveLocked(sh *shard, acct *account, id idKey, price Micros, now time.Time) (held, short bool) {
	if sh.find(id) != none {
		return false, false
	}
	if sh.openCount >= l.options.MaxOpen/ledgerShards {
		l.stats.full.Add(1)
		return false, false
	}
	day := DayOf(now)
	acct.mu.Lock()
	b := acct.book(day)
	if !acct.pacer.planned || b.left() < price {
		short = acct.pacer.planned && b.reserved > 0
		acct.mu.Unlock()
		return false, short
	}
	b.reserved += price
	charged := acct.pacer.charge(price)
	acct.mu.Unlock()
	sh.addOpen(entry{
		id: id, account: acct.number, day: day, held: price, charged: charged,
		expires: now.Add(l.options.Expiry).UnixNano(),
	})
	return true, false
}

// Release implements Budget: the bid was lost or never sent.
func (l *Ledger) Release(id string) {
	key, sh := l.find(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := sh.find(key)
	if i == none || sh.slab[i].booked {
		return
	}
	l.freeLocked(sh, i)
	l.stats.released.Add(1)
}

// Book records that the bid id, made at a time, was billed at price. The spend counts on the day of the bid: that of its
// reservation, or of made if nothing is held. Book frees the whole reservation, even if price is less. The campaign need
// not have a plan any more.
//
// Of several bills of one bid, the largest counts. So a later bill adds what it exceeds the earlier ones by. Book returns
// what was added, and whether the bill changed anything: false if as much was booked before, or price is negative.
func (l *Ledger) Book(campaign, id string, price Micros, made time.Time) (added Micros, counted bool) {
	if price < 0 {
		return 0, false
	}
	key, sh := l.find(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := sh.find(key)
	switch {
	case i == none:
		acct, day := l.account(campaign), DayOf(made)
		acct.mu.Lock()
		acct.book(day).spent += price
		acct.pacer.late(price, day)
		acct.mu.Unlock()
		i = sh.add(entry{id: key, account: acct.number, day: day})
		l.stats.unheld.Add(1)
	case sh.slab[i].booked:
		return l.raiseLocked(&sh.slab[i], price)
	default:
		e := &sh.slab[i]
		acct := l.holder(e)
		acct.mu.Lock()
		b := acct.book(e.day)
		b.reserved -= e.held
		b.spent += price
		acct.pacer.settle(e.charged, price)
		acct.pacer.outcome(e.held, price)
		acct.mu.Unlock()
		sh.unlink(i)
		sh.openCount--
		l.stats.open.Add(-1)
	}
	sh.markBooked(i, price)
	if sh.bookedCount > l.options.MaxBooked/ledgerShards {
		sh.remove(sh.bookedHead)
		l.stats.forgotten.Add(1)
	}
	l.stats.booked.Add(1)
	return price, true
}

// raiseLocked books a further bill of a booked bid. The caller holds the shard's lock.
func (l *Ledger) raiseLocked(e *entry, price Micros) (added Micros, counted bool) {
	l.stats.repeated.Add(1)
	added = price - e.held
	if added <= 0 {
		return 0, false
	}
	acct := l.holder(e)
	acct.mu.Lock()
	acct.book(e.day).spent += added
	acct.pacer.late(added, e.day)
	acct.mu.Unlock()
	e.held = price
	return added, true
}

// Expire frees every expired reservation and returns how many. Correctness never needs a call. A call a second keeps
// Snapshot current while there are no bids.
func (l *Ledger) Expire(now time.Time) (n int) {
	for i := range l.shards {
		sh := &l.shards[i]
		sh.mu.Lock()
		n += l.expireLocked(sh, now)
		sh.mu.Unlock()
	}
	return n
}

func (l *Ledger) expireLocked(sh *shard, now time.Time) (n int) {
	for at := now.UnixNano(); sh.openHead != none && sh.slab[sh.openHead].expires <= at; n++ {
		l.freeLocked(sh, sh.openHead)
		l.stats.expired.Add(1)
	}
	return n
}

// freeLocked returns the money of entry i to its account and removes the entry.
func (l *Ledger) freeLocked(sh *shard, i int32) {
	e := &sh.slab[i]
	acct := l.holder(e)
	acct.mu.Lock()
	acct.book(e.day).reserved -= e.held
	acct.pacer.settle(e.charged, 0)
	acct.pacer.outcome(e.held, 0)
	acct.mu.Unlock()
	sh.openCount--
	l.stats.open.Add(-1)
	sh.remove(i)
}

// find returns the key of an id and the shard it belongs to.
func (l *Ledger) find(id string) (idKey, *shard) {
	key := idKey{maphash.String(l.seeds[0], id), maphash.String(l.seeds[1], id)}
	return key, &l.shards[key[0]%ledgerShards]
}

// holder is the account of an entry.
func (l *Ledger) holder(e *entry) *account {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.numbered[e.account]
}

func (l *Ledger) lookup(campaign string) *account {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.accounts[campaign]
}

// account returns the campaign's account and makes it if there is none. Without a plan, an account accepts only bookings.
func (l *Ledger) account(campaign string) *account {
	if acct := l.lookup(campaign); acct != nil {
		return acct
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accountLocked(campaign)
}

// accountLocked is account; the caller holds l.mu.
func (l *Ledger) accountLocked(campaign string) *account {
	acct := l.accounts[campaign]
	if acct == nil {
		acct = &account{number: int32(len(l.numbered)), pacer: newPacer()}
		l.accounts[campaign] = acct
		l.numbered = append(l.numbered, acct)
	}
	return acct
}
