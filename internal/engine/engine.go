// Package engine says what scores rows: an Engine is a loaded model, a Batch is memory for rows and their outputs.
// The package holds the interfaces, the types of columns, and the loaders by format. Each engine is a package below it,
// and each passes the conformance suite in enginetest.
//
// The life of an engine:
//
//	loaders.Load(version) ──► Engine ──► NewBatch(capacity) ──► write Inputs ──► Run(n) ──► read Outputs ──► Batch.Close
//	                            └──────────────────────────── Close, after the last batch ◄──────────────────────┘
package engine

import (
	"errors"
	"fmt"
	"time"
)

// Engine is a loaded model. Implementations are safe for concurrent use; batches of one engine may run side by side.
type Engine interface {
	// Schema is what a row holds and what a run gives. It is the same for the engine's life, and read-only.
	Schema() *Schema
	// NewBatch allocates memory for capacity rows and their outputs, all zeros and empty texts. A row of those must be
	// one that the engine can score, or names as at fault: the batcher runs it to tell a broken engine from a bad row.
	NewBatch(capacity int) (Batch, error)
	// Close frees the engine. Batches that are still open keep its memory until they are closed; the error says so.
	Close() error
}

// Batch is memory for rows and their outputs. Run, Outputs and Close are called from one goroutine at a time. Rows are
// written through Inputs by many goroutines, each its own row, while no run is under way.
type Batch interface {
	// Inputs are the columns of Schema.Inputs, in that order, each capacity rows long. Neither the slice nor what its
	// columns point to moves before Close, so that callers may keep it: writing a row needs no call of the engine.
	Inputs() []Column
	// Outputs are the columns of Schema.Outputs, as Inputs. Rows [0,n) hold the results after a Run(n) that returned
	// nil, until the next run.
	Outputs() []Column
	// Run scores rows [0,n), 1 ≤ n ≤ capacity. An error fails all of them; one that is or wraps a *RowError names the row
	// at fault. One that is or wraps a *RowErrors fails only the rows that it names: the outputs of all others hold. The outputs of a row depend on that row alone: not on n, nor on its place, nor on other rows. A run that
	// fails or not leaves every input as it is, and the outputs of rows from n on.
	Run(n int) error
	// Close frees the memory. It is called once; nothing of the batch is used afterwards.
	Close()
}

// Validator is what an Engine implements to refuse a row before it joins a run. Validate is asked of row i of a batch's
// Inputs, in the goroutine that wrote the row, concurrently with others. It must keep nothing of the columns.
type Validator interface {
	Validate(inputs []Column, i int) error
}

// Sampler is what an Engine implements that can write rows like those of traffic. Sample fills row i of a batch's Inputs
// with random values that the engine scores. The batcher calibrates with such rows: rows of zeros can cost a third of
// what traffic's do.
type Sampler interface {
	Sample(inputs []Column, i int)
}

// SampleTaker is a Sampler that cannot make up rows, because they hold texts or categories that only traffic has. It draws from
// rows that whoever loads it knows: golden rows. TakeSamples is called once, before the engine is used concurrently, and the
// rows do not change afterwards.
type SampleTaker interface {
	Sampler
	TakeSamples(s Samples)
}

// Sized is what an Engine implements that knows its memory.
type Sized interface {
	// Memory is how many bytes the engine keeps: all that it alone uses, and of each part that n engines of the process share
	// an n-th, so that the sum over engines counts each part once. It may be called at any time, also concurrently.
	Memory() int64
}

// Samples are rows in the columns of a schema's inputs.
type Samples struct {
	Columns []Column
	Rows    int
}

// Labeler is what an Engine implements whose output "probability" has a column for each class.
type Labeler interface {
	// Labels are the classes in the order of those columns: all string, all int64 or all float64. They are read-only; nil
	// if the model has none.
	Labels() []any
}

// Meter is what a Batch implements that can tell the CPU time of its runs. It differs from their duration where
// processors are scarce.
type Meter interface {
	// RunCPU is the CPU time of the last Run, 0 where it was not measured; it need not measure each.
	RunCPU() time.Duration
}

// RowError is how Batch.Run names the row that made it fail.
type RowError struct {
	Row int // index in the batch
	Err error
	// Outputs are the columns that do not hold for this row; the others do. The zero value: none holds. Only a Joined engine sets
	// it. Whoever does not look at it takes the whole row for failed, which is safe.
	Outputs Span
}

func (e *RowError) Error() string { return fmt.Sprintf("row %d: %v", e.Row, e.Err) }
func (e *RowError) Unwrap() error { return e.Err }

// RowErrors is how Batch.Run names every row that failed, where the others did not: an engine that checks rows as it scores
// them need not run the others again.
type RowErrors struct {
	Rows []RowError // ascending by row, at least one; a row stands more than once only if their Outputs differ
}

func (e *RowErrors) Error() string {
	if len(e.Rows) == 1 {
		return e.Rows[0].Error()
	}
	return fmt.Sprintf("%d rows failed, the first of them %v", len(e.Rows), &e.Rows[0])
}

// What a loader's error wraps, so that a refused version is counted by its reason.
var (
	// ErrLoad: the engine cannot read the files.
	ErrLoad = errors.New("engine: the model cannot be read")
	// ErrObject: a part that the model shares with others is missing or damaged. The error names it.
	ErrObject = errors.New("engine: an object cannot be used")
	// ErrSignature: names, types or shapes are not what the version's manifest says.
	ErrSignature = errors.New("engine: the model is not what its manifest says")
	// ErrFormat: no loader is known for the format.
	ErrFormat = errors.New("engine: no loader for the format")
)
