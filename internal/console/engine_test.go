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

// newEngine scores rows of one index. Its runs take longer than the lowest bound of a histogram.
func newEngine() *enginetest.Fake {
	e := enginetest.NewFake(enginetest.Indices(1))
	e.Before = func(int) error { time.Sleep(50 * time.Microsecond); return nil }
	return e
}

// newQueue is a queue of pool that q knows under model.
func newQueue(t *testing.T, q *Queues, pool *batcher.Pool, model string, o batcher.QueueOptions) *batcher.Queue {
	t.Helper()
	queue, err := pool.NewQueue(newEngine(), o)
	if err != nil {
		t.Fatal(err)
	}
	q.Add(model, queue)
	return queue
}

// score has a queue answer so many rows of one claim.
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
