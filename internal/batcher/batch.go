package batcher

import (
	"sync/atomic"

	"gavel/internal/engine"
)

// batch is one of the queue's batches, going round for ever:
//
//	free ──Claim──► open ──full, due, stop──► sealed ──last commit──► ready ──runner──► running ──► answering ──► free
//	                  └──────────────── idle, due, stop: all committed, a runner came ──────┘
//
// Who owns what, when. Its state, n, cause and times belong to the queue's lock. Its rows belong, place by place, to
// the callers that claimed them until each has committed (pending counts those places), then to whoever runs it:
// pending may only rise while it is open, so that a batch that is not open and has none pending is the runner's
// alone. A ticket found in slots is alive until the batch enters answering; there its references are given up, and
// only the runner may look at slots.
type batch struct {
	q       *Queue
	mem     engine.Batch
	inputs  []engine.Column // mem's
	outputs []engine.Column // mem's
	texts   []engine.Column // those of inputs that are texts

	// Where the inputs are one Int32 field, as most are: its values, and how many a row has. Else nil.
	rows []int32
	len  int

	slots   []slot
	pending atomic.Int32 // places claimed and not committed

	state    batchState
	n        int   // places claimed
	cause    cause // of its flush
	opened   int64 // when its first row was claimed, ns on the pool's clock
	dueAt    int64 // when it must go: opened + MaxWait, or in time for its earliest deadline
	deadline int64 // the earliest of its tickets that are not yet expired
	goAt     int64 // when its queue's policy lets it go; never until it has been asked

	live []int32 // live[pos] is the slot of the row at position pos, while it is run
	// The runs since begin, in ns: CPU time of those for which it was measured and how long these took, how long the
	// others did.
	cpu, metered, unmetered int64
	predicted               int64 // expected run time of all its rows when it was sealed or taken
}

// slot is who claimed a place.
type slot struct {
	t       *Ticket
	row     int32 // in the ticket
	refused bool  // written by its caller before it commits
}

type batchState uint8

const (
	batchFree batchState = iota
	batchOpen
	batchSealed
	batchReady
	batchRunning
	batchAnswering
)

type cause uint8

const (
	causeFull cause = iota
	causeDue
	causeIdle
	causeStop
	causes
)

const never = int64(1<<63 - 1)

// row is for engines whose inputs are one Int32 field.
func (b *batch) row(slot int) []int32 {
	return b.rows[slot*b.len : (slot+1)*b.len : (slot+1)*b.len]
}

// open starts a free batch; the queue's lock is held.
func (b *batch) open(now int64, maxWait int64) {
	b.state, b.n = batchOpen, 0
	b.opened, b.dueAt, b.deadline, b.goAt = now, now+maxWait, never, never
}

// join gives up to n places to the ticket, from its row first on; the queue's lock is held, and there is room.
func (b *batch) join(t *Ticket, first, n int) int {
	n = min(n, len(b.slots)-b.n)
	for i := range n {
		b.slots[b.n+i] = slot{t: t, row: int32(first + i)}
	}
	t.parts = append(t.parts, part{b: b, slot: b.n, first: first, n: n})
	b.n += n
	b.pending.Add(int32(n))
	b.deadline = min(b.deadline, t.deadline)
	return n
}

// commit takes n rows over from their caller. The last one out tells the queue.
func (b *batch) commit(n int, now int64, inline bool) *runner {
	if b.pending.Add(int32(-n)) == 0 {
		return b.q.committed(b, now, inline)
	}
	return nil
}

// tickets calls f for each ticket that has places here, once.
func (b *batch) tickets(f func(t *Ticket, rows int)) {
	for i := 0; i < b.n; {
		t, j := b.slots[i].t, i+1
		for j < b.n && b.slots[j].t == t {
			j++
		}
		f(t, j-i)
		i = j
	}
}

// begin expires tickets that are late, leaves out rows nobody waits for, and moves the others together: live then
// names them. Only the runner calls it.
func (b *batch) begin(now int64) {
	b.live = b.live[:0]
	b.cpu, b.metered, b.unmetered = 0, 0, 0
	for i := 0; i < b.n; {
		t, j := b.slots[i].t, i+1
		for j < b.n && b.slots[j].t == t {
			j++
		}
		t.expire(now)
		if t.state.Load() == ticketWaiting {
			placed := len(b.live)
			for ; i < j; i++ {
				if !b.slots[i].refused {
					b.place(len(b.live), i)
				}
			}
			if placed = len(b.live) - placed; placed > 0 {
				b.q.hist.queueTime.addTime(now-t.claimed, uint64(placed))
			}
		}
		i = j
	}
}

// place puts the row of slot i at position pos ≤ i, the end of live.
func (b *batch) place(pos, i int) {
	b.live = append(b.live, int32(i))
	if pos != i {
		engine.Move(b.inputs, pos, i, 1)
	}
}

// move puts the rows at positions [lo,hi) at [0,hi-lo); what was there is lost.
func (b *batch) move(lo, hi int) {
	copy(b.live, b.live[lo:hi])
	engine.Move(b.inputs, 0, lo, hi-lo)
}

// answer gives the rows at positions [0,n) their results.
func (b *batch) answer(n int) {
	if b.q.outputWidth > 0 {
		b.answerAll(n)
		return
	}
	p := b.outputs[0].Float32
	for pos, i := range b.live[:n] {
		s := &b.slots[i]
		s.t.results[s.row] = Result{Probability: p[pos]}
	}
}

// answerAll is answer where a row's outputs are not one float32.
func (b *batch) answerAll(n int) {
	width := b.q.outputWidth
	for pos, i := range b.live[:n] {
		s := &b.slots[i]
		values := s.t.outputs[int(s.row)*width:][:0:width]
		for k := range b.outputs {
			c := &b.outputs[k]
			if from, to := pos*c.Width, (pos+1)*c.Width; c.Type == engine.Float64 {
				values = append(values, c.Float64[from:to]...)
			} else {
				for _, v := range c.Float32[from:to] {
					values = append(values, float64(v))
				}
			}
		}
		s.t.results[s.row] = Result{Probability: float32(values[0])}
	}
}

// fail gives the rows at positions [lo,hi) an error.
func (b *batch) fail(lo, hi int, err error) {
	for _, i := range b.live[lo:hi] {
		s := &b.slots[i]
		s.t.results[s.row] = Result{Err: err}
	}
}
