package servable

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"gavel/internal/batcher"
)

// maxBatchBytes bounds one batch's row memory.
const maxBatchBytes = 1 << 30

var _ batcher.Meter = (*Batch)(nil)

// Batch is memory for rows and their probabilities, in C, aligned for TensorFlow so that a run reads the rows where
// the callers wrote them. A run is one cgo call and allocates nothing in Go. Run, Probabilities and Close are for one
// goroutine at a time; Rows may be written by many, each its own part, while no run is under way.
type Batch struct {
	session *Session
	c       *C.gavel_batch
	rows    []int32   // capacity × RowLen, C memory
	probs   []float32 // capacity, C memory
}

// RunError is a run that TensorFlow refused. Code is TF_Code: 3, invalid argument, is the rows' fault.
type RunError struct {
	Code    int
	Message string
}

func (e *RunError) Error() string {
	return fmt.Sprintf("servable: TensorFlow run failed (code %d): %s", e.Code, e.Message)
}

// NewBatch allocates memory for capacity rows, zeroed: the row of zeros is one that every model scores. The batch
// keeps the session alive until it is closed.
func (s *Session) NewBatch(capacity int) (batcher.Batch, error) { return s.newBatch(capacity) }

func (s *Session) newBatch(capacity int) (*Batch, error) {
	if capacity < 1 || capacity > maxBatchBytes/4/s.rowLen {
		return nil, fmt.Errorf("servable: cannot make a batch of %d rows of %d indices; use 1 to %d rows",
			capacity, s.rowLen, maxBatchBytes/4/s.rowLen)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("servable: cannot make a batch: the session is closed")
	}
	c := C.gavel_new_batch(C.int64_t(capacity), C.int64_t(s.rowLen))
	if c == nil {
		return nil, fmt.Errorf("servable: cannot make a batch of %d rows of %d indices: out of memory", capacity, s.rowLen)
	}
	s.batches++
	liveBatches.Add(1)
	return &Batch{
		session: s,
		c:       c,
		rows:    unsafe.Slice((*int32)(unsafe.Pointer(C.gavel_batch_rows(c))), capacity*s.rowLen),
		probs:   unsafe.Slice((*float32)(unsafe.Pointer(c.probabilities)), capacity),
	}, nil
}

// Rows is capacity × RowLen, row-major. It must not be used after Close.
func (b *Batch) Rows() []int32 { return b.rows }

// Probabilities is capacity long; [0, n) holds the results of the last Run(n) that returned nil. It must not be used
// after Close.
func (b *Batch) Probabilities() []float32 { return b.probs }

// Run scores rows [0, n). An error fails them all: a *RunError where TensorFlow refused, whose message names the index
// if one is outside the table; a *batcher.RowError where one row's result is no probability (a model that diverged).
func (b *Batch) Run(n int) error {
	if b.c == nil {
		return errors.New("servable: cannot run a closed batch")
	}
	if n < 1 || n > len(b.probs) {
		return fmt.Errorf("servable: cannot run %d rows of a batch for %d", n, len(b.probs))
	}
	var row C.int64_t
	rc := C.gavel_run(b.session.c, b.c, C.int64_t(n), &row)
	if rc == C.GAVEL_OK {
		return nil
	}
	return b.fault(rc, n, int(row))
}

// RunCPU implements batcher.Meter: the CPU time of the calling thread, which is all there is with CallerThread. The first
// runs of a session are measured, then one in eight and those that Measure asks for.
func (b *Batch) RunCPU() time.Duration { return time.Duration(b.c.cpu_ns) }

// Measure implements batcher.Meter. It must not be used after Close.
func (b *Batch) Measure() { b.c.measure = 1 }

func (b *Batch) fault(rc C.int, n, row int) error {
	switch rc {
	case C.GAVEL_FAILED:
		return &RunError{Code: int(C.TF_GetCode(b.c.status)), Message: message(b.c.status)}
	case C.GAVEL_BAD_OUTPUT:
		return fmt.Errorf("servable: the model's output for %d rows is not float32[%d]", n, n)
	case C.GAVEL_BAD_VALUE:
		return &batcher.RowError{Row: row, Err: fmt.Errorf("servable: the model's result %v is not a probability", b.probs[row])}
	default:
		return errors.New("servable: cannot run: out of memory")
	}
}

// Close frees the memory, and the session with it if that was closed before and this was its last batch. A second call
// does nothing.
func (b *Batch) Close() {
	if b.c == nil {
		return
	}
	C.gavel_free_batch(b.c)
	b.c, b.rows, b.probs = nil, nil, nil
	liveBatches.Add(-1)
	s := b.session
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches--
	if s.closed && s.batches == 0 {
		_ = s.free() // the session's owner was told of the open batch; there is nobody else to tell
	}
}
