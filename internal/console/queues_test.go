package console

import (
	"context"
	"testing"
	"time"

	"gavel/internal/batcher"
)

func TestBusiest(t *testing.T) {
	pool, queues := newPool(t), NewQueues()
	add := func(model string, claims int) *batcher.Queue {
		queue := newQueue(t, queues, pool, model, batcher.QueueOptions{})
		for range claims {
			ticket, err := queue.Claim(1, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			ticket.Abandon()
		}
		return queue
	}
	if q := queues.Busiest("ctr"); q != nil {
		t.Errorf("an empty registry has %v", q)
	}
	add("ctr", 0)
	add("cvr", 3)
	if q := queues.Busiest("ctr"); q != nil {
		t.Errorf("a queue without claims is the busiest: %v", q)
	}
	stable := add("ctr", 2)
	add("ctr", 1)
	if q := queues.Busiest("ctr"); q != stable {
		t.Error("the busiest is not the queue with two claims")
	}
	queues.Retire(stable)
	if q := queues.Busiest("ctr"); q == nil || q == stable {
		t.Errorf("once the busiest has retired, it is %v", q)
	}
}

func TestRetiredQueuesAreCounted(t *testing.T) {
	pool, queues := newPool(t), NewQueues()
	want := uint64(0)
	for version := range 3 {
		queue := newQueue(t, queues, pool, "ctr", batcher.QueueOptions{})
		for range version + 1 {
			score(t, queue, 2)
			want += 2
		}
		if got := queues.byModel()["ctr"]; got.RunRows != want || got.BatchRows.Sum != float64(want) {
			t.Errorf("version %d: %d rows, %v in the histogram, want %d", version, got.RunRows, got.BatchRows.Sum, want)
		}
		if version == 2 {
			break // stays
		}
		if err := queue.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		queues.Retire(queue)
		queues.Retire(queue) // is not known any more
		got := queues.byModel()["ctr"]
		if got.RunRows != want || got.Answered != want || got.QueueTime.Count != want {
			t.Errorf("after version %d had retired: %d rows, %d answered, %d timed; want %d", version, got.RunRows, got.Answered, got.QueueTime.Count, want)
		}
		if got.QueueCapacity != 0 || got.Settings.MaxRows != 0 || got.Curve != nil {
			t.Errorf("a retired queue has room for %d rows, batches of %d, a curve %v", got.QueueCapacity, got.Settings.MaxRows, got.Curve)
		}
	}
	if n := len(queues.live); n != 1 {
		t.Errorf("%d live queues, want 1", n)
	}
}
