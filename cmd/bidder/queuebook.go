package main

import (
	"maps"
	"sync"
	"time"

	"gavel/internal/batcher"
)

// queueBook knows the batcher queues of all versions that were ever loaded. A queue serves one version of one model,
// but is counted by model alone, and a version that has gone keeps its counts here: the series stay few and only grow.
type queueBook struct {
	since time.Time // when it began to count

	mu      sync.Mutex
	live    map[*batcher.Queue]string // queue → model
	retired map[string]batcher.Stats  // by model
}

func newQueueBook() *queueBook {
	return &queueBook{since: time.Now(), live: make(map[*batcher.Queue]string), retired: make(map[string]batcher.Stats)}
}

func (b *queueBook) add(model string, q *batcher.Queue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live[q] = model
}

// retire moves a closed queue's counts into its model's sum.
func (b *queueBook) retire(q *batcher.Queue) {
	b.mu.Lock()
	defer b.mu.Unlock()
	model, known := b.live[q]
	if !known {
		return
	}
	delete(b.live, q)
	stats := q.Stats()
	stats.QueueRows, stats.QueueCapacity, stats.QueueHigh = 0, 0, 0
	b.retired[model] = addStats(b.retired[model], stats)
}

// byModel sums each model's queues.
func (b *queueBook) byModel() map[string]batcher.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	sums := maps.Clone(b.retired)
	for q, model := range b.live {
		sums[model] = addStats(sums[model], q.Stats())
	}
	return sums
}

// addStats adds what the metrics export; a's histograms are not changed.
func addStats(a, b batcher.Stats) batcher.Stats {
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
	return a
}
