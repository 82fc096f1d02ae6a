package leases

import (
	"context"
	"errors"
	"time"

	"gavel/internal/auction"
)

// lease is this bidder's part of a campaign's day.
type lease struct {
	taken   bool           // the entry has our run
	granted auction.Micros // as the entry said last; at least allowed + frozen
	allowed auction.Micros // what we granted to the ledger
	frozen  auction.Micros // of a predecessor's, not granted yet
	thaw    time.Time      // when frozen may be granted
	told    auction.Micros // spent, as reported last

	used     auction.Micros // spent and reserved a round ago
	usedAt   time.Time
	rate     float64 // micros a second, smoothed
	measured bool
}

// Renew does one round. It renews the heartbeat, then each campaign's lease of today (and of tomorrow, shortly before it
// begins): it leases more, gives back, or reports spend, as needed. It returns the first error, and renews the other leases.
func (m *Manager) Renew(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fenced {
		return ErrFenced
	}
	now := m.o.Now()
	err := m.renew(ctx, now)
	switch {
	case err == nil:
		if m.away {
			m.log.Info("budget leases are renewed again", "bidder", m.o.Bidder)
		}
		m.away, m.stopped = false, false
		m.m.up.Set(1)
	case errors.Is(err, ErrFenced):
		m.fenced = true
		m.m.up.Set(0)
		m.log.Error("another process uses this bidder's name: no more is leased here, and only present leases are spent", "bidder", m.o.Bidder)
	default:
		m.m.failures.Inc()
		m.m.up.Set(0)
		if !m.away {
			m.away = true
			m.log.Warn("budget leases cannot be renewed: bidding goes on with present leases", "bidder", m.o.Bidder, "until", m.alive, "error", err)
		}
	}
	if !m.alive.IsZero() && !now.Before(m.alive) && err != nil && !m.stopped {
		m.stopped = true
		m.log.Error("budget leases expired: the rest of them is not spent until they can be renewed", "bidder", m.o.Bidder)
		for h, l := range m.held {
			l.allowed += m.o.Ledger.Grant(h.campaign, h.day, -l.allowed)
		}
	}
	return err
}

func (m *Manager) renew(ctx context.Context, now time.Time) error {
	if err := m.open(ctx); err != nil {
		return err
	}
	until := now.Add(m.o.TTL)
	if err := m.beat(ctx, until); err != nil {
		return err
	}
	m.alive = until

	states := make(map[holding]auction.AccountState)
	for _, s := range m.o.Ledger.Snapshot(now) {
		states[holding{s.Campaign, s.Day}] = s
	}
	today := auction.DayOf(now)
	days := []auction.Day{today}
	if soon := auction.DayOf(now.Add(2 * m.o.Every)); soon != today {
		days = append(days, soon)
	}
	for h := range m.held {
		if h.day < today-1 {
			delete(m.held, h) // the bucket also removes it
		}
	}
	spent := make(map[string]map[string]auction.Micros)
	var granted, left auction.Micros
	var first error
	for _, b := range m.budgets {
		for _, day := range days {
			h := holding{b.Campaign, day}
			err := m.renewOne(ctx, now, h, b.Daily, states[h], spent)
			if errors.Is(err, ErrFenced) || ctx.Err() != nil {
				return err
			}
			if err != nil && first == nil {
				first = err
			}
			if l := m.held[h]; l != nil && day == today {
				granted += l.allowed
				left += l.allowed - l.used
			}
		}
	}
	m.m.granted.Set(float64(granted))
	m.m.left.Set(float64(left))
	return first
}

// renewOne renews one campaign's day. It uses the bucket only if something must change.
func (m *Manager) renewOne(ctx context.Context, now time.Time, h holding, daily auction.Micros, s auction.AccountState, spent map[string]map[string]auction.Micros) error {
	l := m.held[h]
	if l == nil {
		l = &lease{}
		m.held[h] = l
	}
	l.observe(s.Spent+s.Reserved, now, m.o.Every)
	if l.frozen > 0 && !now.Before(l.thaw) {
		l.allowed += m.o.Ledger.Grant(h.campaign, h.day, l.frozen)
		l.frozen = 0
	}
	least := max(auction.Micros(float64(daily)*m.o.Least), 1)
	want := max(auction.Micros(l.rate*m.o.Ahead.Seconds()), least)
	var left, ask auction.Micros
	measure := func() {
		left, ask = l.allowed-s.Spent-s.Reserved, 0
		if left < (want+1)/2 {
			ask = want - left
		}
	}
	measure()
	// Give back idle money: take it from the ledger first.
	if over := left - 2*want; left > 3*want && over > 0 {
		l.allowed += m.o.Ledger.Grant(h.campaign, h.day, -over)
	}
	if l.taken && ask == 0 && l.granted == l.allowed+l.frozen && l.told == s.Spent {
		return nil
	}

	var free auction.Micros // granted to us in the entry, and not yet in the ledger
	fenced := false
	var soft error
	err := m.swap(ctx, h, func(e *entry) bool {
		p := e.Leases[m.o.Bidder]
		switch {
		case p.Run == m.run:
		case !l.taken:
			m.takeOver(l, p, h, s.Spent, now)
			measure()
		case p.Run != "": // "": we could not renew for so long that our part was settled
			fenced = true
			return false
		}
		l.frozen = min(l.frozen, max(p.Granted-l.allowed, 0))
		soft = m.reclaim(ctx, now, h, e, spent)
		p.Run, p.Spent = m.run, s.Spent
		// If the budget was lowered below what is leased, give back unspent money, up to the excess.
		if over := e.granted() - daily; over > 0 && left > 0 {
			l.allowed += m.o.Ledger.Grant(h.campaign, h.day, -min(over, left))
			left, ask = 0, 0
		}
		had := max(p.Granted-l.allowed-l.frozen, 0) // from a write of unknown outcome
		p.Granted = l.allowed + l.frozen + min(had, ask)
		e.Leases[m.o.Bidder] = p
		p.Granted += e.lend(ask-min(had, ask), daily, least, m.o.Share)
		e.Leases[m.o.Bidder] = p
		free = p.Granted - l.allowed - l.frozen
		return true
	})
	if fenced {
		return ErrFenced
	}
	if err != nil {
		return err
	}
	l.taken, l.told = true, s.Spent
	l.granted = l.allowed + l.frozen + free
	l.allowed += m.o.Ledger.Grant(h.campaign, h.day, free)
	if ask > 0 && free < ask {
		m.m.short.Inc()
	}
	return soft
}

// takeOver takes over the part of an earlier process with our name. Money that the ledger knows as spent stays covered. The
// rest is frozen, since bids of that process may still be billed. A repeated call, after a failed write, changes nothing.
func (m *Manager) takeOver(l *lease, p part, h holding, spent auction.Micros, now time.Time) {
	if p.Granted == 0 || l.allowed > 0 || l.frozen > 0 {
		return
	}
	cover := min(p.Granted, spent)
	l.allowed += m.o.Ledger.Grant(h.campaign, h.day, cover)
	l.frozen, l.thaw = p.Granted-cover, now.Add(m.o.Grace)
	m.log.Info("budget lease of an earlier run taken over", "campaign", h.campaign, "granted_micros", p.Granted, "spent_micros", spent)
}

// reclaim settles the parts of dead bidders. On an error their parts do not change.
func (m *Manager) reclaim(ctx context.Context, now time.Time, h holding, e *entry, cache map[string]map[string]auction.Micros) error {
	var first error
	for name, p := range e.Leases {
		if name == m.o.Bidder || p.Run == "" || p.Granted == p.Spent {
			continue
		}
		dead, err := m.dead(ctx, name, now)
		if err == nil && dead {
			var spent auction.Micros
			if spent, err = m.spentOf(ctx, cache, name, h); err == nil {
				back := e.settle(name, spent)
				m.m.reclaimed.Add(float64(max(back, 0)))
				m.log.Info("unspent budget of a dead bidder returned", "bidder", name, "campaign", h.campaign, "day", h.day.String(), "micros", back)
			}
		}
		if err != nil && first == nil {
			first = err
		}
	}
	return first
}

// observe measures how fast money is spent and reserved.
func (l *lease) observe(used auction.Micros, now time.Time, every time.Duration) {
	if l.measured {
		if dt := now.Sub(l.usedAt); dt >= every/2 {
			l.rate = (l.rate + max(float64(used-l.used), 0)/dt.Seconds()) / 2
			l.used, l.usedAt = used, now
		}
		return
	}
	l.measured, l.used, l.usedAt = true, used, now
}

// giveBack returns all money that is neither spent nor reserved by open bids, and lets our heartbeat expire now.
func (m *Manager) giveBack(ctx context.Context) error {
	now := m.o.Now()
	if err := m.open(ctx); err != nil {
		return err
	}
	spent := make(map[holding]auction.Micros)
	for _, s := range m.o.Ledger.Snapshot(now) {
		spent[holding{s.Campaign, s.Day}] = s.Spent
	}
	var first error
	for h, l := range m.held {
		if !l.taken {
			continue
		}
		l.allowed += m.o.Ledger.Grant(h.campaign, h.day, -l.allowed)
		err := m.swap(ctx, h, func(e *entry) bool {
			p := e.Leases[m.o.Bidder]
			if p.Run != m.run {
				return false
			}
			p.Granted, p.Spent = l.allowed+l.frozen, spent[h]
			e.Leases[m.o.Bidder] = p
			return true
		})
		if err != nil && first == nil {
			first = err
		}
		l.granted = l.allowed + l.frozen
	}
	if err := m.beat(ctx, now); err != nil && first == nil {
		first = err
	}
	return first
}
