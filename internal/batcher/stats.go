package batcher

import (
	"errors"
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats is what a queue has done since it was made, as counts, and what it holds now. Every claimed row ends in
// exactly one of Answered, Refused, Expired, Failed, Closed and Abandoned.
type Stats struct {
	Name string

	Claims uint64 // successful Claims
	Rows   uint64 // rows they claimed

	Answered  uint64 // rows that got a probability
	Refused   uint64 // rows that got ErrRow
	Expired   uint64 // rows that got ErrExpired because their deadline passed
	Failed    uint64 // rows that got ErrRun
	Closed    uint64 // rows that got ErrClosed after they were claimed
	Abandoned uint64 // rows whose caller left: Abandon, or its context ended
	ShedFull  uint64 // rows not taken in: the queue was full
	ShedLate  uint64 // rows not taken in: predicted to be late, or late already (ErrExpired from Claim)

	Batches   uint64 // batches flushed
	Dropped   uint64 // of their rows, those not run: expired, abandoned or refused before the run
	Empty     uint64 // batches of which nothing was left to run
	FlushFull uint64 // by cause: no place left,
	FlushDue  uint64 // a row's longest wait or latest start had come,
	FlushIdle uint64 // a runner was free and waiting would not pay,
	FlushStop uint64 // the queue closed

	Runs      uint64 // calls of Batch.Run, searches included, calibration not
	RunRows   uint64 // rows in them
	RunErrors uint64 // of Runs, those that returned an error
	Panics    uint64 // of Runs, those that panicked
	Rescued   uint64 // batches run by a waiting caller because no runner came
	Inline    uint64 // batches run by a caller in place of an idle runner

	QueueRows     int    // rows claimed whose run has not begun, now
	QueueCapacity int    // its bound
	QueueHigh     int    // the most it ever was
	QueueReached  uint64 // claims that met the bound
	Running       int    // batches running now

	BatchRows Histogram // rows of a batch, when it was flushed
	QueueTime Histogram // seconds from claim to the begin of its run, per row run
	RunTime   Histogram // seconds of a Batch.Run that succeeded
	// Predicted is the sum of what was predicted for the runs that Actual sums, in seconds; runs without a
	// prediction are in neither. PredictionRatio counts actual ÷ predicted.
	Predicted, Actual float64
	PredictionRatio   Histogram
	Curve             []CurvePoint // the learned cost curve, by size, sizes never run left out
}

// PoolStats is what a pool's runners do.
type PoolStats struct {
	Runners, Idle int
	Busy          float64 // seconds of run time, rescues included
	Load          float64 // lately used share of the runners' time, or of the process's CPUs if that is more, 0 to 1
	Queues        []Stats
}

// Histogram counts observations. Counts[i] is of those ≤ Bounds[i] and above Bounds[i-1]; the last count, one more
// than Bounds, is of those above all bounds.
type Histogram struct {
	Bounds []float64
	Counts []uint64
	Sum    float64
	Count  uint64
}

// CurvePoint is what the cost curve knows of batches of up to Rows rows (and more than half as many).
type CurvePoint struct {
	Rows     int
	Mean     time.Duration // expected run time
	High     time.Duration // what is reckoned with against deadlines: about the 99th percentile
	Observed uint64
}

// Bounds are powers of two with one step between: 1, 1.5, 2, 3, 4, 6, …, times unit.
const histogramBuckets = 48

func bounds(unit float64) []float64 {
	b := make([]float64, histogramBuckets)
	for i := range b {
		b[i] = unit * float64(uint64(1)<<(i/2)) * (1 + float64(i%2)/2)
	}
	return b
}

var (
	timeBounds  = bounds(1e-6)
	rowBounds   = bounds(1)[:34] // 1 to 98304
	ratioBounds = bounds(1.0 / 16)[:18]
)

// bucketOf is the index of the smallest bound ≥ v, v in half units of the bounds: 2 is the first bound, 3 the second.
func bucketOf(halves uint64) int {
	if halves <= 2 {
		return 0
	}
	halves-- // so that a value equal to a bound falls below it
	e := bits.Len64(halves) - 2
	return min(2*e+int(halves>>e&1)+1, histogramBuckets)
}

// histogram counts without a lock.
type histogram struct {
	counts [histogramBuckets + 1]atomic.Uint64
	sum    atomic.Uint64 // in the unit that snapshot is told
}

// addTime counts a duration in ns, times over. Buckets are exact to half a microsecond, the sum to a nanosecond.
func (h *histogram) addTime(ns int64, times uint64) {
	v := uint64(max(ns, 0))
	h.counts[bucketOf((v+499)/500)].Add(times)
	h.sum.Add(v * times)
}

// addRows counts a number of rows.
func (h *histogram) addRows(rows int) {
	h.counts[bucketOf(2*uint64(rows))].Add(1)
	h.sum.Add(uint64(rows))
}

// addRatio counts a ratio in 32nds, the half unit of ratioBounds.
func (h *histogram) addRatio(ratio float64) {
	v := uint64(min(max(ratio, 0)*32+0.5, 1<<20))
	h.counts[bucketOf(v)].Add(1)
	h.sum.Add(v)
}

func (h *histogram) snapshot(bounds []float64, sumUnit float64) Histogram {
	s := Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1), Sum: float64(h.sum.Load()) * sumUnit}
	for i := range h.counts {
		c := h.counts[i].Load()
		s.Counts[min(i, len(bounds))] += c
		s.Count += c
	}
	return s
}

// tally counts how a ticket's rows ended, and returns the first error.
func (c *counters) tally(out []Result) (first error) {
	var answered, refused, failed, closed uint64
	for i := range out {
		err := out[i].Err
		if err == nil {
			answered++
			continue
		}
		if first == nil {
			first = err
		}
		switch {
		case errors.Is(err, ErrRow):
			refused++
		case errors.Is(err, ErrClosed):
			closed++
		default:
			failed++
		}
	}
	if answered > 0 {
		c.answered.Add(answered)
	}
	if first != nil {
		c.refused.Add(refused)
		c.failed.Add(failed)
		c.closed.Add(closed)
	}
	return first
}

// Stats is a snapshot; counts that change together may be read a moment apart.
func (q *Queue) Stats() Stats {
	c := &q.count
	s := Stats{
		Name:     q.o.Name,
		Answered: c.answered.Load(), Refused: c.refused.Load(), Expired: c.expired.Load(), Failed: c.failed.Load(),
		Closed: c.closed.Load(), Abandoned: c.abandoned.Load(),
		ShedFull: c.shedFull.Load(), ShedLate: c.shedLate.Load(), Dropped: c.dropped.Load(), Empty: c.empty.Load(),
		Runs: c.runs.Load(), RunRows: c.runRows.Load(), RunErrors: c.runErrors.Load(), Panics: c.panics.Load(),
		Rescued: c.rescued.Load(), Inline: c.inline.Load(),
		QueueCapacity:   q.o.QueueRows,
		BatchRows:       q.hist.batchRows.snapshot(rowBounds, 1),
		QueueTime:       q.hist.queueTime.snapshot(timeBounds, 1e-9),
		RunTime:         q.hist.runTime.snapshot(timeBounds, 1e-9),
		PredictionRatio: q.hist.ratio.snapshot(ratioBounds, 1.0/32),
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s.Claims, s.Rows, s.Batches = q.claims, q.rows, q.batches
	s.FlushFull, s.FlushDue = q.flushes[causeFull], q.flushes[causeDue]
	s.FlushIdle, s.FlushStop = q.flushes[causeIdle], q.flushes[causeStop]
	s.QueueRows, s.QueueHigh, s.QueueReached, s.Running = q.queued, q.high, q.reached, q.running
	s.Predicted, s.Actual = float64(q.predicted)/1e9, float64(q.actual)/1e9
	s.Curve = q.curve.points()
	return s
}
