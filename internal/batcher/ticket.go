package batcher

import (
	"context"
	"fmt"
	"sync/atomic"

	"gavel/internal/engine"
)

// Ticket is a claim: one caller's n places in one batch or in several. One goroutine at a time may use it.
//
// Exactly one of Wait, WaitColumns, Then and Abandon must follow every Claim, even if the caller panics: until the caller
// commits, its batch cannot run, and its queue cannot close. Afterwards the caller must not use the ticket, which may
// belong to another claim.
type Ticket struct {
	q        *Queue
	n        int
	claimed  int64 // ns on the pool's clock
	deadline int64
	parts    []part
	results  []Result // whoever refuses or runs a row writes its result; the caller reads them when the ticket has ended
	// outputs holds n × q.outputWidth values. It is empty if a row's outputs are one float32, which results hold.
	outputs []float64

	state atomic.Uint32
	// left counts the parts that have not been answered. Whoever answers the last one ends the ticket.
	left atomic.Int32
	// refs counts who may still use the ticket: its parts' batches, and its caller. The last returns it to the pool.
	refs atomic.Int32
	// wake has a capacity of 2, for the signals that there can be at once: one to rescue, one of the end.
	wake chan signal
	// receiver is called in place of the signal of the end, if the caller left with Then.
	receiver Receiver
}

// Receiver is called when a ticket ends whose caller does not wait for it.
type Receiver interface {
	// Answered is called once, as soon as Wait would return. It must call t.Collect, must not block, and must not panic.
	// It may run in the caller's goroutine within Then, in the clock's, or in a runner's, which runs no batch meanwhile.
	Answered(t *Ticket)
}

// part is consecutive places in one batch.
type part struct {
	b     *batch
	slot  int // first place in the batch
	first int // its row in the ticket
	n     int
}

// A ticket's states: open → waiting → done, expired or gone; or open → gone or expired.
const (
	ticketOpen    uint32 = iota // the caller writes rows
	ticketWaiting               // committed
	ticketDone                  // every row has its result; the end was or will be signalled
	ticketExpired               // the deadline passed; if another goroutine found that, the end was or will be signalled
	ticketGone                  // nobody wants the results of its batches
)

type signal uint8

const (
	signalEnd    signal = iota
	signalRescue        // run one of the queue's batches, because a due one waits for a runner
)

// Row returns row i, 0 ≤ i < n, for an engine whose inputs are one Int32 field; its length is the field's width. The row
// is all zeros at first. It lies in the engine's memory: write it before Commit, Wait or Then, and never afterwards. Row
// panics if the engine has other inputs, for which there is Place.
func (t *Ticket) Row(i int) []int32 {
	b, slot := t.place(i)
	c := &b.inputs[0]
	if len(b.inputs) != 1 || c.Type != engine.Int32 {
		panic(fmt.Sprintf("batcher: Row called on queue %q, whose engine's inputs are not one int32 field; use Place", t.q.o.Name))
	}
	return c.Int32[slot*c.Width : (slot+1)*c.Width : (slot+1)*c.Width]
}

// Place returns the columns in which row i, 0 ≤ i < n, lies, and its row there. The columns are the engine's inputs, in the
// order of its schema. The row holds zeros and empty texts at first, and may be written as Row says. Other rows of the
// columns belong to other callers.
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

// Write writes rows [0,n) of columns of the schema's inputs into the ticket's places, in place of Row or Place.
func (t *Ticket) Write(inputs []engine.Column) {
	for k := range t.parts {
		p := &t.parts[k]
		engine.CopyRows(p.b.inputs, p.slot, inputs, p.first, p.n)
	}
}

// Commit has the engine check the rows, and hands them over. Wait does so if the caller has not. A caller that holds
// several tickets commits all of them before the first Wait, so that their batches run concurrently. Commit runs the rows
// of a claim that is alone (see way.go).
func (t *Ticket) Commit() {
	if t.state.Load() == ticketOpen {
		t.commit(false)
	}
}

// commit is Commit of an open ticket. waits says that the ticket has not ended. If inline is true, commit may return a
// borrowed runner: its caller must then call runInline.
func (t *Ticket) commit(inline bool) (waits bool, borrowed *runner) {
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
		if r := t.parts[k].b.commit(t.parts[k].n, now, inline && borrowed == nil); r != nil {
			borrowed = r
		}
	}
	return waits, borrowed
}

// Then commits the ticket, and has r called when it ends, in place of Wait. It panics if the ticket was committed before.
// The caller runs no batch, unless its claim is alone (see way.go).
func (t *Ticket) Then(r Receiver) {
	if t.state.Load() != ticketOpen {
		panic("batcher: Then called after Commit, Wait, Then or Abandon")
	}
	t.receiver = r
	if waits, _ := t.commit(false); !waits {
		r.Answered(t)
	}
}

// Wait blocks until every row is answered, the deadline passes or ctx ends. It fills out, whose length must be n, with the
// rows' results. The error is nil if every row has a probability, else the first row's error, which wraps ErrRow,
// ErrExpired, ErrRun or ErrClosed. After ErrExpired no row has a result.
//
// Wait may run a batch in the caller's goroutine, if that is faster than waking a runner or if no runner comes. It then
// returns after the run, even if the deadline passes meanwhile.
func (t *Ticket) Wait(ctx context.Context, out []Result) error {
	if err := t.wait(ctx, len(out)); err != nil {
		fill(out, err)
		return err
	}
	return t.Collect(out)
}

// wait blocks until the ticket can be collected. If ctx ends first, it gives the ticket up and returns ErrExpired. room is
// the number of results that the caller has room for.
func (t *Ticket) wait(ctx context.Context, room int) error {
	if room != t.n {
		panic(fmt.Sprintf("batcher: Wait with room for %d results on a ticket of %d rows", room, t.n))
	}
	q := t.q
	if t.state.Load() == ticketOpen {
		if _, r := t.commit(true); r != nil {
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

// Collect is the end of Wait, for receivers: it fills out as Wait does. The ticket must not be used afterwards.
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

// WaitColumns is Wait for engines of columns. It fills outputs, columns of the schema's outputs for n rows or more, and errs,
// whose length must be n: errs[i] is nil if row i has outputs, else the row's error, and its outputs are zeros.
func (t *Ticket) WaitColumns(ctx context.Context, outputs []engine.Column, errs []error) error {
	err := t.wait(ctx, len(errs))
	if err == nil && t.state.Load() == ticketExpired {
		err = ErrExpired
		t.q.count.expired.Add(uint64(t.n))
		defer t.release()
	}
	if err != nil {
		engine.Clear(outputs, 0, len(errs))
		for i := range errs {
			errs[i] = err
		}
		return err
	}
	defer t.release()
	for i := range t.results {
		errs[i] = t.results[i].Err
	}
	t.fill(outputs)
	return t.q.count.tally(t.results)
}

// fill writes the outputs of the rows into columns.
func (t *Ticket) fill(outputs []engine.Column) {
	if t.q.outputWidth == 0 {
		for i := range t.results {
			outputs[0].Float32[i] = t.results[i].Probability
		}
		return
	}
	from := t.outputs // a row's values follow each other
	for k := range outputs {
		c := &outputs[k]
		for i := range t.n {
			values := from[i*t.q.outputWidth:][:c.Width]
			if c.Type == engine.Float64 {
				copy(c.Float64[i*c.Width:], values)
				continue
			}
			for j, v := range values {
				c.Float32[i*c.Width+j] = float32(v)
			}
		}
		from = from[min(c.Width, len(from)):]
	}
}

// Abandon ends the ticket without results: rows whose run has not begun are not run. Call it in place of Wait, before or
// after Commit.
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

// partDone counts one part as answered, and gives up its batch's reference.
func (t *Ticket) partDone() {
	if t.left.Add(-1) == 0 && t.state.CompareAndSwap(ticketWaiting, ticketDone) {
		t.signalEnd()
	}
	t.release()
}

// expire ends the ticket if it waits and its deadline has passed. The caller holds a reference, and no lock.
func (t *Ticket) expire(now int64) {
	if t.tryExpire(now) {
		t.signalEnd()
	}
}

// tryExpire is expire without the signal. If it returns true, its caller must call signalEnd.
func (t *Ticket) tryExpire(now int64) bool {
	return now >= t.deadline && t.state.CompareAndSwap(ticketWaiting, ticketExpired)
}

// signalEnd wakes the caller, or calls the receiver. Whoever ended the ticket calls it once.
func (t *Ticket) signalEnd() {
	if t.receiver != nil {
		t.receiver.Answered(t)
		return
	}
	t.wake <- signalEnd
}

// release gives up one reference.
func (t *Ticket) release() {
	if t.refs.Add(-1) != 0 {
		return
	}
	for len(t.wake) > 0 { // signals that the caller did not wait for
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
