package shoppers

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gavel/internal/exchange/people"
	"gavel/internal/exchange/sales"
)

// Window is how much time a row of the books covers.
const Window = 10 * time.Second

// Totals count clicks, and the sales to expect of them by the true probabilities. So the luck of single sales plays no part.
type Totals struct {
	Clicks int64   `json:"clicks"`
	Sales  int64   `json:"sales"`  // that were reported
	Shown  float64 `json:"shown"`  // expected sales: of the campaigns that were shown,
	Best   float64 `json:"best"`   // of the campaign with the largest true probability for each click,
	Chance float64 `json:"chance"` // of any active campaign, each alike
}

// Lift is the gain over chance, as a share of what choosing by the true probabilities would gain; 0 without clicks.
func (t Totals) Lift() float64 {
	if t.Best <= t.Chance {
		return 0
	}
	return (t.Shown - t.Chance) / (t.Best - t.Chance)
}

func (t *Totals) add(o Totals) {
	t.Clicks, t.Sales = t.Clicks+o.Clicks, t.Sales+o.Sales
	t.Shown, t.Best, t.Chance = t.Shown+o.Shown, t.Best+o.Best, t.Chance+o.Chance
}

// Report is what the shoppers did.
type Report struct {
	Totals
	FromAuctions int64    `json:"from_auctions"`     // clicks that came by an ad
	Astray       int64    `json:"astray"`            // clicks that came to no landing page of a campaign: errors
	LiftShare    float64  `json:"lift_share"`        // see Totals.Lift
	Recent       Totals   `json:"recent"`            // of the last whole window
	Windows      []Totals `json:"windows,omitempty"` // of 10 s each; in the report at the end alone
	P50          float64  `json:"p50_ms"`            // of clicks, from when each was due to the redirect
	P99          float64  `json:"p99_ms"`
	Shows        int      `json:"campaigns_shown"` // campaigns that were shown at all
}

// window is the books of one Window, with a row for each campaign by its number.
type window struct {
	Totals
	rows []row
}

// row is one campaign in one window.
type row struct {
	id            string // empty: it was neither active nor shown
	clicks, sales int64
	expected      float64 // sales if every click of the window while it was active had been sent to it
	offered       int64   // those clicks
}

type books struct {
	start time.Time

	mu           sync.Mutex // guards all below
	windows      []*window
	fromAuctions int64
	strays       int64
	took         *hdrhistogram.Histogram // µs
}

func newBooks(start time.Time) *books {
	return &books{start: start, took: hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)}
}

type visit struct {
	campaign    *sales.Campaign
	shown       float64
	took        time.Duration
	fromAuction bool
}

var buffers = sync.Pool{New: func() any { return new([]float64) }}

// clicked books a click.
func (b *books) clicked(s *sales.State, p *people.Person, now time.Time, v visit) {
	buffer := buffers.Get().(*[]float64)
	defer buffers.Put(buffer)
	*buffer = slices.Grow((*buffer)[:0], len(s.Active))[:len(s.Active)]
	truth := *buffer
	s.Probabilities(p, now, truth)
	t := Totals{Clicks: 1, Shown: v.shown, Best: v.shown}
	for _, x := range truth {
		t.Best = max(t.Best, x)
		t.Chance += x / float64(len(truth))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.window(now)
	w.add(t)
	for i, c := range s.Active {
		r := w.row(c)
		r.expected += truth[i]
		r.offered++
	}
	w.row(v.campaign).clicks++
	if v.fromAuction {
		b.fromAuctions++
	}
	_ = b.took.RecordValue(min(max(v.took.Microseconds(), 1), int64(time.Minute/time.Microsecond))) // within its bounds
}

// window returns the window of a time. mu is held.
func (b *books) window(now time.Time) *window {
	n := int(max(now.Sub(b.start), 0) / Window)
	for len(b.windows) <= n {
		b.windows = append(b.windows, &window{})
	}
	return b.windows[n]
}

func (w *window) row(c *sales.Campaign) *row {
	if c.Number >= len(w.rows) {
		w.rows = append(w.rows, make([]row, c.Number+1-len(w.rows))...)
	}
	r := &w.rows[c.Number]
	r.id = c.ID
	return r
}

func (b *books) sold(c *sales.Campaign) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.window(time.Now())
	w.Sales++
	w.row(c).sales++
}

func (b *books) astray() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.strays++
}

// Report returns the books so far. whole adds the windows.
func (c *Crowd) Report(whole bool) *Report {
	b := c.books
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &Report{FromAuctions: b.fromAuctions, Astray: b.strays}
	shown := map[int]bool{}
	for i, w := range b.windows {
		r.Totals.add(w.Totals)
		if i == len(b.windows)-2 {
			r.Recent = w.Totals
		}
		if whole {
			r.Windows = append(r.Windows, w.Totals)
		}
		for number, row := range w.rows {
			if row.clicks > 0 {
				shown[number] = true
			}
		}
	}
	r.LiftShare, r.Shows = r.Lift(), len(shown)
	if b.took.TotalCount() > 0 {
		r.P50, r.P99 = float64(b.took.ValueAtQuantile(50))/1000, float64(b.took.ValueAtQuantile(99))/1000
	}
	return r
}

// WriteCampaigns writes the books by campaign as CSV: a row for each window (by its first second) and campaign that was active
// or shown in it. offered are the window's clicks while the campaign was active, expected the sales to expect if all of them had
// been sent to it.
func (c *Crowd) WriteCampaigns(to io.Writer) error {
	c.books.mu.Lock()
	defer c.books.mu.Unlock()
	w := csv.NewWriter(to)
	_ = w.Write([]string{"window_s", "campaign", "clicks", "sales", "offered", "expected"}) // errors stay until Flush
	for i, window := range c.books.windows {
		for _, r := range window.rows {
			if r.id == "" {
				continue
			}
			_ = w.Write([]string{strconv.Itoa(i * int(Window/time.Second)), r.id, strconv.FormatInt(r.clicks, 10),
				strconv.FormatInt(r.sales, 10), strconv.FormatInt(r.offered, 10), strconv.FormatFloat(r.expected, 'g', -1, 64)})
		}
	}
	w.Flush()
	return w.Error()
}
