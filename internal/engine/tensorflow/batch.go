package tensorflow

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"gavel/internal/engine"
)

// maxBatchBytes bounds one batch's row memory.
const maxBatchBytes = 1 << 30

var (
	_ engine.Batch = (*Batch)(nil)
	_ engine.Meter = (*Batch)(nil)
)

// Batch is memory for rows and their probabilities, in C, aligned for TensorFlow so that a run reads the rows where
// the callers wrote them.
type Batch struct {
	session *Session
	c       *C.gavel_batch
	inputs  [1]engine.Column // capacity × RowLen int32, C memory
	outputs [1]engine.Column // capacity float32, C memory
}

// RunError is a run that TensorFlow refused. Code is TF_Code: 3, invalid argument, is the rows' fault.
type RunError struct {
	Code    int
	Message string
}

func (e *RunError) Error() string {
	return fmt.Sprintf("tensorflow: run failed (code %d): %s", e.Code, e.Message)
}

// NewBatch implements engine.Engine. The batch keeps the session alive until it is closed.
func (s *Session) NewBatch(capacity int) (engine.Batch, error) {
	if capacity < 1 || capacity > maxBatchBytes/4/s.rowLen {
		return nil, fmt.Errorf("tensorflow: cannot make a batch of %d rows of %d indices; use 1 to %d rows",
			capacity, s.rowLen, maxBatchBytes/4/s.rowLen)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("tensorflow: cannot make a batch: the session is closed")
	}
	c := C.gavel_new_batch(C.int64_t(capacity), C.int64_t(s.rowLen))
	if c == nil {
		return nil, fmt.Errorf("tensorflow: cannot make a batch of %d rows of %d indices: out of memory", capacity, s.rowLen)
	}
	s.batches++
	liveBatches.Add(1)
	rows := unsafe.Slice((*int32)(unsafe.Pointer(C.gavel_batch_rows(c))), capacity*s.rowLen)
	probabilities := unsafe.Slice((*float32)(unsafe.Pointer(c.probabilities)), capacity)
	return &Batch{
		session: s,
		c:       c,
		inputs:  [1]engine.Column{{Type: engine.Int32, Width: s.rowLen, Int32: rows}},
		outputs: [1]engine.Column{{Type: engine.Float32, Width: 1, Float32: probabilities}},
	}, nil
}

// Inputs implements engine.Batch: one column of indices.
func (b *Batch) Inputs() []engine.Column { return b.inputs[:] }

// Outputs implements engine.Batch: one column of probabilities.
func (b *Batch) Outputs() []engine.Column { return b.outputs[:] }

// Run scores rows [0, n). An error fails them all: a *RunError where TensorFlow refused, whose message names the index
// if one is outside the table; an *engine.RowError where one row's result is no probability (a model that diverged).
func (b *Batch) Run(n int) error {
	if b.c == nil {
		return errors.New("tensorflow: cannot run a closed batch")
	}
	if n < 1 || n > int(b.c.capacity) {
		return fmt.Errorf("tensorflow: cannot run %d rows of a batch for %d", n, int(b.c.capacity))
	}
	var row C.int64_t
	rc := C.gavel_run(b.session.c, b.c, C.int64_t(n), &row)
	if rc == C.GAVEL_OK {
		return nil
	}
	return b.fault(rc, n, int(row))
}

// RunCPU implements engine.Meter: the CPU time of the calling thread, which is all there is with CallerThread. The first
// runs of a session are measured, then one in eight.
func (b *Batch) RunCPU() time.Duration { return time.Duration(b.c.cpu_ns) }

func (b *Batch) fault(rc C.int, n, row int) error {
	switch rc {
	case C.GAVEL_FAILED:
		return &RunError{Code: int(C.TF_GetCode(b.c.status)), Message: message(b.c.status)}
	case C.GAVEL_BAD_OUTPUT:
		return fmt.Errorf("tensorflow: the model's output for %d rows is not float32[%d]", n, n)
	case C.GAVEL_BAD_VALUE:
		return &engine.RowError{Row: row, Err: fmt.Errorf("tensorflow: the model's result %v is not a probability", b.outputs[0].Float32[row])}
	default:
		return errors.New("tensorflow: cannot run: out of memory")
	}
}

// Close frees the memory, and the session with it if that was closed before and this was its last batch. A second call
// does nothing.
func (b *Batch) Close() {
	if b.c == nil {
		return
	}
	C.gavel_free_batch(b.c)
	b.c, b.inputs, b.outputs = nil, [1]engine.Column{}, [1]engine.Column{}
	liveBatches.Add(-1)
	s := b.session
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches--
	if s.closed && s.batches == 0 {
		_ = s.free() // the session's owner was told of the open batch; there is nobody else to tell
		trim()
	}
}
