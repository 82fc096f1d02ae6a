// Package batchertest makes runner pools for the tests of packages that use the batcher.
package batchertest

import (
	"context"
	"testing"
	"time"

	"gavel/internal/batcher"
)

// closeTimeout bounds how long a pool's queues may take to answer their last rows.
const closeTimeout = 10 * time.Second

// NewPool returns a pool that t's cleanup closes, with its queues. The test fails if the pool cannot be made, or if a
// ticket is still open when the pool closes.
func NewPool(t testing.TB, o batcher.PoolOptions) *batcher.Pool {
	t.Helper()
	pool, err := batcher.NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			t.Errorf("cannot close the pool within %v; is a ticket still open? %v", closeTimeout, err)
		}
	})
	return pool
}
