package bank

import (
	"time"

	"gavel/internal/rank/classifiers"
)

// The bank gathers what is asked for so long before it decides again who has room: longer while nothing changes.
const (
	balanceSoon = 50 * time.Millisecond
	balanceLate = time.Second
)

// missed tells balanceLoop, if there is one, that something was asked for that is absent, or that memory has changed.
func (b *Bank) missed() {
	select {
	case b.absent <- struct{}{}:
	default:
	}
}

// balanceLoop loads what is asked for, and drops what is not, until the bank is closed.
func (b *Bank) balanceLoop() {
	pause := balanceSoon
	for {
		select {
		case <-b.absent:
		case <-b.done:
			return
		}
		select {
		case <-time.After(pause):
		case <-b.done:
			return
		}
		switch b.balance() {
		case 0:
			pause = min(2*pause, balanceLate)
		case batch: // there may be more
			b.missed()
			pause = balanceSoon
		default:
			pause = balanceSoon
		}
	}
}

// balance decides once who has room, and returns how many classifiers were loaded.
func (b *Bank) balance() (loaded int) {
	b.mu.Lock()
	s := b.current.Load()
	if b.closed {
		b.mu.Unlock()
		return 0
	}
	b.bound.note(s)
	if len(choose(s.parts, b.wastes(s.parts))) == 0 {
		b.bound.measure(s)
	}
	asking := b.bound.choose(s)
	var lost []absentee
	b.bound.settle(func(campaign string, bytes int64) {
		a := absentee{bytes: bytes}
		a.campaign.ID = campaign
		lost = append(lost, a)
	})
	var wanted []string
	for _, a := range asking {
		if b.bound.policy.Has(a.campaign.ID) {
			wanted = append(wanted, a.campaign.ID)
		}
	}
	b.mu.Unlock()
	if len(wanted)+len(lost) == 0 {
		return 0
	}
	files := make([]*classifiers.File, 0, len(wanted))
	for _, campaign := range wanted {
		f, err := b.bound.load(campaign)
		if err != nil {
			b.unloaded.Warn(b.options.Log, "a classifier cannot be loaded again, so that rankings lack it", "campaign", campaign, "error", err)
			f = &classifiers.File{Campaign: campaign} // of no version
		}
		files = append(files, f)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0
	}
	n := newNext(b)
	defer n.release()
	for _, a := range lost {
		if !b.bound.policy.Has(a.campaign.ID) { // else Apply gave it room meanwhile
			n.evict(a.campaign.ID, a.bytes)
		}
	}
	for _, f := range files {
		if n.restore(f) {
			loaded++
		}
	}
	if err := b.serve(n); err != nil {
		b.unloaded.Warn(b.options.Log, "classifiers cannot be loaded again, so that rankings lack them", "classifiers", len(files), "error", err)
		return 0
	}
	b.metrics.loads.Add(float64(loaded))
	return loaded
}

// restore adds an absent classifier that was loaded, if it still has room and is the one that was checked: if its file has changed since,
// the monitor brings it.
func (n *next) restore(f *classifiers.File) bool {
	a := n.absentee(f.Campaign)
	if a == nil { // Apply has added or removed it meanwhile
		return false
	}
	if f.Version == a.campaign.Version && n.bank.bound.policy.Has(f.Campaign) {
		g, err := n.make(f)
		if err == nil {
			n.place(g)
			return true
		}
		n.bank.unloaded.Warn(n.bank.options.Log, "a classifier cannot be loaded again, so that rankings lack it", "campaign", f.Campaign, "error", err)
	}
	n.bank.bound.forget(f.Campaign)
	return false
}
