// Package join makes examples from the event stream. joiner.go explains the join, position.go how it resumes.
package join

import (
	"container/heap"
	"fmt"
	"time"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/stream"
)

// A Joiner makes examples from the stream, each exactly once. The same stream always gives the same examples.
//
// An example has a bid, an anchor (the impression; for the label conversion, the click) and a label: 1 if the
// positive event (click; conversion) followed the anchor within LabelWait. Events are joined by bid id.
//
// The watermark is the largest event time seen, ticks included. It is the only clock. Every decision depends on event times
// and the watermark alone:
//
//   - An anchor is due when the watermark reaches its time + LabelWait + Reorder. If the bid is known then, and the anchor's
//     time is at most the bid's + BidWait, the joiner returns the example. Otherwise it drops the anchor.
//   - If the watermark is beyond a bid's time + BidWait + Reorder, the bid is late and is dropped. An anchor is late when it is due.
//   - The joiner remembers an id until the watermark is beyond its life: the last time at which the id can take part in an
//     example. So duplicates change nothing; a duplicate that comes after the id's life is late.
//
// For each message the joiner takes the events, moves the watermark, returns examples in the order of (due, bid id), and
// forgets ids. A joiner may start at any message, with the watermark from before that message. Compare it with one that
// read everything. They agree about every id whose first event is in that message or later, because the late starter knows
// a part of what the other knows, and forgets it no later. Position.Low is the message with the first event of the oldest
// id remembered at High. Hence both agree on everything after High, and what comes before it is suppressed. The property
// test in joiner_prop_test.go checks this on random streams.
//
// If one of several bidders is cut off for longer than BidWait + Reorder, its spilled bids arrive too late to learn from.
// They are counted as late. Spend does not depend on the join.
type Joiner struct {
	opts Options

	wm     int64         // watermark, Unix ms
	next   stream.Cursor // the next message is here or later
	high   stream.Cursor // of the last message taken
	resume Position      // examples up to it are suppressed
	skip   uint64        // examples after resume.High that are still to be suppressed
	base   Position      // after the last whole message

	ids     map[string]*pending
	order   []*pending // by first; the dead ones are dropped when they reach the front
	dues    dueHeap
	lives   lifeHeap
	deadTop int // dead entries at the front of order that compact has not cut off yet

	stats Stats
}

type pending struct {
	id      string
	first   stream.Cursor // message of its first event
	before  int64         // watermark before that message
	life    int64         // the id is forgotten when the watermark is beyond it
	bid     []byte        // encoded body; nil when it is no longer needed
	bidTime int64
	anchor  int64
	pos     int64 // time of the earliest positive event

	hasBid, hasAnchor, hasPos, done, dead bool
}

// New returns a joiner that resumes at pos. Feed it the stream from pos.Start() on. The error names every fault of opts.
func New(opts Options, pos Position) (*Joiner, error) {
	if err := opts.fill(); err != nil {
		return nil, fmt.Errorf("join: cannot join: %w", err)
	}
	return &Joiner{
		opts:   opts,
		wm:     pos.Watermark,
		next:   pos.Start(),
		resume: pos,
		skip:   pos.Skip,
		base:   pos,
		ids:    make(map[string]*pending),
	}, nil
}

// Add takes the next message and appends the examples that it completes to out. Messages must come in the order of their
// cursors. A message that was taken before is an error; a gap is not (Message.Lost counts missing messages).
func (j *Joiner) Add(m *events.Message, out []Example) ([]Example, error) {
	if m.At.Compare(j.next) < 0 {
		return out, fmt.Errorf("join: cannot join message %s: message %s is expected, or a later one", m.At, j.next)
	}
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
	j.wm = wm
	j.next, j.high = m.At.Next(), m.At

	n := len(out)
	out = j.emit(m.At, out)
	j.forget()
	if m.At.Compare(j.resume.High) < 0 {
		return out, nil // examples are still suppressed, so base must not move
	}
	if m.At.Compare(j.resume.High) > 0 {
		// A position between examples of one message names the state before the message, and how many examples to skip.
		for i := n; i < len(out); i++ {
			out[i].Pos = j.base
			out[i].Pos.Skip += uint64(i-n) + 1
		}
	}
	if j.skip == 0 {
		j.base = j.position()
		if n < len(out) {
			out[len(out)-1].Pos = j.base
		}
	} else if m.At == j.resume.High {
		p := j.position()
		p.Skip = j.skip
		j.base = p
	}
	return out, nil
}

// Position is where to resume when everything that Add has returned so far is learnt. Messages without examples move it too.
func (j *Joiner) Position() Position { return j.base }

// Watermark is the largest event time seen; zero before the first event.
func (j *Joiner) Watermark() time.Time {
	if j.wm == 0 {
		return time.Time{}
	}
	return time.UnixMilli(j.wm)
}

// Stats returns the counts so far.
func (j *Joiner) Stats() Stats {
	s := j.stats
	s.Pending = len(j.ids)
	return s
}

// take records one event of time t. j.wm is the watermark before its message.
func (j *Joiner) take(e *events.Event, t int64, at stream.Cursor) {
	j.stats.Events++
	if e.Version > events.Schema {
		j.stats.Foreign++
		return
	}
	anchor, positive := events.TypeImpression, events.TypeClick
	if j.opts.Label == events.TypeConversion {
		anchor, positive = events.TypeClick, events.TypeConversion
	}
	var useful, life int64 // the event is late once the watermark is beyond useful
	switch e.Type {
	case events.TypeBid:
		useful = t + ms(j.opts.BidWait) + ms(j.opts.Reorder)
		life = useful + ms(j.opts.LabelWait)
	case anchor:
		life = t + ms(j.opts.LabelWait) + ms(j.opts.Reorder)
		useful = life
	case positive:
		life = t + ms(j.opts.Reorder)
		useful = life
	default:
		return
	}
	p := j.ids[e.Key]
	if p == nil {
		if j.wm > useful {
			j.stats.Late++
			return
		}
		if len(j.ids) >= j.opts.MaxPending {
			j.stats.Refused++
			return
		}
		p = &pending{id: e.Key, first: at, before: j.wm, life: life}
		j.ids[p.id] = p
		j.order = append(j.order, p)
		heap.Push(&j.lives, lifeItem{life, p})
	}
	p.life = max(p.life, life)

	switch e.Type {
	case events.TypeBid:
		switch {
		case p.hasBid:
			j.stats.Duplicates++
		case j.wm > useful:
			j.stats.Late++
		default:
			p.hasBid, p.bidTime = true, t
			p.bid = append([]byte(nil), e.Body...)
			if e.Body == nil && e.Bid != nil {
				p.bid = codec.AppendBody(nil, e.Bid)
			}
		}
	case anchor:
		switch {
		case p.done || p.hasAnchor && (p.hasBid || t <= p.anchor):
			j.stats.Duplicates++
		case j.wm > useful || p.hasBid && t > p.bidTime+ms(j.opts.BidWait):
			j.stats.Late++
		default:
			// While the bid is unknown, keep the latest anchor. Then the state does not depend on where reading began.
			if !p.hasAnchor {
				heap.Push(&j.dues, dueItem{j.due(t), p})
			}
			p.hasAnchor, p.anchor = true, t
		}
	case positive:
		if p.hasPos {
			j.stats.Duplicates++
			p.pos = min(p.pos, t)
		} else {
			p.hasPos, p.pos = true, t
		}
	}
}

func (j *Joiner) due(anchor int64) int64 {
	return anchor + ms(j.opts.LabelWait) + ms(j.opts.Reorder)
}

// emit appends the examples that are due, in the order of (due, id).
func (j *Joiner) emit(at stream.Cursor, out []Example) []Example {
	for len(j.dues) > 0 && j.dues[0].due <= j.wm {
		it := heap.Pop(&j.dues).(dueItem)
		p := it.p
		if d := j.due(p.anchor); d > it.due { // a later anchor replaced it
			heap.Push(&j.dues, dueItem{d, p})
			continue
		}
		p.hasAnchor = false
		if !p.hasBid || p.anchor > p.bidTime+ms(j.opts.BidWait) {
			j.stats.Unbid++
			continue
		}
		body := p.bid
		p.done, p.bid = true, nil
		if at.Compare(j.resume.High) <= 0 {
			j.stats.Suppressed++
			continue
		}
		b, err := codec.DecodeBody(events.Schema, p.id, body)
		if err != nil {
			j.stats.Damaged++
			continue
		}
		if j.skip > 0 {
			j.skip--
			j.stats.Suppressed++
			continue
		}
		ex := Example{ID: p.id, Bid: b, Time: p.anchor}
		if p.hasPos && p.pos <= p.anchor+ms(j.opts.LabelWait) {
			ex.Label = 1
			j.stats.Positives++
		}
		j.stats.Examples++
		out = append(out, ex)
	}
	return out
}

// forget drops the ids whose life is over.
func (j *Joiner) forget() {
	for len(j.lives) > 0 && j.lives[0].life < j.wm {
		it := heap.Pop(&j.lives).(lifeItem)
		p := it.p
		if p.life >= j.wm {
			heap.Push(&j.lives, lifeItem{p.life, p})
			continue
		}
		if p.hasBid && !p.done {
			j.stats.Unmatched++
		}
		p.dead, p.bid = true, nil
		delete(j.ids, p.id)
	}
	for j.deadTop < len(j.order) && j.order[j.deadTop].dead {
		j.order[j.deadTop] = nil
		j.deadTop++
	}
	if j.deadTop > 1024 && j.deadTop > len(j.order)/2 {
		j.order = append([]*pending(nil), j.order[j.deadTop:]...)
		j.deadTop = 0
	}
}

func (j *Joiner) position() Position {
	p := Position{Low: j.next, High: j.high, Watermark: j.wm}
	if j.deadTop < len(j.order) {
		p.Low, p.Watermark = j.order[j.deadTop].first, j.order[j.deadTop].before
	}
	return p
}

func ms(d time.Duration) int64 { return d.Milliseconds() }
