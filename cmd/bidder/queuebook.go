package main

import (
	"maps"
	"slices"
	"sync"
	"time"

	"gavel/internal/batcher"
)

// queueBook knows the batcher queues of all versions that were ever loaded. A queue serves one version of one model,
// but is counted by model alone, and a version that has gone keeps its counts here: the series stay few and only grow.
type queueBook struct {
	since time.Time // when it began to count

	mu      sync.Mutex
	live    []liveQueue              // the oldest first
	retired map[string]batcher.Stats // by model
}

// liveQueue is the queue of a version that serves, or finishes what it began.
type liveQueue struct {
	model string
	queue *batcher.Queue
}

func newQueueBook() *queueBook {
	return &queueBook{since: time.Now(), retired: make(map[string]batcher.Stats)}
}

func (b *queueBook) add(model string, q *batcher.Queue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live = append(b.live, liveQueue{model, q})
}

// busiest is the model's queue that most was claimed of, so a canary's hardly ever, of those whose versions are still here; nil:
// nothing was.
func (b *queueBook) busiest(model string) *batcher.Queue {
	b.mu.Lock()
	defer b.mu.Unlock()
	var busiest *batcher.Queue
	var most uint64
	for _, l := range b.live {
		if l.model != model {
			continue
		}
		if claims := l.queue.Stats().Claims; claims > most {
			busiest, most = l.queue, claims
		}
	}
	return busiest
}

// retire moves a closed queue's counts into its model's sum.
func (b *queueBook) retire(q *batcher.Queue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.live, func(l liveQueue) bool { return l.queue == q })
	if i < 0 {
		return
	}
	model := b.live[i].model
	b.live = slices.Delete(b.live, i, i+1)
	stats := q.Stats() // but for what is of a moment
	stats.Name, stats.Settings, stats.Curve, stats.BatchCost = "", batcher.QueueOptions{}, nil, 0
	stats.QueueRows, stats.QueueCapacity, stats.QueueHigh, stats.Running = 0, 0, 0, 0
	b.retired[model] = addStats(b.retired[model], stats)
}

// byModel sums each model's queues.
func (b *queueBook) byModel() map[string]batcher.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	sums := maps.Clone(b.retired)
	for _, l := range b.live {
		sums[l.model] = addStats(sums[l.model], l.queue.Stats())
	}
	return sums
}

// addStats adds what is exported; a's histograms are not changed. What is no sum, the name, the settings and what
// was learnt of costs, is b's: the newer version's.
func addStats(a, b batcher.Stats) batcher.Stats {
	a.Name, a.Settings, a.Curve, a.BatchCost = b.Name, b.Settings, b.Curve, b.BatchCost
	a.Claims += b.Claims
	a.Rows += b.Rows
	a.Dropped += b.Dropped
	a.Empty += b.Empty
	a.Running += b.Running
	a.Answered += b.Answered
	a.Refused += b.Refused
	a.Expired += b.Expired
	a.Failed += b.Failed
	a.Closed += b.Closed
	a.Abandoned += b.Abandoned
	a.ShedFull += b.ShedFull
	a.ShedLate += b.ShedLate
	a.Batches += b.Batches
	a.FlushFull += b.FlushFull
	a.FlushDue += b.FlushDue
	a.FlushIdle += b.FlushIdle
	a.FlushStop += b.FlushStop
	a.Runs += b.Runs
	a.RunRows += b.RunRows
	a.RunErrors += b.RunErrors
	a.Panics += b.Panics
	a.Rescued += b.Rescued
	a.Inline += b.Inline
	a.QueueRows += b.QueueRows
	a.QueueCapacity += b.QueueCapacity
	a.QueueHigh = max(a.QueueHigh, b.QueueHigh)
	a.QueueReached += b.QueueReached
	a.Predicted += b.Predicted
	a.Actual += b.Actual
	a.BatchRows = addHistogram(a.BatchRows, b.BatchRows)
	a.QueueTime = addHistogram(a.QueueTime, b.QueueTime)
	a.RunTime = addHistogram(a.RunTime, b.RunTime)
	a.PredictionRatio = addHistogram(a.PredictionRatio, b.PredictionRatio)
	a.Sizes = addSizes(a.Sizes, b.Sizes)
	return a
}
