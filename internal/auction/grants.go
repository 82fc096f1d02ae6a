package auction

import "time"

// Day is a UTC day, as days since 1970-01-01. Budgets are per day.
type Day int32

// DayOf returns the day of t.
func DayOf(t time.Time) Day {
	s := t.Unix()
	if s < 0 {
		s -= 86399
	}
	return Day(s / 86400)
}

// Start is the day's first instant.
func (d Day) Start() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String returns, for example, "2026-01-31".
func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// Plan is what pacing needs to know of a campaign: how much this bidder shall spend a day, and the schedule (zero: no
// bound).
type Plan struct {
	Campaign   string
	Daily      Micros
	Start, End time.Time
	Pacing     Pacing
}

// PlanFor returns the plan of a campaign that one bidder serves alone. Several bidders must divide Daily among them.
func PlanFor(c *Campaign) Plan { return Plan{c.ID, c.DailyBudget, c.Start, c.End, c.Pacing} }

// SetPlans replaces all plans. A campaign without a plan is not admitted and cannot reserve, but bookings still count.
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

// Grant adds amount to what the campaign may spend on the day. A negative amount takes back at most what is left. Grant
// returns what it added (negative: took back).
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

// Restore adds what was spent on the day before this ledger existed, known from a Snapshot or a replay of events.
func (l *Ledger) Restore(campaign string, day Day, spent Micros) {
	acct := l.account(campaign)
	acct.mu.Lock()
	defer acct.mu.Unlock()
	acct.book(day).spent += max(0, spent)
}

// Left returns what the campaign may still reserve on the day of now.
func (l *Ledger) Left(campaign string, now time.Time) Micros {
	l.Expire(now)
	return max(0, l.read(campaign, DayOf(now)).left())
}

// Spent returns what was booked for the campaign on the day.
func (l *Ledger) Spent(campaign string, day Day) Micros { return l.read(campaign, day).spent }

// AccountState is one campaign's day, for metrics and for storage.
type AccountState struct {
	Campaign                 string
	Day                      Day
	Allowed, Spent, Reserved Micros
}

// Snapshot returns every campaign and day that the ledger knows, in no order. Each campaign is read under its lock.
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
