package batcher

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gavel/internal/engine"
)

// If a row makes its run fail, the other rows of its batch are still answered.
func TestBadRows(t *testing.T) {
	f := func(name string, o QueueOptions, last []int32, want []error, wantRuns, maxRuns uint64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			o.MaxRows, o.Policy = len(last), Window
			inBubble(t, 1, &fakeEngine{table: 5000}, o, func(x *harness) {
				tickets := make([]*Ticket, len(last))
				for id, v := range last {
					tickets[id] = x.claim(id, 1, time.Time{}, v)
				}
				for _, tk := range tickets {
					tk.Commit()
				}
				for id, tk := range tickets {
					var out [1]Result
					err := tk.Wait(context.Background(), out[:])
					if !errors.Is(err, want[id]) || !errors.Is(out[0].Err, want[id]) {
						t.Errorf("row %d: %v, want %v", id, err, want[id])
					}
					if err == nil && out[0].Probability != answerOf([]int32{int32(id)}) {
						t.Errorf("row %d got another's answer: %v", id, out[0].Probability)
					}
				}
				if s := x.q.Stats(); s.Runs < wantRuns || s.Runs > maxRuns {
					t.Errorf("%d runs, want %d to %d", s.Runs, wantRuns, maxRuns)
				}
			})
		})
	}
	f("an index outside the table is not run", QueueOptions{}, []int32{0, rowInvalid, 0, 5000}, []error{nil, ErrRow, nil, ErrRow}, 1, 1)
	f("no run if every row is refused", QueueOptions{}, []int32{5000, rowInvalid}, []error{ErrRow, ErrRow}, 0, 0)
	f("a bad row is found by bisection", QueueOptions{}, []int32{0, 0, rowBad, 0, 0, 0, 0, 0},
		[]error{nil, nil, ErrRow, nil, nil, nil, nil, nil}, 7, 8)
	f("the last row is bad", QueueOptions{}, []int32{0, 0, 0, 0, 0, 0, rowBad}, []error{nil, nil, nil, nil, nil, nil, ErrRow}, 7, 8)
	f("the first row is bad, and a row of zeros is run", QueueOptions{}, []int32{rowBad, 0, 0, 0}, []error{ErrRow, nil, nil, nil}, 6, 6)
	f("two bad rows", QueueOptions{}, []int32{rowBad, 0, 0, rowBad, 0}, []error{ErrRow, nil, nil, ErrRow, nil}, 8, 10)
	f("every row is bad, but the engine works", QueueOptions{}, []int32{rowBad, rowBad, rowBad, rowBad}, []error{ErrRow, ErrRow, ErrRow, ErrRow}, 8, 8)
	f("a bad row alone", QueueOptions{}, []int32{rowBad}, []error{ErrRow}, 2, 2)
	f("the engine names the bad row: one more run", QueueOptions{}, []int32{0, rowNamed, 0, 0}, []error{nil, ErrRow, nil, nil}, 2, 2)
	f("the engine names two bad rows", QueueOptions{}, []int32{rowNamed, 0, 0, rowNamed}, []error{ErrRow, nil, nil, ErrRow}, 3, 3)
	f("a named bad row and an unnamed one", QueueOptions{}, []int32{0, rowBad, 0, rowNamed}, []error{nil, ErrRow, nil, ErrRow}, 4, 8)
	f("it names all and scores the others: no more runs", QueueOptions{}, []int32{0, rowSeveral, 0, rowSeveral}, []error{nil, ErrRow, nil, ErrRow}, 1, 1)
	f("it names all, alone", QueueOptions{}, []int32{rowSeveral}, []error{ErrRow}, 1, 1)
	f("all named, and an unnamed one", QueueOptions{}, []int32{rowSeveral, 0, rowBad, 0}, []error{ErrRow, nil, ErrRow, nil}, 4, 6)
	f("a panic fails its batch and is not repeated", QueueOptions{}, []int32{0, rowPanic, 0}, []error{ErrRun, ErrRun, ErrRun}, 1, 1)
	f("a panic in the search ends it", QueueOptions{}, []int32{rowBad, 0, rowPanic, 0}, []error{ErrRow, nil, ErrRun, ErrRun}, 4, 6)
	f("the search is bounded", QueueOptions{RetryRuns: 2}, []int32{rowBad, rowBad, rowBad, rowBad},
		[]error{ErrRow, ErrRun, ErrRun, ErrRun}, 4, 4)
}

// panickingValidator is an engine whose Validate panics on rows with rowInvalid.
type panickingValidator struct{ *fakeEngine }

func (panickingValidator) Validate(inputs []engine.Column, i int) error {
	if inputs[0].Int32[4*i+3] == rowInvalid {
		panic("engine: a check that panics")
	}
	return nil
}

// The first panic of each second is logged with its stack. Callers get what the engine panicked with, without the stack.
func TestPanicsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p, err := NewPool(PoolOptions{Runners: 1, RuntimeTimer: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		e := panickingValidator{&fakeEngine{rowLen: 4}}
		q, err := p.NewQueue(e, QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		x := &harness{t: t, e: e.fakeEngine, p: p, q: q}
		for i, want := range []string{"a row that panics", "a check that panics", "a check that panics"} {
			last := []int32{rowPanic, rowInvalid, rowInvalid}[i]
			err := x.claim(0, 1, time.Time{}, last).Wait(context.Background(), make([]Result, 1))
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "goroutine") {
				t.Errorf("the caller got %q, want what the engine panicked with, without a stack", err)
			}
			if i > 0 {
				time.Sleep(time.Second)
			}
		}
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "stack="); n != 2 || !strings.Contains(log.String(), "fakeBatch") {
			t.Errorf("%d stacks logged, want one for each second with a panic:\n%s", n, &log)
		}
	})
}

// If every run fails, rows get ErrRun and not ErrRow, after few runs.
func TestBrokenEngine(t *testing.T) {
	e := &fakeEngine{}
	inBubble(t, 1, e, QueueOptions{MaxRows: 64}, func(x *harness) {
		e.broken.Store(true)
		tk := x.claim(0, 64, time.Time{}, rowFine)
		out := make([]Result, 64)
		if err := tk.Wait(context.Background(), out); !errors.Is(err, ErrRun) || errors.Is(err, ErrRow) ||
			!strings.Contains(err.Error(), "out of order") {
			t.Errorf("a broken engine: %v, want ErrRun with its reason", err)
		}
		for i, r := range out {
			if !errors.Is(r.Err, ErrRun) || errors.Is(r.Err, ErrRow) {
				t.Errorf("row %d: %v, want ErrRun", i, r.Err)
			}
		}
		if s := x.q.Stats(); s.Runs != 8 || s.RunErrors != 8 || s.Failed != 64 {
			t.Errorf("%d runs, %d errors, %d rows failed; want 8 (64, 32, … 1, a row of zeros), 8, 64", s.Runs, s.RunErrors, s.Failed)
		}
		e.broken.Store(false)
		x.wait(x.claim(5, 3, time.Time{}, rowFine), 5) // the queue still works
	})
}

// Rows whose deadline has passed when their run begins are left out. The others keep their own results.
func TestExpiry(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
	inBubble(t, 1, e, QueueOptions{MaxRows: 8, Policy: Eager, RescueAfter: -1}, func(x *harness) {
		start := time.Now()
		var all sync.WaitGroup
		all.Go(func() { x.wait(x.claim(0, 1, time.Time{}, rowFine), 0) }) // occupies the runner
		synctest.Wait()
		for id := 1; id <= 5; id++ {
			all.Go(func() {
				if id%2 == 1 {
					x.wait(x.claim(id, 1, time.Time{}, rowFine), id)
					return
				}
				tk := x.claim(id, 1, start.Add(5*time.Millisecond), rowFine)
				var out [1]Result
				if err := tk.Wait(context.Background(), out[:]); err != ErrExpired || out[0].Err != ErrExpired {
					t.Errorf("row %d: %v, want ErrExpired", id, err)
				}
				if d := time.Since(start); d != 5*time.Millisecond {
					t.Errorf("row %d was answered after %v, want 5ms: at its deadline, though no runner was free", id, d)
				}
			})
		}
		all.Wait()
		if sizes, _ := e.runs(); !slices.Equal(sizes, []int{1, 3}) {
			t.Errorf("runs of %v rows, want 1 and the 3 that had not expired", sizes)
		}
		if s := x.q.Stats(); s.Expired != 2 || s.Dropped != 2 {
			t.Errorf("expired %d, dropped %d, want 2 and 2", s.Expired, s.Dropped)
		}
	})
}

// A row whose run ends after its deadline expires, even if the clock has not ticked.
func TestExpiryWithoutTheClock(t *testing.T) {
	f := func(name string, early bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
			inBubble(t, 1, e, QueueOptions{MaxRows: 4, Policy: Eager}, func(x *harness) {
				x.p.clock.stop()
				tk := x.claim(0, 1, time.Now().Add(5*time.Millisecond), rowFine)
				if early {
					tk.Commit()
				}
				if err := tk.Wait(context.Background(), make([]Result, 1)); err != ErrExpired {
					t.Errorf("%v, want ErrExpired", err)
				}
				if s := x.q.Stats(); s.Expired != 1 || s.Answered != 0 {
					t.Errorf("expired %d, answered %d; want 1 and 0", s.Expired, s.Answered)
				}
			})
		})
	}
	f("run by a runner", true)
	f("run by its caller", false)
}

// A batch whose rows have all expired is not run. A caller is answered at its deadline, even during the run.
func TestExpiryInTheRun(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
	inBubble(t, 1, e, QueueOptions{MaxRows: 1, Policy: Eager, RescueAfter: -1}, func(x *harness) {
		start := time.Now()
		first := x.claim(0, 1, start.Add(4*time.Millisecond), rowFine)
		first.Commit() // a runner takes it, so that Wait does not run it
		second := x.claim(1, 1, start.Add(6*time.Millisecond), rowFine)
		for i, tk := range []*Ticket{first, second} {
			var out [1]Result
			if err := tk.Wait(context.Background(), out[:]); err != ErrExpired {
				t.Errorf("row %d: %v, want ErrExpired", i, err)
			}
			if d, want := time.Since(start), time.Duration(4+2*i)*time.Millisecond; d != want {
				t.Errorf("row %d was answered after %v, want %v", i, d, want)
			}
		}
		time.Sleep(20 * time.Millisecond)
		if s := x.q.Stats(); s.Runs != 1 || s.Empty != 1 {
			t.Errorf("%d runs, %d empty batches; want 1 and 1", s.Runs, s.Empty)
		}
	})
}

// A caller may leave before or during the run. The other rows are still answered.
func TestCancel(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
	inBubble(t, 1, e, QueueOptions{MaxRows: 4, Policy: Eager, RescueAfter: -1}, func(x *harness) {
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		leave := func(id int) {
			all.Go(func() {
				tk := x.claim(id, 1, time.Time{}, rowFine)
				tk.Commit()
				if err := tk.Wait(ctx, make([]Result, 1)); err != ErrExpired {
					t.Errorf("row %d: %v, want ErrExpired", id, err)
				}
			})
			synctest.Wait()
		}
		leave(0) // during its run
		x.claim(1, 1, time.Time{}, rowFine).Abandon()
		leave(2) // before its run
		all.Go(func() { x.wait(x.claim(3, 1, time.Time{}, rowFine), 3) })
		synctest.Wait()
		cancel()
		all.Wait()
		if sizes, _ := e.runs(); !slices.Equal(sizes, []int{1, 1}) {
			t.Errorf("runs of %v rows, want the one running and the one whose caller stayed", sizes)
		}
		if s := x.q.Stats(); s.Abandoned != 3 || s.Answered != 1 {
			t.Errorf("abandoned %d, answered %d, want 3 and 1", s.Abandoned, s.Answered)
		}
	})
}

// A due batch that no runner takes is run by one of its callers, so that it does not wait for a slow model's run.
func TestRescue(t *testing.T) {
	slow := &fakeEngine{cost: func(int) time.Duration { return 100 * time.Millisecond }}
	inBubble(t, 1, slow, QueueOptions{Name: "slow", RescueAfter: -1}, func(x *harness) {
		fast := &fakeEngine{rowLen: 4}
		q, err := x.p.NewQueue(fast, QueueOptions{Name: "fast", Policy: Eager, MaxWait: 2 * time.Millisecond, RescueAfter: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		tk := x.claim(0, 1, time.Time{}, rowFine)
		tk.Commit()
		synctest.Wait()
		start := time.Now()
		y := &harness{t: t, e: fast, p: x.p, q: q}
		var all sync.WaitGroup
		for id := range 3 {
			all.Go(func() { y.wait(y.claim(id, 1, time.Time{}, rowFine), id) })
		}
		all.Wait()
		if d := time.Since(start); d != 3*time.Millisecond {
			t.Errorf("answered after %v, want 3ms: due after 2 ms, rescued 1 ms later", d)
		}
		if s := q.Stats(); s.Rescued != 1 || s.Batches != 1 {
			t.Errorf("%d of %d batches rescued, want 1 of 1", s.Rescued, s.Batches)
		}
		x.wait(tk, 0)
		if err := q.Close(context.Background()); err != nil {
			t.Error(err)
		}
		fast.check(t)
	})
}

// A batch is rescued even if all its callers have left with Then.
func TestRescueWithoutCallers(t *testing.T) {
	slow, fast := &fakeEngine{cost: func(int) time.Duration { return time.Second }}, &fakeEngine{rowLen: 1}
	inBubble(t, 1, slow, QueueOptions{Name: "slow", RescueAfter: -1}, func(x *harness) {
		q, err := x.p.NewQueue(fast, QueueOptions{Name: "fast", Policy: Eager, MaxWait: 2 * time.Millisecond, RescueAfter: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		first := x.claim(0, 1, time.Time{}, rowFine)
		first.Commit() // takes the runner
		synctest.Wait()
		start := time.Now()
		ends := make(chan error, 2)
		for range 2 {
			tk, err := q.Claim(1, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			tk.Then(collecting{make([]Result, 1), ends})
		}
		for range 2 {
			if err := <-ends; err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(start); d != 3*time.Millisecond {
			t.Errorf("answered after %v, want 3ms: due after 2 ms, rescued 1 ms later", d)
		}
		if s := q.Stats(); s.Rescued != 1 || s.Batches != 1 {
			t.Errorf("%d of %d batches rescued, want 1 of 1", s.Rescued, s.Batches)
		}
		x.wait(first, 0)
	})
}

// A batch that one claim fills is rescued too, although no other alarm is set.
func TestRescueOfAFullBatch(t *testing.T) {
	slow := &fakeEngine{cost: func(int) time.Duration { return 100 * time.Millisecond }}
	inBubble(t, 1, slow, QueueOptions{Name: "slow", RescueAfter: -1}, func(x *harness) {
		fast := &fakeEngine{rowLen: 4}
		q, err := x.p.NewQueue(fast, QueueOptions{Name: "fast", MaxRows: 4, MaxWait: 2 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		tk := x.claim(0, 1, time.Time{}, rowFine)
		tk.Commit()
		time.Sleep(5 * time.Millisecond) // the alarms of that claim have passed
		y := &harness{t: t, e: fast, p: x.p, q: q}
		for range 5 { // the runner is busy all the time
			start := time.Now()
			y.wait(y.claim(0, 4, time.Time{}, rowFine), 0)
			if d := time.Since(start); d != 3*time.Millisecond {
				t.Errorf("answered after %v, want 3ms: max_wait, and 1 ms until the rescue", d)
			}
			x.p.mu.Lock()
			if n := len(x.p.runnable); n > 1 {
				t.Errorf("the pool lists the queue %d times, want once", n)
			}
			x.p.mu.Unlock()
		}
		x.wait(tk, 0)
		if err := q.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// At a deadline the clock signals a waiting caller under the queue's lock: without it, the caller might find the expiry by
// itself and release the ticket first. It calls a receiver without the lock.
func TestSignalsAtTheDeadline(t *testing.T) {
	slow := &fakeEngine{cost: func(int) time.Duration { return time.Second }}
	inBubble(t, 1, slow, QueueOptions{MaxRows: 2, RescueAfter: -1}, func(x *harness) {
		deadline := time.Now().Add(10 * time.Millisecond)
		waits := x.claim(0, 1, deadline, rowFine)
		received := x.claim(1, 1, deadline, rowFine)
		waits.Commit()
		ends := make(chan error, 1)
		received.Then(collecting{make([]Result, 1), ends})
		synctest.Wait() // the batch runs
		x.q.tickLocked(int64(deadline.Sub(x.p.epoch)) + 1)
		x.q.mu.Lock()
		if len(waits.wake) != 1 || len(x.q.overdue) != 1 || x.q.overdue[0] != received || len(ends) != 0 {
			t.Errorf("%d signals, %d receivers to be called, %d called; want 1, 1, 0", len(waits.wake), len(x.q.overdue), len(ends))
		}
		x.q.mu.Unlock()
		time.Sleep(20 * time.Millisecond) // the clock's tick
		if err := <-ends; !errors.Is(err, ErrExpired) {
			t.Errorf("the receiver got %v, want ErrExpired", err)
		}
		if err := waits.Wait(context.Background(), make([]Result, 1)); !errors.Is(err, ErrExpired) {
			t.Errorf("the waiting caller got %v, want ErrExpired", err)
		}
	})
}
