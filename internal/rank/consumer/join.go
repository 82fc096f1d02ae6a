package consumer

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gavel/internal/datasets"
	"gavel/internal/events"
	"gavel/internal/stream"
)

// maxSales bounds the distinct sales of one click whose values are added.
const maxSales = 64

// A Joiner makes an example of each ranking: its label is whether a sale of the same click came within the window. The same
// stream always gives the same examples.
//
// The watermark is the largest event time seen, ticks included. It is the only clock. A ranking of time t is due when
// the watermark reaches t + window + reorder. Then its example is returned, and the click forgotten. An event that comes
// when its click is due already is late, and changes nothing; so a repeated event does not either. A sale may come before
// its ranking, by at most reorder.
//
// Examples are returned in the order of (time, id). A Joiner that starts at Position, with the watermark from before that
// message, returns the same examples from the time of that Position on.
// A sale that comes late still counts while its click waits.
type Joiner struct {
	window, reorder int64 // ms
	maxPending      int
	fields          []string

	wm     int64 // watermark, Unix ms
	next   stream.Cursor
	clicks map[string]*click
	order  []*click // by first; forgotten ones go when they reach the front
	due    dueHeap

	stats Stats
}

// Stats counts what a Joiner has done.
type Stats struct {
	Examples   uint64 // returned
	Positives  uint64 // of these, with a sale
	Duplicates uint64 // repeated rankings and sales
	Late       uint64 // events whose click was due already
	Unranked   uint64 // clicks with a sale whose ranking never came
	Refused    uint64 // clicks beyond the bound on those that wait
	Ahead      uint64 // events whose time was ahead of their message's
	Damaged    uint64 // rankings without their body, or of a later schema
	Pending    int    // clicks that wait
}

// click is what is known of one click.
type click struct {
	id     string
	due    int64         // it is forgotten when the watermark reaches this
	first  stream.Cursor // message of its first event
	before int64         // watermark before that message
	sales  []sale
	ranked bool // its ranking came:
	row    datasets.Row
	dead   bool // forgotten
}

type sale struct {
	id    string
	time  int64
	value float64
}

// Position is where a Joiner can start again.
type Position struct {
	Cursor    stream.Cursor // the next message to read
	Watermark int64         // before that message, Unix ms
}

// String returns the text that ParsePosition reads.
func (p Position) String() string {
	return p.Cursor.String() + ":" + strconv.FormatInt(p.Watermark, 10)
}

// ParsePosition reads what String wrote; "" is the start of the stream.
func ParsePosition(text string) (p Position, err error) {
	if text == "" {
		return Position{}, nil
	}
	cursor, wm, ok := strings.Cut(text, ":")
	if ok {
		if p.Cursor, err = stream.ParseCursor(cursor); err == nil {
			p.Watermark, err = strconv.ParseInt(wm, 10, 64)
		}
	}
	if !ok || err != nil {
		return Position{}, fmt.Errorf("consumer: cannot parse position %q: want cursor:watermark", text)
	}
	return p, nil
}

// NewJoiner returns a joiner that starts at a position. fields are the profile's fields that an example has, in their order.
func NewJoiner(window, reorder time.Duration, maxPending int, fields []string, at Position) *Joiner {
	return &Joiner{
		window: window.Milliseconds(), reorder: reorder.Milliseconds(), maxPending: maxPending, fields: fields,
		wm: at.Watermark, next: at.Cursor, clicks: map[string]*click{},
	}
}

// Add takes a message, and appends to out the examples that it completes.
func (j *Joiner) Add(m *events.Message, out []datasets.Row) []datasets.Row {
	wm := j.wm
	for i := range m.Events {
		e := &m.Events[i]
		t, ahead := m.TimeOf(e)
		if ahead {
			j.stats.Ahead++
		}
		j.take(e, t, m.At)
		wm = max(wm, t)
	}
	j.wm, j.next = wm, m.At.Next()
	return j.emit(out)
}

// take records one event of time t.
func (j *Joiner) take(e *events.Event, t int64, at stream.Cursor) {
	var due int64
	switch e.Type {
	case events.TypeRanking:
		due = t + j.window + j.reorder
	case events.TypeSale:
		due = t + j.reorder // in case its ranking has not come
	default:
		return
	}
	if e.Version > events.Schema || e.Type == events.TypeRanking && e.Ranking == nil {
		j.stats.Damaged++
		return
	}
	c := j.clicks[e.Key]
	if due <= j.wm && (c == nil || e.Type == events.TypeRanking) {
		j.stats.Late++
		return
	}
	if c == nil {
		if len(j.clicks) >= j.maxPending {
			j.stats.Refused++
			return
		}
		c = &click{id: e.Key, due: due, first: at, before: j.wm}
		j.clicks[c.id] = c
		j.order = append(j.order, c)
		heap.Push(&j.due, dueItem{due, c})
	}
	if e.Type == events.TypeSale {
		j.sold(c, e, t)
		return
	}
	if c.ranked {
		j.stats.Duplicates++
		return
	}
	c.ranked = true
	c.row = j.row(e, t)
	if due != c.due { // a sale came first
		c.due = due
		heap.Push(&j.due, dueItem{due, c})
	}
}

func (j *Joiner) sold(c *click, e *events.Event, t int64) {
	if slices.ContainsFunc(c.sales, func(s sale) bool { return s.id == e.ID }) {
		j.stats.Duplicates++
		return
	}
	if len(c.sales) < maxSales {
		c.sales = append(c.sales, sale{e.ID, t, float64(e.Price) / 1e6})
	}
}

// row is the example of a ranking, without its label.
func (j *Joiner) row(e *events.Event, t int64) datasets.Row {
	r := datasets.Row{ID: e.Key, Time: t, Campaign: e.Campaign, Values: make([]string, len(j.fields)), Weight: 1}
	for i, name := range j.fields {
		if at := slices.Index(e.Ranking.Fields, name); at >= 0 {
			r.Values[i] = e.Ranking.Values[at]
		}
	}
	if e.Ranking.Propensity > 0 {
		r.Weight = 1 / e.Ranking.Propensity
	}
	return r
}

// emit appends the examples that are due, in the order of their times, and forgets their clicks.
func (j *Joiner) emit(out []datasets.Row) []datasets.Row {
	from := len(out)
	for len(j.due) > 0 && j.due[0].due <= j.wm {
		item := heap.Pop(&j.due).(dueItem)
		c := item.click
		if c.dead || item.due != c.due {
			continue // it was put off by its ranking
		}
		c.dead = true
		delete(j.clicks, c.id)
		if !c.ranked {
			j.stats.Unranked++
			continue
		}
		for _, s := range c.sales {
			if s.time <= c.row.Time+j.window {
				c.row.Label = true
				c.row.Value += s.value
			}
		}
		if c.row.Label {
			j.stats.Positives++
		}
		out = append(out, c.row)
	}
	j.stats.Examples += uint64(len(out) - from)
	for len(j.order) > 0 && j.order[0].dead {
		j.order[0] = nil
		j.order = j.order[1:]
	}
	slices.SortFunc(out[from:], func(a, b datasets.Row) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.ID, b.ID))
	})
	return out
}

// Until is the time before which every example has been returned, Unix ms.
func (j *Joiner) Until() int64 { return max(j.wm-j.window-j.reorder+1, 0) }

// Position is where to start again, so that every example from Until on comes.
func (j *Joiner) Position() Position {
	if len(j.order) > 0 {
		return Position{j.order[0].first, j.order[0].before}
	}
	return Position{j.next, j.wm}
}

// Watermark is the largest event time seen, Unix ms; 0 before the first event.
func (j *Joiner) Watermark() int64 { return j.wm }

// Stats returns the counts so far.
func (j *Joiner) Stats() Stats {
	s := j.stats
	s.Pending = len(j.clicks)
	return s
}

type dueItem struct {
	due int64
	*click
}

type dueHeap []dueItem

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, k int) bool { return h[i].due < h[k].due }
func (h dueHeap) Swap(i, k int)      { h[i], h[k] = h[k], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(dueItem)) }
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
