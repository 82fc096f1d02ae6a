package auction

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newTestLedger returns a ledger with campaign "c", whose plan is daily, all granted on the day of noon.
func newTestLedger(t testing.TB, daily Micros, o LedgerOptions) *Ledger {
	t.Helper()
	l, err := NewLedger(o)
	if err != nil {
		t.Fatal(err)
	}
	l.SetPlans([]Plan{{Campaign: "c", Daily: daily}}, noon)
	l.Grant("c", DayOf(noon), daily)
	return l
}

func TestLedger(t *testing.T) {
	today := DayOf(noon)
	f := func(name string, do func(l *Ledger) bool, wantLeft, wantSpent Micros) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			l := newTestLedger(t, 1000, LedgerOptions{Expiry: time.Minute})
			if !do(l) {
				t.Error("an answer was not as expected")
			}
			later := noon.Add(50 * time.Second)
			if left, spent := l.Left("c", later), l.Spent("c", today); left != wantLeft || spent != wantSpent {
				t.Errorf("left %d, spent %d; want %d, %d", left, spent, wantLeft, wantSpent)
			}
		})
	}
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	f("a reservation holds its price", func(l *Ledger) bool { return l.Reserve("c", "a", 400, noon) }, 600, 0)
	f("not more than is left", func(l *Ledger) bool {
		return l.Reserve("c", "a", 600, noon) && !l.Reserve("c", "b", 401, noon) && l.Reserve("c", "d", 400, noon)
	}, 0, 0)
	f("an id is held once", func(l *Ledger) bool { return l.Reserve("c", "a", 1, noon) && !l.Reserve("c", "a", 1, noon) }, 999, 0)
	f("no plan, no price, no bid", func(l *Ledger) bool {
		return !l.Reserve("x", "a", 1, noon) && !l.Reserve("c", "a", 0, noon) && !l.Reserve("c", "a", -5, noon)
	}, 1000, 0)
	f("release gives back, once", func(l *Ledger) bool {
		l.Reserve("c", "a", 400, noon)
		l.Release("a")
		l.Release("a")
		l.Release("never")
		return true
	}, 1000, 0)
	f("booking spends what was billed and frees the rest", func(l *Ledger) bool {
		return l.Reserve("c", "a", 400, noon) && book(l, "c", "a", 300, at(1))
	}, 700, 300)
	f("booking twice counts once", func(l *Ledger) bool {
		return l.Reserve("c", "a", 400, noon) && book(l, "c", "a", 300, at(1)) && !book(l, "c", "a", 300, at(2)) && !book(l, "c", "a", 1, at(3))
	}, 700, 300)
	f("of several bills, the largest counts", func(l *Ledger) bool {
		return l.Reserve("c", "a", 400, noon) && book(l, "c", "a", 0, at(1)) && book(l, "c", "a", 300, at(2)) && !book(l, "c", "a", 200, at(3)) && book(l, "c", "a", 310, at(4))
	}, 690, 310)
	f("a bill is booked on the day of the bid, held or not", func(l *Ledger) bool {
		yesterday := today.Start().Add(-time.Second)
		return book(l, "c", "a", 400, yesterday) && book(l, "c", "a", 500, yesterday) && l.Spent("c", today-1) == 500
	}, 1000, 0)
	f("release after booking changes nothing", func(l *Ledger) bool {
		l.Reserve("c", "a", 400, noon)
		l.Book("c", "a", 300, at(1))
		l.Release("a")
		return !l.Reserve("c", "a", 1, at(2))
	}, 700, 300)
	f("an old reservation expires", func(l *Ledger) bool {
		return l.Reserve("c", "a", 1000, at(-30)) && !l.Reserve("c", "b", 1, at(29)) && l.Reserve("c", "b", 1000, at(30))
	}, 0, 0)
	f("a booking after expiry counts", func(l *Ledger) bool {
		return l.Reserve("c", "a", 400, at(-60)) && l.Expire(noon) == 1 && book(l, "c", "a", 400, at(1)) && !book(l, "c", "a", 400, at(2))
	}, 600, 400)
	f("a booking after restart counts, even without a plan", func(l *Ledger) bool {
		return book(l, "c", "a", 400, noon) && book(l, "gone", "b", 70, noon) && l.Spent("gone", today) == 70
	}, 600, 400)
	f("what is spent above the budget leaves nothing, not less", func(l *Ledger) bool {
		return book(l, "c", "a", 1400, noon) && !l.Reserve("c", "b", 1, noon)
	}, 0, 1400)
	f("a negative price is refused", func(l *Ledger) bool { return !book(l, "c", "a", -1, noon) }, 1000, 0)
	f("spend of before a restart", func(l *Ledger) bool {
		l.Restore("c", today, 900)
		return !l.Reserve("c", "a", 101, noon)
	}, 100, 900)
	f("a grant adds, and takes back what is left at most", func(l *Ledger) bool {
		l.Reserve("c", "a", 400, noon)
		return l.Grant("c", today, 500) == 500 && l.Grant("c", today, -2000) == -1100
	}, 0, 0)
	f("tomorrow has its own money", func(l *Ledger) bool {
		tomorrow := noon.Add(24 * time.Hour)
		return !l.Reserve("c", "a", 1, tomorrow) && l.Grant("c", today+1, 50) == 50 && l.Reserve("c", "a", 50, tomorrow)
	}, 1000, 0)
	f("a bid of before midnight is booked on its day", func(l *Ledger) bool {
		last := (today + 1).Start().Add(-time.Second)
		return l.Reserve("c", "a", 400, last) && book(l, "c", "a", 400, last.Add(2*time.Second)) && l.Spent("c", today+1) == 0
	}, 600, 400)
	f("without a plan any more", func(l *Ledger) bool {
		l.Reserve("c", "a", 400, noon)
		l.SetPlans(nil, noon)
		return !l.Reserve("c", "b", 1, noon) && l.Admit("c", noon) == NoBidBudget && book(l, "c", "a", 400, noon)
	}, 600, 400)
}

func TestLedgerIsBounded(t *testing.T) {
	l := newTestLedger(t, 1e9, LedgerOptions{MaxOpen: 160, MaxBooked: 160})
	held := 0
	for i := range 2000 {
		if l.Reserve("c", fmt.Sprint("bid", i), 1, noon) {
			held++
		}
	}
	if s := l.Stats(); held != 160 || s.Open != 160 || s.Full != 1840 {
		t.Errorf("held %d; %+v", held, s)
	}
	for i := range 2000 {
		l.Book("c", fmt.Sprint("bid", i), 1, noon)
	}
	entries := 0
	for i := range l.shards {
		sh := &l.shards[i]
		for _, first := range sh.buckets {
			for j := first; j != none; j = sh.slab[j].chained {
				entries++
			}
		}
		if most := 160/ledgerShards + 160/ledgerShards + 1; len(sh.slab) > most {
			t.Errorf("a slab of %d entries, want %d at most", len(sh.slab), most)
		}
	}
	if s := l.Stats(); s.Booked != 2000 || entries > 160 || s.Forgotten != uint64(2000-entries) || l.Spent("c", DayOf(noon)) != 2000 {
		t.Errorf("%d entries, %+v", entries, s)
	}
}

func TestSnapshotRestores(t *testing.T) {
	l := newTestLedger(t, 1000, LedgerOptions{})
	l.Reserve("c", "a", 100, noon)
	l.Reserve("c", "b", 100, noon)
	l.Book("c", "a", 90, noon)
	states := l.Snapshot(noon)
	want := AccountState{Campaign: "c", Day: DayOf(noon), Allowed: 1000, Spent: 90, Reserved: 100}
	if len(states) != 1 || states[0] != want {
		t.Fatalf("got %+v, want %+v", states, want)
	}
	again := newTestLedger(t, 1000, LedgerOptions{})
	for _, s := range states {
		again.Restore(s.Campaign, s.Day, s.Spent)
	}
	if left := again.Left("c", noon); left != 910 {
		t.Errorf("left %d after a restart, want 910", left)
	}
}

// book books a bill and reports whether it changed anything.
func book(l *Ledger, campaign, id string, price Micros, made time.Time) bool {
	_, counted := l.Book(campaign, id, price, made)
	return counted
}

// TestLedgerModel compares a ledger with a simple model under random operations.
func TestLedgerModel(t *testing.T) {
	type held struct {
		campaign string
		day      Day
		price    Micros
		expires  time.Time
	}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 9))
		l, err := NewLedger(LedgerOptions{Expiry: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		campaigns := []string{"a", "b", "c"}
		var plans []Plan
		for _, c := range campaigns {
			plans = append(plans, Plan{Campaign: c, Daily: 1e6})
		}
		now := DayOf(noon).Start().Add(23*time.Hour + 50*time.Minute)
		l.SetPlans(plans, now)
		type key struct {
			campaign string
			day      Day
		}
		allowed, spent := map[key]Micros{}, map[key]Micros{}
		open, booked := map[string]held{}, map[string]held{}
		for step := range 3000 {
			now = now.Add(time.Duration(rng.IntN(1000)) * time.Millisecond)
			for id, h := range open {
				if !h.expires.After(now) {
					delete(open, id)
				}
			}
			k := key{one(rng, campaigns...), DayOf(now)}
			reserved := Micros(0)
			for _, h := range open {
				if h.campaign == k.campaign && h.day == k.day {
					reserved += h.price
				}
			}
			id, price := fmt.Sprint("id", rng.IntN(400)), Micros(1+rng.IntN(100))
			_, isOpen := open[id]
			switch rng.IntN(6) {
			case 0:
				if l.Grant(k.campaign, k.day, 3*price) == 3*price {
					allowed[k] += 3 * price
				}
			case 1, 2, 3:
				_, isBooked := booked[id]
				want := !isOpen && !isBooked && allowed[k]-spent[k]-reserved >= price
				if got := l.Reserve(k.campaign, id, price, now); got != want {
					t.Fatalf("seed %d step %d: reserve %d got %v, want %v (allowed %d spent %d reserved %d)", seed, step, price, got, want, allowed[k], spent[k], reserved)
				}
				if want {
					open[id] = held{k.campaign, k.day, price, now.Add(time.Minute)}
				}
			case 4:
				l.Release(id)
				delete(open, id)
			default:
				campaign, day := k.campaign, k.day
				if isOpen {
					campaign, day, price = open[id].campaign, open[id].day, min(price, open[id].price)
				}
				l.Expire(now)
				if was, again := booked[id]; again { // of several bills, the largest counts, on the day of the first
					campaign, day = was.campaign, was.day
				}
				most := booked[id]
				added, counted := l.Book(campaign, id, price, now)
				if want := max(0, price-most.price); added != want || counted != (want > 0) {
					t.Fatalf("seed %d step %d: book added %d (%v), want %d", seed, step, added, counted, want)
				}
				spent[key{campaign, day}] += added
				booked[id] = held{campaign: campaign, day: day, price: max(price, most.price)}
				delete(open, id)
			}
			if got := l.Spent(k.campaign, k.day); got != spent[k] {
				t.Fatalf("seed %d step %d: spent %d, want %d", seed, step, got, spent[k])
			}
		}
		if got := l.Stats().Open; l.Expire(now) == 0 && got != int64(len(open)) {
			t.Errorf("seed %d: %d open, want %d", seed, got, len(open))
		}
	}
}

// TestNeverAboveWhatIsLeft uses one campaign from many goroutines while the clock runs and money is granted and taken
// back. Every reservation is booked, released or expires. The clock stops during a bid, so that no bid is booked late.
func TestNeverAboveWhatIsLeft(t *testing.T) {
	const workers, rounds = 8, 2000
	l := newTestLedger(t, 100_000, LedgerOptions{Expiry: time.Second})
	var clock, granted, billed atomic.Int64
	var standing sync.RWMutex // held while the clock must not move
	clock.Store(noon.UnixNano())
	granted.Store(100_000)
	today := DayOf(noon)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 5))
			for i := range rounds {
				if i%10 == 0 {
					standing.Lock()
					clock.Add(int64(50 * time.Millisecond))
					standing.Unlock()
				}
				standing.RLock()
				now := time.Unix(0, clock.Load())
				id, price := fmt.Sprint(w, "-", i), Micros(1+rng.IntN(50))
				if !l.Reserve("c", id, price, now) {
					granted.Add(int64(l.Grant("c", today, Micros(rng.IntN(200)-40))))
					standing.RUnlock()
					continue
				}
				switch rng.IntN(3) {
				case 0:
					// Two notices of one billing: the first counts.
					paid := Micros(rng.Int64N(int64(price)) + 1)
					if book(l, "c", id, paid, now) {
						billed.Add(int64(paid))
					}
					if book(l, "c", id, paid, now) {
						t.Error("booked twice")
					}
				case 1:
					l.Release(id)
				}
				for _, s := range l.Snapshot(now) {
					if s.Reserved < 0 || s.Spent+s.Reserved > s.Allowed {
						t.Errorf("above what is left: %+v", s)
					}
				}
				standing.RUnlock()
			}
		})
	}
	wg.Wait()
	end := time.Unix(0, clock.Load()).Add(time.Minute)
	left, spent := l.Left("c", end), l.Spent("c", today)
	if spent != Micros(billed.Load()) || left != Micros(granted.Load())-spent {
		t.Errorf("spent %d of %d billed, left %d of %d granted", spent, billed.Load(), left, granted.Load())
	}
	if s := l.Stats(); s.Open != 0 || s.Reserved != s.Booked+s.Released+s.Expired {
		t.Errorf("books do not balance: %+v", s)
	}
}
