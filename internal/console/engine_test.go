package console

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gavel/internal/batcher"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine answers 0.5 for each row of one index. Its runs take longer than the lowest bound of a histogram.
type engine struct{}

func (engine) RowLen() int { return 1 }

func (engine) NewBatch(capacity int) (batcher.Batch, error) {
	b := &engineBatch{rows: make([]int32, capacity), out: make([]float32, capacity)}
	for i := range b.out {
		b.out[i] = 0.5
	}
	return b, nil
}

type engineBatch struct {
	rows []int32
	out  []float32
}

func (b *engineBatch) Rows() []int32            { return b.rows }
func (b *engineBatch) Probabilities() []float32 { return b.out }
func (b *engineBatch) Run(int) error            { time.Sleep(50 * time.Microsecond); return nil }
func (b *engineBatch) Close()                   {}

// newPool is a pool of one runner, which the test's end closes.
func newPool(t *testing.T) *batcher.Pool {
	t.Helper()
	pool, err := batcher.NewPool(batcher.PoolOptions{Runners: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			t.Errorf("a ticket was left open: %v", err)
		}
	})
	return pool
}

// newQueue is a queue of pool that q knows under model.
func newQueue(t *testing.T, q *Queues, pool *batcher.Pool, model string, o batcher.QueueOptions) *batcher.Queue {
	t.Helper()
	queue, err := pool.NewQueue(engine{}, o)
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
