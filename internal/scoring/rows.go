package scoring

import (
	"context"
	"slices"
	"sync"
	"time"

	"gavel/internal/batcher"
)

// Receiver receives the results of rows that were passed to Start.
type Receiver interface {
	// Scored is called once, in any goroutine, with the error and the results of Score. If the queue accepted no row,
	// results is nil. Scored must not block, and must not keep results.
	Scored(results []Result, err error)
}

// Score scores n = len(results) ≥ 1 rows, and waits until they are done or the deadline passes. rows is int32[n, row
// length], row after row; the zero deadline means none. Score keeps neither slice. The rows share batches with other
// callers' rows.
//
// If the error is nil, every row has a probability. If it is ErrRow, the model refused at least one row; results then holds
// the probability or the error of each row. After any other error, results must not be used.
func (v *Version) Score(rows []int32, deadline time.Time, results []Result) error {
	ticket, err := v.claim(rows, len(results), deadline)
	if err != nil {
		return err
	}
	return ticket.Wait(context.Background(), results)
}

// Start scores n ≥ 1 rows without blocking. It passes the results to done, possibly before it returns, and does not keep
// rows.
//
// If traffic is too light to fill batches, Start does nothing and returns false. The caller should call Score instead: a
// caller that waits may run its own batch, which is faster.
func (v *Version) Start(rows []int32, n int, deadline time.Time, done Receiver) bool {
	if !v.queue.Crowded() {
		return false
	}
	v.start(rows, n, deadline, done)
	return true
}

func (v *Version) start(rows []int32, n int, deadline time.Time, done Receiver) {
	ticket, err := v.claim(rows, n, deadline)
	if err != nil {
		done.Scored(nil, err)
		return
	}
	s := startedRows.Get().(*started)
	s.done = done
	s.results = slices.Grow(s.results[:0], n)[:n]
	ticket.Then(s)
}

// claim copies n rows into the queue's open batches. The caller must commit the ticket.
func (v *Version) claim(rows []int32, n int, deadline time.Time) (*batcher.Ticket, error) {
	ticket, err := v.queue.Claim(n, deadline)
	if err != nil {
		return nil, err
	}
	written := false
	defer func() {
		if !written { // a copy panicked: a batch with uncommitted rows would never run
			ticket.Abandon()
		}
	}()
	for i := range n {
		copy(ticket.Row(i), rows[i*v.rowLen:(i+1)*v.rowLen])
	}
	written = true
	return ticket, nil
}

// started passes the results of a ticket to its Receiver.
type started struct {
	done    Receiver
	results []Result
}

var startedRows = sync.Pool{New: func() any { return new(started) }}

// Answered implements batcher.Receiver.
func (s *started) Answered(t *batcher.Ticket) {
	err := t.Collect(s.results)
	s.done.Scored(s.results, err)
	clear(s.results) // so that the pool keeps no row's error
	s.done = nil
	startedRows.Put(s)
}
