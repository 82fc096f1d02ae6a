package batcher

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// harness is a pool with one queue and its fake engine, in a synctest bubble.
type harness struct {
	t *testing.T
	e *fakeEngine
	p *Pool
	q *Queue
}

// inBubble runs f under synctest's clock. Then it closes the pool, and checks that every batch is freed and every row ended.
func inBubble(t *testing.T, runners int, e *fakeEngine, o QueueOptions, f func(x *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, err := NewPool(PoolOptions{Runners: runners, RuntimeTimer: true})
		if err != nil {
			t.Fatal(err)
		}
		if e.rowLen == 0 {
			e.rowLen = 4
		}
		q, err := p.NewQueue(e, o)
		if err != nil {
			t.Fatal(err)
		}
		x := &harness{t: t, e: e, p: p, q: q}
		f(x)
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		e.check(t)
		x.balance()
	})
}

// balance checks that every claimed row ended once, and that the counts of batches agree.
func (x *harness) balance() {
	x.t.Helper()
	s := x.q.Stats()
	if ends := s.Answered + s.Refused + s.Expired + s.Failed + s.Closed + s.Abandoned; ends != s.Rows {
		x.t.Errorf("%d rows claimed, %d ended: %+v", s.Rows, ends, s)
	}
	if s.QueueRows != 0 || s.Running != 0 {
		x.t.Errorf("closed with %d rows queued, %d batches running", s.QueueRows, s.Running)
	}
	if f := s.FlushFull + s.FlushDue + s.FlushIdle + s.FlushClose; f != s.Batches || f != s.BatchRows.Count {
		x.t.Errorf("%d batches, %d by cause, %d in the histogram", s.Batches, f, s.BatchRows.Count)
	}
}

// claim returns an open ticket with n rows, whose first values are id, id+1, …, and whose last value is last.
func (x *harness) claim(id, n int, deadline time.Time, last int32) *Ticket {
	x.t.Helper()
	t, err := x.q.Claim(n, deadline)
	if err != nil {
		x.t.Fatalf("claim of row %d: %v", id, err)
	}
	for i := range n {
		r := t.Row(i)
		for _, v := range r {
			if v != 0 {
				x.t.Errorf("row %d holds another's values: %v", id+i, r)
			}
		}
		r[0], r[len(r)-1] = int32(id+i), last
	}
	return t
}

// wait waits for the ticket's rows, id, id+1, …, and checks that each got its own result.
func (x *harness) wait(t *Ticket, id int) {
	x.t.Helper()
	out := make([]Result, t.n)
	if err := t.Wait(context.Background(), out); err != nil {
		x.t.Errorf("row %d: %v", id, err)
	}
	for i, r := range out {
		if want := answerOf([]int32{int32(id + i)}); r.Err == nil && r.Probability != want {
			x.t.Errorf("row %d got %v, want %v", id+i, r.Probability, want)
		}
	}
}

func TestFlush(t *testing.T) {
	f := func(name string, o QueueOptions, claims []int, deadline time.Duration, wantSizes []int, wantWait []time.Duration,
		cause func(s Stats) uint64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, &fakeEngine{}, o, func(x *harness) {
				start := time.Now()
				var due time.Time
				if deadline > 0 {
					due = start.Add(deadline)
				}
				var all sync.WaitGroup
				id := 0
				var tickets []*Ticket
				for _, n := range claims { // all claimed before the first commit
					tickets = append(tickets, x.claim(id, n, due, rowFine))
					id += n
				}
				id = 0
				for i, n := range claims {
					first := id
					all.Go(func() { x.wait(tickets[i], first) })
					id += n
				}
				all.Wait()
				sizes, begun := x.e.runs()
				slices.Sort(sizes)
				slices.Sort(wantSizes)
				if !slices.Equal(sizes, wantSizes) {
					t.Errorf("runs of %v rows, want %v", sizes, wantSizes)
				}
				for i, at := range begun {
					if i < len(wantWait) && at.Sub(start) != wantWait[i] {
						t.Errorf("run %d began after %v, want %v", i, at.Sub(start), wantWait[i])
					}
				}
				if s := x.q.Stats(); cause(s) == 0 {
					t.Errorf("the expected cause was not counted: %+v", s)
				}
			})
		})
	}
	const ms = time.Millisecond
	window := QueueOptions{MaxRows: 4, MaxWait: 2 * ms, Policy: Window}
	eager := QueueOptions{MaxRows: 4, MaxWait: 2 * ms, Policy: Eager}
	full := func(s Stats) uint64 { return s.FlushFull }
	due := func(s Stats) uint64 { return s.FlushDue }
	idle := func(s Stats) uint64 { return s.FlushIdle }
	f("a row alone leaves when it is due", window, []int{1}, 0, []int{1}, []time.Duration{2 * ms}, due)
	f("a full batch leaves at once", window, []int{1, 1, 1, 1}, 0, []int{4}, []time.Duration{0}, full)
	f("a claim after a full batch opens another", window, []int{1, 1, 1, 1, 1}, 0, []int{4, 1}, []time.Duration{0, 2 * ms}, due)
	f("one claim may fill several batches", window, []int{9}, 0, []int{4, 4, 1}, []time.Duration{0, 0, 2 * ms}, full)
	f("a claim joins the open batch, and opens another for the rest", window, []int{3, 3}, 0, []int{4, 2}, []time.Duration{0, 2 * ms}, full)
	f("a deadline makes a batch due before max_wait", window, []int{1}, 3*ms, []int{1},
		[]time.Duration{1500 * time.Microsecond}, due)
	f("eager does not hold a batch", eager, []int{1}, 0, []int{1}, []time.Duration{0}, idle)
	f("off joins no claims", QueueOptions{MaxRows: 4, Policy: Off}, []int{1, 3, 1}, 0, []int{1, 3, 1}, []time.Duration{0, 0, 0}, idle)
	f("off splits a large claim", QueueOptions{MaxRows: 4, Policy: Off}, []int{9}, 0, []int{4, 4, 1}, []time.Duration{0, 0, 0}, idle)
	f("adaptive holds no batch while the gap is unknown", QueueOptions{MaxRows: 4, MaxWait: 2 * ms}, []int{1}, 0, []int{1},
		[]time.Duration{0}, idle)
}

// If the time of a run is known, a batch leaves in time for its deadline.
func TestDueBeforeDeadline(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return time.Millisecond }}
	inBubble(t, 1, e, QueueOptions{MaxRows: 4, MaxWait: 50 * time.Millisecond, Policy: Window}, func(x *harness) {
		for id := range 200 { // the curve learns: the deviation falls to 0
			x.wait(x.claim(id, 4, time.Time{}, rowFine), id)
		}
		start := time.Now()
		x.wait(x.claim(1, 1, start.Add(10*time.Millisecond), rowFine), 1)
		if d := time.Since(start); d != 9900*time.Microsecond {
			t.Errorf("answered after %v, want 9.9ms: 0.1 ms before the deadline", d)
		}
	})
}

// While every runner is busy, a batch stays open past its due time, and rows keep joining it.
func TestFillsWhileRunnersAreBusy(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
	o := QueueOptions{MaxRows: 8, MaxWait: 1500 * time.Microsecond, Policy: Eager, RescueAfter: -1}
	inBubble(t, 1, e, o, func(x *harness) {
		var all sync.WaitGroup
		for id := range 6 {
			all.Go(func() { x.wait(x.claim(id, 1, time.Time{}, rowFine), id) })
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		all.Wait()
		if sizes, _ := e.runs(); !slices.Equal(sizes, []int{1, 5}) {
			t.Errorf("runs of %v rows, want 1, then the 5 claimed meanwhile", sizes)
		}
	})
}

// Full batches run concurrently, bounded by the runners and by MaxRunners.
func TestConcurrentRuns(t *testing.T) {
	f := func(name string, runners, maxRunners int, want time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
			inBubble(t, runners, e, QueueOptions{MaxRows: 4, MaxRunners: maxRunners, RescueAfter: -1}, func(x *harness) {
				start := time.Now()
				x.wait(x.claim(0, 16, time.Time{}, rowFine), 0)
				if d := time.Since(start); d != want {
					t.Errorf("four batches of 10ms took %v, want %v", d, want)
				}
			})
		})
	}
	f("one runner", 1, 0, 40*time.Millisecond)
	f("two runners", 2, 0, 20*time.Millisecond)
	f("four runners", 4, 0, 10*time.Millisecond)
	f("four runners, max_runners two", 4, 2, 20*time.Millisecond)
}

// If all rows of a claim are refused, its caller does not wait for the batch.
func TestRefusedAtOnce(t *testing.T) {
	inBubble(t, 1, &fakeEngine{}, QueueOptions{Policy: Window}, func(x *harness) {
		start := time.Now()
		out := make([]Result, 2)
		if err := x.claim(0, 2, time.Time{}, rowInvalid).Wait(context.Background(), out); !errors.Is(err, ErrRow) || !errors.Is(out[1].Err, ErrRow) {
			t.Errorf("%v, want ErrRow", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("answered after %v, want 0s", d)
		}
	})
}

// A caller that writes slowly delays its own batch only.
func TestSlowWriter(t *testing.T) {
	inBubble(t, 1, &fakeEngine{}, QueueOptions{MaxRows: 4, MaxWait: 2 * time.Millisecond, Policy: Eager}, func(x *harness) {
		slow := x.claim(0, 1, time.Time{}, rowFine)
		start := time.Now()
		var with sync.WaitGroup
		with.Go(func() { x.wait(x.claim(1, 1, time.Time{}, rowFine), 1) })
		time.Sleep(3 * time.Millisecond) // due at 2 ms: the next claim must open another batch
		x.wait(x.claim(2, 1, time.Time{}, rowFine), 2)
		if d := time.Since(start); d != 3*time.Millisecond {
			t.Errorf("the later batch was answered after %v, want 3ms: as soon as it was claimed", d)
		}
		x.wait(slow, 0)
		with.Wait()
		if sizes, _ := x.e.runs(); !slices.Equal(sizes, []int{1, 2}) {
			t.Errorf("runs of %v rows, want 1 and 2", sizes)
		}
	})
}

func TestAdmission(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
	o := QueueOptions{MaxRows: 2, QueueRows: 6, Policy: Eager, RescueAfter: -1, CalibrationRuns: 20}
	inBubble(t, 1, e, o, func(x *harness) {
		start := time.Now()
		claim := func(n int, within time.Duration) error {
			deadline := time.Time{}
			if within != 0 {
				deadline = start.Add(within)
			}
			tk, err := x.q.Claim(n, deadline)
			if err == nil {
				go func() { _ = tk.Wait(context.Background(), make([]Result, n)) }()
				synctest.Wait()
			}
			return err
		}
		for i, want := range []struct {
			n      int
			within time.Duration
			err    error
		}{
			{2, 5 * time.Millisecond, nil},      // an idle queue admits every claim, whatever is predicted
			{2, 15 * time.Millisecond, ErrShed}, // 10 ms until the runner is free, 10 ms for its own run
			{2, 25 * time.Millisecond, nil},     //
			{2, 25 * time.Millisecond, ErrShed}, // one more batch before it
			{2, 35 * time.Millisecond, nil},     //
			{3, 0, errFull},                     // 4 of 6 places are taken
			{2, 0, nil},                         // no deadline, and the last two places
			{1, 0, errFull},                     //
			{1, -time.Millisecond, ErrExpired},  //
			{7, 0, errFull},                     // more than queue_rows
		} {
			if err := claim(want.n, want.within); !errors.Is(err, want.err) {
				t.Errorf("claim %d: %v, want %v", i, err, want.err)
			}
		}
		time.Sleep(time.Second)
		s := x.q.Stats()
		if s.ShedLate != 5 || s.ShedFull != 11 || s.QueueReached != 3 || s.QueueHigh != 6 || s.QueueCapacity != 6 {
			t.Errorf("late %d, full %d, reached %d, high %d of %d; want 5, 11, 3, 6 of 6",
				s.ShedLate, s.ShedFull, s.QueueReached, s.QueueHigh, s.QueueCapacity)
		}
	})
}
