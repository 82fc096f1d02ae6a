// Package batcher is the autobatcher: it joins rows of many concurrent callers into batches and runs each batch with
// one call, for any engine that scores rows.
//
// The life of a row:
//
//	t, err := queue.Claim(n, deadline)   // n places in the open batch, or ErrShed, ErrExpired, ErrClosed at once
//	copy(t.Row(i), …)                    // written outside any lock, straight into the engine's memory; Place(i) for typed columns
//	t.Commit()                           // checked (ErrRow), then the batch's; Wait does it where the caller did not
//	err = t.Wait(ctx, out)               // one wake for all n rows; WaitOutputs for engines of several outputs
//
// A Pool owns runner threads and a clock. A Queue belongs to one engine (one version of one model), so that versions
// never mix in a batch, and fills batches by its Policy. Runners are shared between queues by CPU time.
package batcher

import (
	"errors"
	"fmt"
)

// What a caller may branch on. All that the batcher returns wrap one of these.
var (
	// ErrExpired: the row's deadline, or the caller's context, ended before it was answered.
	ErrExpired = errors.New("batcher: expired: the deadline passed before the row was answered")
	// ErrRow: the engine refuses this row. Another row's fault is never reported with it.
	ErrRow = errors.New("batcher: the engine refuses this row")
	// ErrShed: not taken in, because the queue is full or no answer can be expected by the deadline.
	ErrShed = errors.New("batcher: shed")
	// ErrClosed: the queue takes no more rows, or was closed before it could run this one.
	ErrClosed = errors.New("batcher: closed")
	// ErrRun: the engine failed, not because of a row that could be named.
	ErrRun = errors.New("batcher: run failed")
)

// The two faces of ErrShed.
var (
	errFull = fmt.Errorf("%w: the queue is full (raise queue_rows, or offer less)", ErrShed)
	errLate = fmt.Errorf("%w: no answer can be expected by the deadline", ErrShed)
)

// Result is the answer to one row.
type Result struct {
	// Probability is the first value of the engine's first output, valid where Err is nil. A float64 is rounded here;
	// WaitOutputs gives it exactly.
	Probability float32
	Err         error // ErrRow, ErrExpired, ErrRun or ErrClosed
}
