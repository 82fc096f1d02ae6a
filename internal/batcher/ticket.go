package batcher

import (
	"context"
	"fmt"
	"sync/atomic"

	"gavel/internal/engine"
)

// Ticket is one caller's n places in open batches (one batch, or several where the first was nearly full). It is used
// by one goroutine at a time, and is gone after Wait, Then or Abandon, one of which must follow every Claim, a panic of the
// caller's included: until then the batch cannot run, and the queue cannot close. A ticket that is gone must not be
// touched: it may be another caller's.
type Ticket struct {
	q        *Queue
	n        int
	claimed  int64 // ns on the pool's clock
	deadline int64
	parts    []part
	results  []Result // written by whoever refuses or runs a row; read by the caller once the ticket is done
	// outputs is n × q.outputWidth, written and read as results; empty where a row's outputs are one float32, which
	// results hold.
	outputs []float64

	state atomic.Uint32
	// left counts parts whose batch has not been answered; whoever answers the last wakes the caller.
	left atomic.Int32
	// refs counts who may still touch the ticket: its batches and its caller. The last one returns it to the pool.
	refs atomic.Int32
	// wake has room for the two signals there can be at once: one hint, one end.
	wake chan signal
	// receiver is told of the end instead, where the caller left with Then.
	receiver Receiver
}

// Receiver is told of the end of a ticket whose caller did not wait for it.
type Receiver interface {
	// Answered is called once, as soon as Wait would return. It must call t.Collect, must not block, and must not panic. It
	// runs in any goroutine: a runner's, which runs nothing else meanwhile, the clock's, or the caller's own within Then.
	Answered(t *Ticket)
}

// part is consecutive places in one batch.
type part struct {
	b     *batch
	slot  int // first place in the batch
	first int // its row in the ticket
	n     int
}

// A ticket's states. Only open → waiting → done|expired|gone, or open → gone|expired.
const (
	ticketOpen    uint32 = iota // the caller writes rows
	ticketWaiting               // committed
	ticketDone                  // every row has its result; the end was or will be signalled
	ticketExpired               // the deadline passed; where that was found by another, the end is signalled
	ticketGone                  // nobody wants the results
)

type signal uint8

const (
	signalEnd  signal = iota
	signalHint        // a due batch lies there: take one of the queue's batches and run it
)

// Row is row i, 0 ≤ i < n, of an engine whose inputs are one Int32 field, as long as that is wide. It is all zeros at
// first, and to be written until Commit, Wait or Then, by this ticket's goroutine, never afterwards. It panics where the
// engine has other inputs, which take Place.
func (t *Ticket) Row(i int) []int32 {
	b, slot := t.place(i)
	if b.rows == nil {
		panic(fmt.Sprintf("batcher: Row called on queue %q, whose engine's inputs are not one int32 field; use Place", t.q.o.Name))
	}
	return b.row(slot)
}

// Place says where row i, 0 ≤ i < n, lies: its values are those of that row of the columns, which are of the engine's
// inputs in the order of its schema. They are zeros and empty texts at first, and to be written as Row says. Other rows
// of the columns are others'.
func (t *Ticket) Place(i int) (inputs []engine.Column, row int) {
	b, slot := t.place(i)
	return b.inputs, slot
}

func (t *Ticket) place(i int) (b *batch, slot int) {
	if t.state.Load() != ticketOpen {
		panic("batcher: Row or Place called after Commit, Wait, Then or Abandon")
	}
	for k := range t.parts {
		if p := &t.parts[k]; i >= p.first && i < p.first+p.n {
			return p.b, p.slot + i - p.first
		}
	}
	panic(fmt.Sprintf("batcher: row %d of a ticket with %d rows", i, t.n))
}

// Commit checks the rows and hands them over. Wait does it where the caller has not; an auction that holds several
// tickets commits all of them before the first Wait, so that their batches run side by side. Under Off it runs them.
func (t *Ticket) Commit() { t.commit(false) }

// commit returns a runner's licence if its caller, who must then run a batch of this queue, may do so at once. It is
// offered only with inline.
func (t *Ticket) commit(inline bool) *runner {
	if t.state.Load() != ticketOpen {
		return nil
	}
	_, licence := t.handOver(inline)
	return licence
}

// handOver is commit of an open ticket; waits says that its end is still to come.
func (t *Ticket) handOver(inline bool) (waits bool, licence *runner) {
	q := t.q
	refused := 0
	for k := range t.parts {
		p := &t.parts[k]
		for i := range p.n {
			if err := q.check(p.b.inputs, p.slot+i); err != nil {
				p.b.slots[p.slot+i].refused = true
				t.results[p.first+i] = Result{Err: err}
				refused++
			}
		}
	}
	now := q.pool.now()
	switch {
	case refused == t.n:
		t.state.Store(ticketGone)
	case now >= t.deadline:
		t.state.Store(ticketExpired)
	default:
		waits = true
		t.state.Store(ticketWaiting)
	}
	for k := range t.parts {
		if r := t.parts[k].b.commit(t.parts[k].n, now, inline && licence == nil); r != nil {
			licence = r
		}
	}
	return waits, licence
}

// Then commits the ticket, which must not have been committed before, and leaves it to r, in place of Wait. The caller runs
// no batch, except under Off.
func (t *Ticket) Then(r Receiver) {
	if t.state.Load() != ticketOpen {
		panic("batcher: Then called after Commit, Wait, Then or Abandon")
	}
	t.receiver = r
	if waits, _ := t.handOver(false); !waits {
		r.Answered(t)
	}
}

// Wait blocks until every row is answered, the deadline passes or ctx ends, and fills out, which must be n long. The
// error is nil if every row has a probability, else the first row's error: ErrRow, ErrExpired, ErrRun or ErrClosed.
// After ErrExpired no row has a result.
//
// Wait may run a batch in the caller's goroutine, when that is faster than waking a runner, or when no runner comes; it
// then returns after the run, even if the deadline passes in it.
func (t *Ticket) Wait(ctx context.Context, out []Result) error {
	if err := t.wait(ctx, len(out)); err != nil {
		fill(out, err)
		return err
	}
	return t.Collect(out)
}

// wait waits until the ticket can be collected, or ends it and returns ErrExpired where ctx ends first. room is for how many
// results the caller has room.
func (t *Ticket) wait(ctx context.Context, room int) error {
	if room != t.n {
		panic(fmt.Sprintf("batcher: Wait with room for %d results on a ticket of %d rows", room, t.n))
	}
	q := t.q
	if t.state.Load() == ticketOpen {
		if r := t.commit(true); r != nil {
			q.runInline(r)
		}
	}
	done := ctx.Done()
	for t.state.Load() == ticketWaiting {
		var s signal
		if done == nil {
			s = <-t.wake
		} else {
			select {
			case s = <-t.wake:
			case <-done:
				if t.state.CompareAndSwap(ticketWaiting, ticketGone) {
					q.count.abandoned.Add(uint64(t.n))
					t.release()
					return ErrExpired
				}
				continue // answered meanwhile
			}
		}
		if s == signalEnd {
			break
		}
		q.rescue()
	}
	return nil
}

// Collect fills out as Wait does, and ends the ticket. It is for receivers.
func (t *Ticket) Collect(out []Result) error {
	q := t.q
	var err error
	switch t.state.Load() {
	case ticketExpired:
		q.count.expired.Add(uint64(t.n))
		fill(out, ErrExpired)
		err = ErrExpired
	default:
		copy(out, t.results)
		err = q.count.tally(out)
	}
	t.release()
	return err
}

// WaitOutputs is Wait, and fills outputs with all that the engine gave: n × OutputWidth values, row by row, in the order of
// its schema; a float32 is exact in its float64. The values of a row that has an error are zeros.
func (t *Ticket) WaitOutputs(ctx context.Context, out []Result, outputs []float64) error {
	t.mustHold(outputs)
	if err := t.wait(ctx, len(out)); err != nil {
		fill(out, err)
		clear(outputs)
		return err
	}
	return t.CollectOutputs(out, outputs)
}

// CollectOutputs fills out and outputs as WaitOutputs does, and ends the ticket. It is for receivers.
func (t *Ticket) CollectOutputs(out []Result, outputs []float64) error {
	t.mustHold(outputs)
	switch {
	case t.state.Load() == ticketExpired:
		clear(outputs)
	case t.q.outputWidth > 0:
		copy(outputs, t.outputs)
	default:
		for i := range t.results {
			outputs[i] = float64(t.results[i].Probability)
		}
	}
	return t.Collect(out)
}

func (t *Ticket) mustHold(outputs []float64) {
	if want := t.n * t.q.OutputWidth(); len(outputs) != want {
		panic(fmt.Sprintf("batcher: room for %d outputs, %d rows have %d", len(outputs), t.n, want))
	}
}

// Abandon gives the places up: their rows are not run. It may be called in place of Wait, before or after Commit.
func (t *Ticket) Abandon() {
	t.q.count.abandoned.Add(uint64(t.n))
	if t.state.CompareAndSwap(ticketOpen, ticketGone) {
		now := t.q.pool.now()
		for k := range t.parts {
			t.parts[k].b.commit(t.parts[k].n, now, false)
		}
	} else {
		t.state.CompareAndSwap(ticketWaiting, ticketGone)
	}
	t.release()
}

// partDone says that one batch has answered its part, and gives up that batch's claim on the ticket.
func (t *Ticket) partDone() {
	if t.left.Add(-1) == 0 && t.state.CompareAndSwap(ticketWaiting, ticketDone) {
		t.ended()
	}
	t.release()
}

// expire ends the ticket if it waits and its deadline has come. The caller holds one of its references, and no lock.
func (t *Ticket) expire(now int64) {
	if t.overdue(now) {
		t.ended()
	}
}

// overdue is expire, but for telling: true says that ended is due.
func (t *Ticket) overdue(now int64) bool {
	return now >= t.deadline && t.state.CompareAndSwap(ticketWaiting, ticketExpired)
}

// ended tells of the end, once.
func (t *Ticket) ended() {
	if t.receiver != nil {
		t.receiver.Answered(t)
		return
	}
	t.wake <- signalEnd
}

func (t *Ticket) release() {
	if t.refs.Add(-1) != 0 {
		return
	}
	for len(t.wake) > 0 { // a hint, or an end that its caller did not need
		<-t.wake
	}
	q := t.q
	clear(t.results)
	clear(t.outputs)
	clear(t.parts)
	t.q, t.parts, t.receiver = nil, t.parts[:0], nil
	q.pool.tickets.Put(t)
}

func fill(out []Result, err error) {
	for i := range out {
		out[i] = Result{Err: err}
	}
}
