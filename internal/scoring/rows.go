package scoring

import (
	"context"
	"slices"
	"sync"
	"time"

	"gavel/internal/batcher"
)

// Receiver is told what became of rows that were started.
type Receiver interface {
	// Scored has the error of Score, and its results unless no row was taken. It is called once, by any goroutine. It must
	// not block, and must not keep results.
	Scored(results []Result, err error)
}

// Score answers len(results) ≥ 1 rows, one after the other in rows, by the deadline, and keeps neither slice. The rows
// share batches with all others of the version. The error is nil if every row has a probability; else it is the first
// row's, or ErrShed, ErrExpired or ErrClosed, under which no row has one.
func (v *Version) Score(rows []int32, deadline time.Time, results []Result) error {
	ticket, err := v.claim(rows, len(results), deadline)
	if err != nil {
		return err
	}
	return ticket.Wait(context.Background(), results)
}

// Start is Score for callers that do not wait. It does not block; done is called once, possibly before Start returns. rows
// is not kept. Start returns false, and has done nothing, where few others would share the batch: a caller that waits may
// run the batch itself, and is then answered sooner.
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

// claim writes n rows into the queue's open batches. The ticket is not committed.
func (v *Version) claim(rows []int32, n int, deadline time.Time) (*batcher.Ticket, error) {
	ticket, err := v.queue.Claim(n, deadline)
	if err != nil {
		return nil, err
	}
	written := false
	defer func() {
		if !written { // a panic: rows that are never committed hold their batch for ever
			ticket.Abandon()
		}
	}()
	for i := range n {
		copy(ticket.Row(i), rows[i*v.rowLen:(i+1)*v.rowLen])
	}
	written = true
	return ticket, nil
}

// started are rows that no caller waits for. It hands their results on.
type started struct {
	done    Receiver
	results []Result
}

var startedRows = sync.Pool{New: func() any { return new(started) }}

// Answered implements batcher.Receiver.
func (s *started) Answered(t *batcher.Ticket) {
	err := t.Collect(s.results)
	s.done.Scored(s.results, err)
	clear(s.results) // errors
	s.done = nil
	startedRows.Put(s)
}
