package batcher

import (
	"errors"
	"time"
)

// Stats is what a queue has done since it was made, as counts, and what it holds now. Every claimed row ends in
// exactly one of Answered, Refused, Expired, Failed, Closed and Abandoned.
type Stats struct {
	Name     string
	Settings QueueOptions // in force, defaults filled in

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
	Inline    uint64 // batches run by a caller in place of a runner

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
	Curve             []CurvePoint // the learned cost curve at 1, 2, 4, … and MaxRows rows; none until it knows something
	// Hold is how long the adaptive policy now holds a batch from its opening while claims go on coming; 0: batches go at
	// once, or by another policy.
	Hold  time.Duration
	Sizes []SizeStats // what the curve was learnt from, by size, sizes never run left out
}

// PoolStats is what a pool's runners do.
type PoolStats struct {
	Runners, Idle int
	Busy          float64 // seconds of run time, rescues included
	// Load is the share of its processors that the process uses, lately: about 0 to 1.
	Load float64
}

// CurvePoint is what the cost curve says of one size.
type CurvePoint struct {
	Rows int
	Mean time.Duration // expected run time
	High time.Duration // what is reckoned with against deadlines: about the 99th percentile
}

// SizeStats sums the runs of up to MaxRows rows and more than half as many, calibration included.
type SizeStats struct {
	MaxRows int
	Runs    uint64
	Rows    uint64
	Seconds float64
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
		Name: q.o.Name, Settings: q.o,
		Answered: c.answered.Load(), Refused: c.refused.Load(), Expired: c.expired.Load(), Failed: c.failed.Load(),
		Closed: c.closed.Load(), Abandoned: c.abandoned.Load(),
		ShedFull: c.shedFull.Load(), ShedLate: c.shedLate.Load(), Dropped: c.dropped.Load(), Empty: c.empty.Load(),
		Runs: c.runs.Load(), RunRows: c.runRows.Load(), RunErrors: c.runErrors.Load(), Panics: c.panics.Load(),
		Rescued: c.rescued.Load(), Inline: c.inline.Load(),
		QueueCapacity:   q.o.QueueRows,
		BatchRows:       q.hist.batchRows.snapshot(rowScale),
		QueueTime:       q.hist.queueTime.snapshot(timeScale),
		RunTime:         q.hist.runTime.snapshot(timeScale),
		PredictionRatio: q.hist.ratio.snapshot(ratioScale),
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s.Claims, s.Rows, s.Batches = q.claims, q.rows, q.batches
	s.FlushFull, s.FlushDue = q.flushes[causeFull], q.flushes[causeDue]
	s.FlushIdle, s.FlushStop = q.flushes[causeIdle], q.flushes[causeStop]
	s.QueueRows, s.QueueHigh, s.QueueReached, s.Running = q.queued, q.high, q.reached, q.running
	s.Predicted, s.Actual = float64(q.predicted)/1e9, float64(q.actual)/1e9
	s.Curve, s.Sizes = q.curve.points(q.o.MaxRows), q.curve.sizes()
	s.Hold = q.hold()
	return s
}
