package auction

import "time"

// Day is a UTC day, as days since 1970-01-01: budgets are per day.
type Day int32

// DayOf is the day that t lies in.
func DayOf(t time.Time) Day {
	s := t.Unix()
	if s < 0 {
		s -= 86399
	}
	return Day(s / 86400)
}

// Start is the day's first instant.
func (d Day) Start() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String is as in "2026-01-31".
func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// Plan is what pacing needs of a campaign: how much this bidder shall spend a day, and its schedule (zero: open).
type Plan struct {
	Campaign   string
	Daily      Micros
	Start, End time.Time
	Pacing     Pacing
}

// PlanFor is the plan of a campaign on the only bidder; a fleet divides Daily.
func PlanFor(c *Campaign) Plan { return Plan{c.ID, c.DailyBudget, c.Start, c.End, c.Pacing} }

// SetPlans replaces all plans. A campaign without one is no longer admitted and reserves nothing; its bookings count on.
// A changed plan does not change what was granted: see Grant.
func (l *Ledger) SetPlans(plans []Plan, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	planned := make(map[string]bool, len(plans))
	for _, p := range plans {
		planned[p.Campaign] = true
		acct := l.accountLocked(p.Campaign)
		acct.mu.Lock()
		acct.pacer.plan(p, now)
		acct.mu.Unlock()
	}
	for id, acct := range l.accounts {
		if !planned[id] {
			acct.mu.Lock()
			acct.pacer.planned = false
			acct.mu.Unlock()
		}
	}
}

// Grant adds amount to what the campaign may spend on the day, or takes back up to -amount of what is left; it returns
// what was added (negative: taken).
func (l *Ledger) Grant(campaign string, day Day, amount Micros) Micros {
	acct := l.account(campaign)
	acct.mu.Lock()
	defer acct.mu.Unlock()
	b := acct.book(day)
	if amount < 0 {
		amount = -min(-amount, max(0, b.left()))
	}
	b.allowed += amount
	return amount
}

// Restore adds what was spent on the day before this ledger began, as a Snapshot or a replay of events tells.
func (l *Ledger) Restore(campaign string, day Day, spent Micros) {
	acct := l.account(campaign)
	acct.mu.Lock()
	defer acct.mu.Unlock()
	acct.book(day).spent += max(0, spent)
}

// Left is what the campaign may still reserve on the day of now.
func (l *Ledger) Left(campaign string, now time.Time) Micros {
	l.Expire(now)
	return max(0, l.read(campaign, DayOf(now)).left())
}

// Spent is what was booked for the campaign on the day.
func (l *Ledger) Spent(campaign string, day Day) Micros { return l.read(campaign, day).spent }

// AccountState is one campaign on one day, for metrics and to persist.
type AccountState struct {
	Campaign                 string
	Day                      Day
	Allowed, Spent, Reserved Micros
}

// Snapshot returns every campaign and day that the ledger knows, in no order. Each is consistent in itself.
func (l *Ledger) Snapshot(now time.Time) []AccountState {
	l.Expire(now)
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]AccountState, 0, len(l.accounts))
	for id, acct := range l.accounts {
		acct.mu.Lock()
		for _, b := range acct.days {
			out = append(out, AccountState{id, b.day, b.allowed, b.spent, b.reserved})
		}
		acct.mu.Unlock()
	}
	return out
}

// Stats returns the counts so far.
func (l *Ledger) Stats() LedgerStats {
	c := &l.stats
	return LedgerStats{
		Open: c.open.Load(), Reserved: c.reserved.Load(), Refused: c.refused.Load(), Full: c.full.Load(),
		Released: c.released.Load(), Expired: c.expired.Load(), Booked: c.booked.Load(), Repeated: c.repeated.Load(),
		Unheld: c.unheld.Load(), Forgotten: c.forgotten.Load(),
	}
}

func (l *Ledger) read(campaign string, day Day) dayBook {
	acct := l.lookup(campaign)
	if acct == nil {
		return dayBook{}
	}
	acct.mu.Lock()
	defer acct.mu.Unlock()
	for _, b := range acct.days {
		if b.day == day {
			return b
		}
	}
	return dayBook{}
}
