package console

import (
	"maps"
	"slices"

	"gavel/internal/batcher"
)

// countsOf returns s without its name, its settings and its current state: what may be kept when the queue is gone.
func countsOf(s batcher.Stats) batcher.Stats {
	s.Name, s.Settings, s.Curve, s.Hold = "", batcher.QueueOptions{}, nil, 0
	s.QueueRows, s.QueueCapacity, s.QueueHigh, s.Running = 0, 0, 0, 0
	return s
}

// addStats returns the sum of two queues of one model. It does not change the histograms of a and b. The name, the
// settings, the cost curve and the hold cannot be added: they are those of b, the newer version. QueueHigh is the maximum.
func addStats(a, b batcher.Stats) batcher.Stats {
	a.Name, a.Settings, a.Curve, a.Hold = b.Name, b.Settings, b.Curve, b.Hold
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
	a.FlushClose += b.FlushClose
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

// addHistogram returns the sum of two histograms with the same buckets. It changes neither.
func addHistogram(a, b batcher.Histogram) batcher.Histogram {
	if a.Counts == nil {
		return b
	}
	sum := batcher.Histogram{First: a.First, Counts: slices.Clone(a.Counts), Sum: a.Sum + b.Sum, Count: a.Count + b.Count}
	for i, n := range b.Counts {
		sum.Counts[i] += n
	}
	return sum
}

// addSizes returns the sum for each size that is in a or b, in ascending order of size.
func addSizes(a, b []batcher.SizeStats) (sum []batcher.SizeStats) {
	bySize := make(map[int]batcher.SizeStats)
	for _, s := range slices.Concat(a, b) {
		was := bySize[s.MaxRows]
		bySize[s.MaxRows] = batcher.SizeStats{MaxRows: s.MaxRows, Runs: was.Runs + s.Runs, Rows: was.Rows + s.Rows, Seconds: was.Seconds + s.Seconds}
	}
	for _, size := range slices.Sorted(maps.Keys(bySize)) {
		sum = append(sum, bySize[size])
	}
	return sum
}
