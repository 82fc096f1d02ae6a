// Package batcher is the autobatcher: it joins rows of many concurrent callers into batches and runs each batch with
// one call, for any engine that scores rows.
//
// The life of a row:
//
//	t, err := queue.Claim(n, deadline)   // n places in the open batch, or ErrShed, ErrExpired, ErrClosed at once
//	copy(t.Row(i), …)                    // written outside any lock, straight into the engine's memory
//	t.Commit()                           // checked (ErrRow), then the batch's; Wait does it where the caller did not
//	err = t.Wait(ctx, out)               // one wake for all n rows
//
// A Pool owns runner threads and a clock. A Queue belongs to one engine (one version of one model), so that versions
// never mix in a batch, and fills batches by its Policy. Runners are shared between queues by CPU time.
package batcher

import (
	"errors"
	"fmt"
	"time"
)

// Engine makes batches that it can score. Implementations are safe for concurrent use.
//
// A row of zeros must be one that the engine can score: the batcher runs it to tell a broken engine from a bad row,
// and to calibrate.
type Engine interface {
	// RowLen is how many int32 a row holds, > 0, the same for the engine's life.
	RowLen() int
	// NewBatch allocates memory for capacity rows and their results.
	NewBatch(capacity int) (Batch, error)
}

// Validator is what an engine implements to refuse a row before it joins a run. Validate is called in the caller's
// goroutine, concurrently; it must not keep row. Its error reaches the caller wrapped in ErrRow.
type Validator interface {
	Validate(row []int32) error
}

// Batch is memory for rows and their results. The batcher calls Run, Probabilities and Close from one goroutine at a
// time; rows are written through Rows by many, each its own part.
type Batch interface {
	// Rows is capacity × RowLen, row-major, at an address that does not change.
	Rows() []int32
	// Run scores rows [0,n), 1 ≤ n ≤ capacity. An error fails all of them; one that is or wraps a *RowError names
	// the row at fault.
	Run(n int) error
	// Probabilities is capacity long; [0,n) holds the results after a Run(n) that returned nil, until the next.
	Probabilities() []float32
	// Close frees the memory. It is called once; Rows and Probabilities are not used afterwards.
	Close()
}

// Meter is what a Batch implements that can tell the CPU time of its runs. It differs from their duration where
// processors are scarce, and is what waiting for company saves.
type Meter interface {
	// RunCPU is the CPU time of the last Run, 0 where it was not measured; it need not measure each.
	RunCPU() time.Duration
	// Measure has the next Run measured, but for an engine's very first. It is called like Run.
	Measure()
}

// RowError is how Batch.Run names the row that made it fail.
type RowError struct {
	Row int // index in the batch
	Err error
}

func (e *RowError) Error() string { return fmt.Sprintf("row %d: %v", e.Row, e.Err) }
func (e *RowError) Unwrap() error { return e.Err }

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
	Probability float32 // valid where Err is nil
	Err         error   // ErrRow, ErrExpired, ErrRun or ErrClosed
}
