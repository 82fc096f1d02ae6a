package scoring

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/engine"
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
	ticket, err := v.claimRows(rows, len(results), deadline)
	if err != nil {
		return err
	}
	return ticket.Wait(context.Background(), results)
}

// ScoreColumns scores rows [0,n), n ≥ 1, of inputs by the deadline, and waits until they are done or the deadline passes. inputs
// are columns of Schema().Inputs, outputs columns of Schema().Outputs, all for n rows or more; the zero deadline means none.
// errs has a place for each row. ScoreColumns keeps none of the slices, and does not allocate. The rows may share batches with
// other callers' rows; what a row's outputs are does not depend on that.
//
// errs[i] is nil exactly if row i has outputs. The error is nil if all rows have, and otherwise wraps what Score's does. If it
// is ErrRow, the model refused at least one row, and the outputs of the others hold. If the queue accepted no row, its error is
// every row's.
func (v *Version) ScoreColumns(inputs []engine.Column, n int, deadline time.Time, outputs []engine.Column, errs []error) error {
	ticket, err := v.claim(n, deadline, func(t *batcher.Ticket) { t.Write(inputs) })
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return err
	}
	return ticket.WaitColumns(context.Background(), outputs, errs[:n])
}

// Start scores n ≥ 1 rows without blocking. It passes the results to done, possibly before it returns, and does not keep
// rows.
//
// If the caller is answered sooner by Score, which may run a batch, Start does nothing and returns false: traffic is too light to
// fill batches, and the rows take too long for a caller that must not block.
func (v *Version) Start(rows []int32, n int, deadline time.Time, done Receiver) bool {
	if !v.queue.Quick(n) && !v.queue.Crowded() {
		return false
	}
	v.start(rows, n, deadline, done)
	return true
}

// Quick says that ScoreColumns, Score or Start would run n rows in the caller's goroutine, in less than 20 µs: an event loop may
// wait for that.
func (v *Version) Quick(n int) bool { return v.queue.Quick(n) }

func (v *Version) start(rows []int32, n int, deadline time.Time, done Receiver) {
	ticket, err := v.claimRows(rows, n, deadline)
	if err != nil {
		done.Scored(nil, err)
		return
	}
	s := startedRows.Get().(*started)
	s.done = done
	s.results = slices.Grow(s.results[:0], n)[:n]
	ticket.Then(s)
}

// claim claims n places in the queue's open batches, and has write fill them. The caller must end the ticket.
func (v *Version) claim(n int, deadline time.Time, write func(t *batcher.Ticket)) (*batcher.Ticket, error) {
	ticket, err := v.queue.Claim(n, deadline)
	if err != nil {
		return nil, err
	}
	written := false
	defer func() {
		if !written { // write panicked: a batch with uncommitted rows would never run
			ticket.Abandon()
		}
	}()
	write(ticket)
	written = true
	return ticket, nil
}

// claimRows is claim for rows of indices.
func (v *Version) claimRows(rows []int32, n int, deadline time.Time) (*batcher.Ticket, error) {
	if v.rowLen == 0 {
		return nil, errColumns
	}
	return v.claim(n, deadline, func(t *batcher.Ticket) {
		for i := range n {
			copy(t.Row(i), rows[i*v.rowLen:(i+1)*v.rowLen])
		}
	})
}

// errColumns is the answer to rows of indices for a version that has none.
var errColumns = errors.New("scoring: the version's rows are typed columns, not indices; send its named inputs")

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
