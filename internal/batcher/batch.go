package batcher

import (
	"sync/atomic"

	"gavel/internal/engine"
)

// batch is one of the queue's batches. Its state goes round:
//
//	free ──Claim──► open ──full, due, close──► sealed ──last commit──► ready ──runner──► running ──► answering ──► free
//	                  └──────────── idle, due, close: all committed, and a runner came ────┘
//
// A claim that shares its batches with no other has them sealed at once. If its caller runs them, they skip ready.
//
// The queue's lock guards state, n and the times. A place belongs to the caller that claimed it until the caller commits;
// pending counts the places not yet committed. It rises only while the batch is open. So a batch that is not open and has
// none pending belongs to whoever runs it, its runner.
//
// A ticket in slots stays valid until the batch is answering. Then the runner gives up the batch's references to its
// tickets, and only the runner may read slots.
type batch struct {
	q       *Queue
	mem     engine.Batch
	inputs  []engine.Column // mem's
	outputs []engine.Column // mem's

	slots   []slot
	pending atomic.Int32

	state    batchState
	how      how   // its claims are taken in
	called   bool  // its caller runs it
	n        int   // places claimed
	opened   int64 // when its first row was claimed, ns on the pool's clock
	dueAt    int64 // when it must leave: after MaxWait, or in time for its earliest deadline
	deadline int64 // earliest deadline of its tickets that have not expired
	goAt     int64 // when its queue's policy lets it leave; never while that is not known

	live []int32 // live[pos] is the slot whose row is at position pos during the run
	// Times of its runs, in ns: CPU time where it was measured, wall time of the same runs, wall time of the others.
	cpu, metered, unmetered int64
	predicted               int64 // expected run time of all its rows, set when it leaves
}

// slot says who claimed a place.
type slot struct {
	t       *Ticket
	row     int32 // in the ticket
	refused bool  // by the engine's check; written by its caller before the commit
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

// cause is why a batch left.
type cause uint8

const (
	causeFull cause = iota
	causeDue
	causeIdle
	causeClose
	causes // how many there are
)

const never = int64(1<<63 - 1)

// open starts a free batch. The queue's lock is held.
func (b *batch) open(h how, now int64, maxWait int64) {
	b.state, b.how, b.called, b.n = batchOpen, h, false, 0
	b.opened, b.dueAt, b.deadline, b.goAt = now, now+maxWait, never, never
}

// join gives the ticket n places, for its rows from first on, and returns n. The queue's lock is held.
func (b *batch) join(t *Ticket, first, n int) int {
	for i := range n {
		b.slots[b.n+i] = slot{t: t, row: int32(first + i)}
	}
	t.parts = append(t.parts, part{b: b, slot: b.n, first: first, n: n})
	b.n += n
	b.pending.Add(int32(n))
	b.deadline = min(b.deadline, t.deadline)
	return n
}

// commit takes n rows over from their caller. The last commit tells the queue, and returns what committed does.
func (b *batch) commit(n int, now int64, inline bool) *runner {
	if b.pending.Add(int32(-n)) == 0 {
		return b.q.committed(b, now, inline)
	}
	return nil
}

// tickets calls f once for each ticket that has places here: the slots from first up to end.
func (b *batch) tickets(f func(t *Ticket, first, end int)) {
	for i := 0; i < b.n; {
		t, j := b.slots[i].t, i+1
		for j < b.n && b.slots[j].t == t {
			j++
		}
		f(t, i, j)
		i = j
	}
}

// begin expires tickets whose deadline has passed. It moves the rows that are still wanted to the front, and lists them
// in live. Only the runner calls it.
func (b *batch) begin(now int64) {
	b.live = b.live[:0]
	b.cpu, b.metered, b.unmetered = 0, 0, 0
	b.tickets(func(t *Ticket, first, end int) {
		t.expire(now)
		if t.state.Load() != ticketWaiting {
			return
		}
		before := len(b.live)
		for i := first; i < end; i++ {
			if b.slots[i].refused {
				continue
			}
			if pos := len(b.live); pos != i {
				engine.Move(b.inputs, pos, i, 1)
			}
			b.live = append(b.live, int32(i))
		}
		if rows := len(b.live) - before; rows > 0 {
			b.q.hist.queueTime.addTime(now-t.claimed, uint64(rows))
		}
	})
}

// move puts the rows at positions [lo,hi) at [0,hi-lo), over the rows there.
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

// answerAll is answer for engines whose output is more than one float32 a row.
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
