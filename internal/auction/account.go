package auction

import (
	"slices"
	"sync"
)

// account is one campaign's money.
type account struct {
	number int32 // index into Ledger.numbered

	mu    sync.Mutex // guards all below
	days  []dayBook  // at most keptDays, unless older ones still hold reservations; in no order
	pacer pacer
}

// keptDays is three: a bid of yesterday may still be billed, and a grant for tomorrow may already have arrived.
const keptDays = 3

// dayBook is a campaign's day. reserved never falls below zero.
type dayBook struct {
	day                      Day
	allowed, spent, reserved Micros
}

func (b dayBook) left() Micros { return b.allowed - b.spent - b.reserved }

// book returns the day's book and opens it if there is none. The pointer is valid until the next call. When that opens
// more than keptDays, the oldest day without reservations is dropped.
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
