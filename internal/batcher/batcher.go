// Package batcher is the autobatcher: it joins rows of many concurrent callers into batches and runs each batch with
// one call, for any engine that scores rows.
//
// The life of a row:
//
//	t, err := queue.Claim(n, deadline)   // n places in the open batch, or ErrShed, ErrExpired, ErrClosed at once
//	copy(t.Row(i), …)                    // written without a lock, into the engine's memory; Place(i) for typed columns
//	t.Commit()                           // the engine checks the rows (ErrRow); from here on they are the batch's
//	err = t.Wait(ctx, out)               // commits if the caller has not; one wake-up for all n rows
//
// WaitColumns replaces Wait for engines with several outputs. Then replaces it for callers that do not wait.
//
// A queue takes each claim in by what its engine's runs cost (way.go): where joining does not pay, as for plans of a few
// microseconds, the caller runs its own rows when it commits; and many rows run in chunks.
//
// A Pool owns runner threads and a clock. A Queue belongs to one engine (one version of one model), so that versions
// never mix in a batch. Its Policy decides when a batch that is not full leaves. Queues share runners by CPU time.
package batcher

import (
	"errors"
	"fmt"
)

// The errors that a caller may branch on. Every error of a row or a claim wraps one of them.
var (
	// ErrExpired: the row's deadline passed, or the caller's context ended, before the row was answered.
	ErrExpired = errors.New("batcher: expired: the deadline passed before the row was answered")
	// ErrRow: the engine refuses this row. Another row's fault is never reported with it.
	ErrRow = errors.New("batcher: the engine refuses this row")
	// ErrShed: the claim was refused, because the queue is full or no answer is expected by the deadline.
	ErrShed = errors.New("batcher: shed")
	// ErrClosed: the queue was closed before the claim, or before it could run the row.
	ErrClosed = errors.New("batcher: closed")
	// ErrRun: the run failed, and no row is known to be the cause.
	ErrRun = errors.New("batcher: run failed")
)

// The two reasons for ErrShed.
var (
	errFull = fmt.Errorf("%w: the queue is full (raise queue_rows, or offer less)", ErrShed)
	errLate = fmt.Errorf("%w: no answer can be expected by the deadline", ErrShed)
)

// Result is the answer to one row.
type Result struct {
	// Probability is the first value of the engine's first output. It is valid if Err is nil. A float64 is rounded;
	// WaitColumns gives it exactly.
	Probability float32
	Err         error // nil, or wraps ErrRow, ErrExpired, ErrRun or ErrClosed
}
