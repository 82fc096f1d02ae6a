package plan

// #include "runtime.h"
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// Profile runs rows [0, n), 1 ≤ n ≤ 64, of the batch so many times, and returns the least time that each stage took, in the order
// of Description.Stages. Caches are left out. Outputs stay as they are. Rows that stages refuse cost what they cost then.
func (b *Batch) Profile(n, rounds int) ([]time.Duration, error) {
	if b.c == nil || n < 1 || n > min(b.capacity, tile) || rounds < 1 {
		return nil, fmt.Errorf("plan: cannot profile %d rows %d times: an open batch of them is needed, and 1 to %d rows", n, rounds, tile)
	}
	if err := b.pack(n); err != nil {
		return nil, err
	}
	if len(b.unfit) > 0 {
		return nil, b.unfit[0].err
	}
	program := b.engine.program
	took := make([]C.uint64_t, len(program.steps)+1) // a plan may have no stage
	pool := &b.engine.objects.runs
	run, err := pool.take()
	if err != nil {
		return nil, err
	}
	failed := C.gv_profile(program.c, b.c, run, C.int32_t(n), C.int32_t(rounds), unsafe.SliceData(took))
	pool.give(run)
	if failed != 0 {
		return nil, errors.New("plan: cannot profile: out of memory")
	}
	durations := make([]time.Duration, len(program.steps))
	for i := range durations {
		durations[i] = time.Duration(took[i])
	}
	return durations, nil
}
