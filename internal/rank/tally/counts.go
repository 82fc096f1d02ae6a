package tally

import (
	"hash/maphash"
	"maps"
	"time"

	"gavel/internal/events"
)

// Bounds of what is kept.
const (
	Days         = 3       // that are counted: today, UTC, and those before it
	MaxCampaigns = 200_000 // beyond it, events of further campaigns are not counted
	maxRecent    = 100_000 // ids of one generation
)

// Counts are what became of a campaign's clicks.
type Counts struct {
	Clicks    uint64  `json:"clicks"`
	Scored    uint64  `json:"scored"`    // clicks with a predicted probability
	Predicted float64 `json:"predicted"` // sum of these probabilities: the sales that were expected of them
	Sold      uint64  `json:"sold"`      // clicks with a sale, by the sale's time
	Sales     uint64  `json:"sales"`     // a click may have several
	Value     float64 `json:"value"`     // of the sales
}

// Add adds other to c.
func (c *Counts) Add(other Counts) {
	c.Clicks += other.Clicks
	c.Scored += other.Scored
	c.Predicted += other.Predicted
	c.Sold += other.Sold
	c.Sales += other.Sales
	c.Value += other.Value
}

// days are a campaign's counts, by day modulo Days.
type days [Days]Counts

// dayOf is the number of a time's day, UTC.
func dayOf(ms int64) int64 { return ms / (24 * time.Hour).Milliseconds() }

// advance makes day the newest one, and forgets the counts of days that are too old.
func (t *Tally) advance(day int64) {
	if day <= t.newest {
		return
	}
	for d := max(t.newest+1, day-Days+1); d <= day; d++ {
		for _, c := range t.campaigns {
			c[d%Days] = Counts{}
		}
	}
	t.newest = day
	maps.DeleteFunc(t.campaigns, func(_ string, c *days) bool { return *c == days{} })
}

// add counts the events of a message.
func (t *Tally) add(m *events.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range m.Events {
		e := &m.Events[i]
		ranking := e.Type == events.TypeRanking && e.Ranking != nil
		if !ranking && e.Type != events.TypeSale || e.Version > events.Schema || e.Campaign == "" {
			continue
		}
		ms, _ := m.TimeOf(e)
		day := dayOf(ms)
		t.advance(day)
		if ms < 0 || day <= t.newest-Days || t.seen.is(e.ID) {
			continue
		}
		all := t.campaigns[e.Campaign]
		if all == nil {
			if len(t.campaigns) >= MaxCampaigns {
				t.full.Warn(t.o.Log, "the page does not count further campaigns", "campaign", e.Campaign, "campaigns", MaxCampaigns)
				continue
			}
			all = &days{}
			t.campaigns[e.Campaign] = all
		}
		c := &all[day%Days]
		if ranking {
			c.Clicks++
			if p := e.Ranking.Probability; p > 0 && p <= 1 {
				c.Scored++
				c.Predicted += p
			}
			continue
		}
		c.Sales++
		c.Value += float64(e.Price) / 1e6
		if !t.sold.is(e.Key) {
			c.Sold++
		}
	}
	t.position = m.At.Next()
	t.last = m.Time
	t.dirty = true
}

// recent recognises ids that came before: the last maxRecent at least, twice as many at most.
type recent struct {
	seed     maphash.Seed
	now, old map[uint64]struct{}
}

func newRecent() recent {
	return recent{seed: maphash.MakeSeed(), now: map[uint64]struct{}{}}
}

// is reports whether the id came before, and notes it.
func (r *recent) is(id string) bool {
	h := maphash.String(r.seed, id)
	_, now := r.now[h]
	_, old := r.old[h]
	if !now {
		if len(r.now) >= maxRecent {
			r.now, r.old = make(map[uint64]struct{}, maxRecent), r.now
		}
		r.now[h] = struct{}{}
	}
	return now || old
}
