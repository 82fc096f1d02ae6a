package batcher

import (
	"errors"
	"time"
)

// Stats holds what a queue has done since it was made, as counts, and what it holds now. Every claimed row ends in exactly
// one of Answered, Refused, Expired, Failed, Closed and Abandoned.
type Stats struct {
	Name     string
	Settings QueueOptions // in force, defaults filled in

	Claims uint64 // successful claims
	Rows   uint64 // rows they claimed

	Answered  uint64 // rows that got a probability
	Refused   uint64 // rows that got ErrRow
	Expired   uint64 // rows that got ErrExpired because their deadline passed
	Failed    uint64 // rows that got ErrRun
	Closed    uint64 // rows that got ErrClosed after they were claimed
	Abandoned uint64 // rows whose caller left: Abandon, or its context ended
	ShedFull  uint64 // rows refused by Claim: the queue was full
	ShedLate  uint64 // rows refused by Claim: no answer was expected in time, or the deadline had passed

	Batches    uint64 // batches flushed
	Dropped    uint64 // rows of flushed batches that were not run: expired, abandoned or refused before
	Empty      uint64 // batches of which no row was left to run
	FlushFull  uint64 // batches flushed because they were full
	FlushDue   uint64 // batches flushed because MaxWait had passed, or a deadline required it
	FlushIdle  uint64 // batches flushed because their policy let them leave and a runner was free
	FlushClose uint64 // batches flushed because the queue closed

	Runs      uint64 // calls of Batch.Run: searches included, calibration not
	RunRows   uint64 // rows in them
	RunErrors uint64 // runs that returned an error
	Panics    uint64 // runs that panicked
	Rescued   uint64 // batches that a caller ran because no runner came
	Inline    uint64 // batches that a caller ran in place of a runner

	QueueRows     int    // rows claimed whose run has not begun, now
	QueueCapacity int    // the bound of QueueRows
	QueueHigh     int    // the most that QueueRows ever was
	QueueReached  uint64 // claims refused because the queue was full
	Running       int    // batches running now

	BatchRows Histogram // rows of a batch when it was flushed
	QueueTime Histogram // seconds from a row's claim to the start of its run; rows that were not run are not in it
	RunTime   Histogram // seconds of a Batch.Run that succeeded
	// Predicted is the sum of the cost curve's predictions, Actual that of the run times, in seconds, over the same runs.
	// Runs without a prediction are in neither. PredictionRatio counts actual ÷ predicted.
	Predicted, Actual float64
	PredictionRatio   Histogram
	Curve             []CurvePoint // the learned cost curve at 1, 2, 4, … and MaxRows rows; none until a run was timed
	// Hold is how long Adaptive now holds a batch after its opening, while claims keep coming. It is 0 if batches leave at
	// once, and under every other policy.
	Hold  time.Duration
	Sizes []SizeStats // what the curve was learned from, by size; sizes that were never run are left out
}

// PoolStats says what a pool's runners do.
type PoolStats struct {
	Runners, Idle int
	Busy          float64 // seconds of run time, in runners and callers
	Load          float64 // share of its processors that the process uses: 0 to about 1
}

// CurvePoint is the cost curve at one size.
type CurvePoint struct {
	Rows int
	Mean time.Duration // expected run time
	High time.Duration // high estimate, compared with deadlines: about the 99th percentile
}

// SizeStats sums the runs of at most MaxRows rows and more than half as many, calibration included.
type SizeStats struct {
	MaxRows int
	Runs    uint64
	Rows    uint64
	Seconds float64
}

// tally counts how a ticket's rows ended. It returns the first error.
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

// Stats returns a snapshot. Counts that change together may differ by what happened while it was taken.
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
	s.FlushIdle, s.FlushClose = q.flushes[causeIdle], q.flushes[causeClose]
	s.QueueRows, s.QueueHigh, s.QueueReached, s.Running = q.queued, q.queuedHigh, q.reached, q.running
	s.Predicted, s.Actual = float64(q.predicted)/1e9, float64(q.actual)/1e9
	s.Curve, s.Sizes = q.curve.points(q.o.MaxRows), q.curve.sizes()
	s.Hold = q.hold()
	return s
}
