package console

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gavel/internal/batcher"
	"gavel/internal/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEngine returns an engine for rows of one index. A run takes longer than the lowest bound of a histogram.
func newEngine() *enginetest.Fake {
	e := enginetest.NewFake(enginetest.Indices(1))
	e.Before = func(int) error { time.Sleep(50 * time.Microsecond); return nil }
	return e
}

// newQueue returns a new queue of pool, which it has added to q as a queue of model.
func newQueue(t *testing.T, q *Queues, pool *batcher.Pool, model string, o batcher.QueueOptions) *batcher.Queue {
	t.Helper()
	queue, err := pool.NewQueue(newEngine(), o)
	if err != nil {
		t.Fatal(err)
	}
	q.Add(model, queue)
	return queue
}

// score claims rows, and waits until they are scored.
func score(t *testing.T, queue *batcher.Queue, rows int) {
	t.Helper()
	ticket, err := queue.Claim(rows, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := ticket.Wait(context.Background(), make([]batcher.Result, rows)); err != nil {
		t.Fatal(err)
	}
}
