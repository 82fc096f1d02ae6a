package batcher

import (
	"context"
	"fmt"
)

// Close refuses new claims, runs what is queued, answers every row, and frees every batch. It waits for callers to commit or
// abandon what they have claimed.
//
// If ctx ends first, rows whose run has not begun get ErrClosed, and the error says how many batches are still in use. These
// are freed when their runs end and their callers commit or abandon. Close may be called again to wait for that. The
// engine must stay usable until Close has returned nil.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	q.closing = true
	now := q.pool.now()
	if b := q.open; b != nil {
		q.seal(b, causeClose, now)
	}
	last := q.lastOut()
	q.mu.Unlock()
	if last {
		q.destroy()
	}
	select {
	case <-q.drained:
		return nil
	case <-ctx.Done():
	}
	q.aborted.Store(true)
	q.abort()
	q.mu.Lock()
	out := len(q.all) - len(q.idle)
	q.mu.Unlock()
	if out == 0 {
		<-q.drained
		return nil
	}
	return fmt.Errorf("batcher: cannot close queue %q in time: %d of its batches are still running or being written: %w",
		q.o.Name, out, context.Cause(ctx))
}

// lastOut returns true once, when the queue is closing and no batch is in use. Its caller must then call destroy. The lock
// is held.
func (q *Queue) lastOut() bool {
	if !q.closing || q.destroyed || len(q.idle) < len(q.all) || q.making {
		return false
	}
	q.destroyed = true
	return true
}

func (q *Queue) destroy() {
	q.pool.remove(q)
	q.freeMemory()
	close(q.drained)
}

func (q *Queue) freeMemory() {
	for _, b := range q.all {
		b.mem.Close()
	}
}
