package batcher

import (
	"errors"
	"fmt"

	"gavel/internal/engine"
)

// run takes a batch from running to free: it leaves out rows that are late, scores the others, and wakes every caller. r is
// the runner that runs it, or the one that a caller has borrowed; nil if a caller runs it without one. It is start now.
func (q *Queue) run(b *batch, r *runner, start int64) {
	p := q.pool
	aborted := q.aborted.Load()
	b.begin(start)
	n := len(b.live)
	switch {
	case n == 0:
	case aborted:
		b.fail(0, n, ErrClosed)
	default:
		if r != nil {
			r.freeAt.Store(start + b.predicted)
		}
		s := search{q: q, b: b, runs: 1 + q.o.RetryRuns}
		s.try(0, n)
		if r != nil {
			r.freeAt.Store(0)
		}
	}
	end := p.now()
	p.charge(b, end-start)
	q.finish(b, end)
	b.tickets(func(t *Ticket, _, _ int) {
		t.expire(end) // the clock may not have ticked since its deadline
		t.partDone()
	})
	q.free(b)
}

// search scores the rows of a batch. If the run fails, it bisects them to find the bad rows. An engine runs [0,n) only, so
// rows are moved to the front, over rows that have been answered.
//
// A single row that fails is refused if the engine works: another run of this search succeeded, or a run of a row of zeros
// does. Otherwise the engine is broken, and every row left gets ErrRun. A bad row costs about 2·log₂(n) runs, or one run
// if the engine names it in a RowError. If the runs are used up, the rows left get ErrRun.
type search struct {
	q      *Queue
	b      *batch
	runs   int   // left
	works  bool  // a run succeeded
	broken error // why no more runs are made
}

// try runs the rows at positions [lo,hi). Rows below lo have been answered; rows from hi on keep their places.
func (s *search) try(lo, hi int) {
	n := hi - lo
	if n == 0 {
		return
	}
	if s.runs == 0 && s.broken == nil {
		s.broken = fmt.Errorf("%w: queue %q: too many bad rows in one batch, %d extra runs did not find them all",
			ErrRun, s.q.o.Name, s.q.o.RetryRuns)
	}
	if s.broken != nil {
		s.b.fail(lo, hi, s.broken)
		return
	}
	if lo > 0 {
		s.b.move(lo, hi)
	}
	s.runs--
	err := s.q.call(s.b, n)
	switch {
	case err == nil:
		s.works = true
		s.b.answer(n)
	case errors.Is(err, errPanic):
		s.broken = err
		s.b.fail(0, n, err)
	default:
		s.split(n, err)
	}
}

// split deals with positions [0,n), whose run failed with err.
func (s *search) split(n int, err error) {
	var named *engine.RowError
	var several *engine.RowErrors
	switch {
	case errors.As(err, &several): // every bad row is named, and the others are scored
		s.works = true
		s.b.answer(n)
		for _, r := range several.Rows {
			s.refuse(r.Row, r.Err)
		}
	case errors.As(err, &named) && named.Row >= 0 && named.Row < n:
		s.refuse(named.Row, named.Err)
		last := n - 1
		if named.Row != last {
			s.b.live[named.Row] = s.b.live[last]
			engine.Move(s.b.inputs, named.Row, last, 1)
		}
		s.try(0, last)
	case n == 1:
		if !s.works && s.broken == nil {
			s.control()
		}
		if s.broken != nil {
			s.b.fail(0, 1, s.broken)
			return
		}
		s.refuse(0, err)
	default:
		half := n / 2
		s.try(0, half)
		s.try(half, n)
	}
}

// control runs a row of zeros at position 0, over a row that has just failed alone.
func (s *search) control() {
	engine.Clear(s.b.inputs, 0, 1)
	err := s.q.call(s.b, 1)
	if err == nil || errors.As(err, new(*engine.RowErrors)) {
		s.works = true
		return
	}
	s.broken = err
}

func (s *search) refuse(pos int, cause error) {
	s.b.fail(pos, pos+1, rowRefused(s.q.o.Name, cause))
}

func rowRefused(name string, cause error) error {
	return fmt.Errorf("%w: queue %q: %w", ErrRow, name, cause)
}

// errPanic marks a run that panicked. Such a run is not repeated.
var errPanic = errors.New("panic")

// call makes one run of the rows at positions [0,n), times it, and counts it. A panic becomes an error. Errors wrap ErrRun,
// never ErrRow: only search can tell which row is at fault.
func (q *Queue) call(b *batch, n int) (err error) {
	start := q.pool.now()
	defer func() {
		if v := recover(); v != nil {
			b.unmetered += q.pool.now() - start
			q.count.panics.Add(1)
			err = fmt.Errorf("%w: queue %q: %w in the engine: %v", ErrRun, q.o.Name, errPanic, v)
			q.pool.panicked(err)
		}
	}()
	q.count.runs.Add(1)
	q.count.runRows.Add(uint64(n))
	err = b.mem.Run(n)
	ns := q.pool.now() - start
	cpu := runCPU(b.mem, ns)
	if cpu > 0 {
		b.metered, b.cpu = b.metered+ns, b.cpu+cpu
	} else {
		b.unmetered += ns
	}
	if err == nil || errors.As(err, new(*engine.RowErrors)) { // a run that took as long as one without bad rows
		q.observe(n, ns, cpu)
	}
	if err != nil {
		q.count.runErrors.Add(1)
		return fmt.Errorf("%w: queue %q, %d rows: %w", ErrRun, q.o.Name, n, err)
	}
	return nil
}

// runCPU returns the CPU time of the batch's last run, in ns, 0 if it was not measured. For an engine that is no
// engine.Meter it is the wall time, ns.
func runCPU(b engine.Batch, ns int64) int64 {
	if m, ok := b.(engine.Meter); ok {
		return int64(m.RunCPU())
	}
	return ns
}
