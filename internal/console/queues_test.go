package console

import (
	"context"
	"testing"

	"gavel/internal/batcher"
	"gavel/internal/batcher/batchertest"
)

func TestRetiredQueuesStillCount(t *testing.T) {
	pool, queues := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1}), NewQueues()
	want := uint64(0)
	for version := range 3 {
		queue := newQueue(t, queues, pool, "ctr", batcher.QueueOptions{})
		for range version + 1 {
			score(t, queue, 2)
			want += 2
		}
		if got := queues.byModel()["ctr"]; got.RunRows != want || got.BatchRows.Sum != float64(want) {
			t.Errorf("version %d: %d rows counted, %v in the histogram, want %d", version, got.RunRows, got.BatchRows.Sum, want)
		}
		if version == 2 {
			break // the last version stays live
		}
		if err := queue.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		queues.Retire(queue)
		queues.Retire(queue) // an unknown queue is ignored
		got := queues.byModel()["ctr"]
		if got.RunRows != want || got.Answered != want || got.QueueTime.Count != want {
			t.Errorf("after version %d was retired: %d rows, %d answered, %d in the histogram of queue times; want %d", version, got.RunRows, got.Answered, got.QueueTime.Count, want)
		}
		if got.QueueCapacity != 0 || got.Settings.MaxRows != 0 || got.Curve != nil {
			t.Errorf("a retired queue has the capacity %d, max_rows %d and the curve %v, want none", got.QueueCapacity, got.Settings.MaxRows, got.Curve)
		}
	}
	if n := len(queues.live); n != 1 {
		t.Errorf("%d live queues, want 1", n)
	}
}
