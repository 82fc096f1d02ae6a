// Package report keeps the exchange's books: what was offered, answered, won, billed and clicked, how long answers
// took, and the probabilities behind the users' decisions.
package report

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gavel/internal/auction"
)

const longest = int64(time.Minute / time.Microsecond)

// Books count events of the exchange. They are safe for concurrent use.
type Books struct {
	mu       sync.Mutex // guards all below
	r        Report
	started  time.Time
	due      *hdrhistogram.Histogram // µs
	sent     *hdrhistogram.Histogram
	lag      *hdrhistogram.Histogram
	recent   *hdrhistogram.WindowedHistogram // one slot a second
	perSec   [RecentSeconds + 1]int64
	slot     int
	slotEnds time.Time
	full     int // whole seconds seen, up to RecentSeconds
}

// NewBooks opens books at a start time.
func NewBooks(start time.Time) *Books {
	return &Books{
		r:        Report{LossReasons: map[string]int64{}, ByCampaign: map[string]*Campaign{}},
		started:  start,
		due:      hdrhistogram.New(1, longest, 3),
		sent:     hdrhistogram.New(1, longest, 3),
		lag:      hdrhistogram.New(1, longest, 3),
		recent:   hdrhistogram.NewWindowed(RecentSeconds+1, 1, longest, 2),
		slotEnds: start.Add(time.Second),
	}
}

// Answered counts one auction.
func (b *Books) Answered(a Answer, bids int, t Timing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(time.Now())
	b.r.Auctions++
	b.perSec[b.slot]++
	b.r.Bids += int64(bids)
	switch a {
	case Bids:
		b.r.Answered++
	case NoBid:
		b.r.Answered++
		b.r.NoBids++
	case Reject:
		b.r.Rejected++
	case Timeout:
		b.r.Timeouts++
	case Failed:
		b.r.HTTPErrors++
	}
	if a == Timeout || t.Late() {
		b.r.Late++
	}
	if a == Timeout || t.Answered.Sub(t.Sent) > t.TMax {
		b.r.LateFromSend++
	}
	record(b.lag, t.Sent.Sub(t.Due))
	record(b.due, t.Answered.Sub(t.Due))
	record(b.sent, t.Answered.Sub(t.Sent))
	record(b.recent.Current, t.Answered.Sub(t.Due))
}

// Begin counts seconds and rates from start instead of from NewBooks.
func (b *Books) Begin(start time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started, b.slotEnds = start, start.Add(time.Second)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// The value is within the histogram's bounds, so recording cannot fail.
	_ = h.RecordValue(min(max(d.Microseconds(), 1), longest))
}

// roll moves the recent window to the second of now. mu is held.
func (b *Books) roll(now time.Time) {
	for steps := 0; !now.Before(b.slotEnds); steps++ {
		b.slotEnds = b.slotEnds.Add(time.Second)
		if steps > RecentSeconds { // a long pause: the window is empty already
			continue
		}
		b.slot = (b.slot + 1) % len(b.perSec)
		b.perSec[b.slot] = 0
		b.recent.Rotate()
		b.full = min(b.full+1, RecentSeconds)
	}
}

func (b *Books) campaign(id string) *Campaign {
	c := b.r.ByCampaign[id]
	if c == nil {
		c = &Campaign{}
		b.r.ByCampaign[id] = c
	}
	return c
}

// Bid counts a received bid.
func (b *Books) Bid(campaign string, valid bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.campaign(campaign).Bids++
	if !valid {
		b.r.Invalid++
	}
}

// Lost counts a losing bid under OpenRTB's code.
func (b *Books) Lost(code string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r.Losses++
	b.r.LossReasons[code]++
}

// Won counts a won auction.
func (b *Books) Won(campaign string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r.Wins++
	b.campaign(campaign).Wins++
}

// Billed books a shown impression at its clearing price. teacher is its hidden click probability, 0 if unknown.
func (b *Books) Billed(campaign string, price auction.Micros, teacher float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.campaign(campaign)
	b.r.Billed++
	c.Billed++
	b.r.SpendMicros += int64(price)
	c.SpendMicros += int64(price)
	b.r.TeacherClickSum += teacher
}

// Clicked counts a click that was reported to the bidder.
func (b *Books) Clicked(campaign string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r.Clicks++
	b.campaign(campaign).Clicks++
}

// Untold counts a click or conversion that could not be reported to the bidder, for lack of a URL.
func (b *Books) Untold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r.Untold++
}

// Converted counts a conversion that was reported to the bidder.
func (b *Books) Converted(campaign string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r.Conversions++
	b.campaign(campaign).Conversions++
}

// Status returns a snapshot of the books. The caller adds State, the Errors of notices, and Pending.
func (b *Books) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.roll(now)
	var n int64
	for i, c := range b.perSec {
		if i != b.slot {
			n += c
		}
	}
	merged := b.recent.Merge()
	return Status{
		Seconds: now.Sub(b.started).Seconds(), Auctions: b.r.Auctions,
		Rate: float64(n) / float64(max(b.full, 1)),
		P50:  ms(merged.ValueAtQuantile(50)), P99: ms(merged.ValueAtQuantile(99)),
		Bids: b.r.Bids, Wins: b.r.Wins, Billed: b.r.Billed, Clicks: b.r.Clicks, Conversions: b.r.Conversions,
		SpendMicros: b.r.SpendMicros, Late: b.r.Late, Errors: b.r.HTTPErrors + b.r.Untold,
	}
}

// Final returns the report so far. The caller adds the notifier's counts. The report shares no memory with the books.
func (b *Books) Final(offered time.Duration) Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.r
	r.LossReasons, r.ByCampaign = map[string]int64{}, map[string]*Campaign{}
	for k, v := range b.r.LossReasons {
		r.LossReasons[k] = v
	}
	for k, v := range b.r.ByCampaign {
		c := *v
		r.ByCampaign[k] = &c
	}
	r.Seconds = offered.Seconds()
	if r.Seconds > 0 {
		r.RateAchieved = float64(r.Auctions) / r.Seconds
	}
	r.Latency, r.FromSend, r.SendLag = latency(b.due), latency(b.sent), latency(b.lag)
	r.P50, r.P99, r.P999 = r.Latency.P50, r.Latency.P99, r.Latency.P999
	r.Errors = r.HTTPErrors + r.Untold
	return r
}

func latency(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	q := func(p float64) float64 { return ms(h.ValueAtQuantile(p)) }
	return Latency{P50: q(50), P90: q(90), P99: q(99), P999: q(99.9), Max: ms(h.Max()), Mean: h.Mean() / 1000}
}

func ms(us int64) float64 { return float64(us) / 1000 }
