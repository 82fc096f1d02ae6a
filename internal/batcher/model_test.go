package batcher

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// plan is what callers do to one queue. runPlan carries it out under the fake clock, and checks each answer against
// what the caller alone could expect: its own result, its own row's fault, or a time that has really passed.
type plan struct {
	runners int
	nice    int
	options QueueOptions
	base    time.Duration // of a run
	perRow  time.Duration
	callers []plannedCaller
	closeAt time.Duration // 0: at the end
	closeIn time.Duration // the time Close is given; 0: as long as it takes
}

type plannedCaller struct {
	at       time.Duration
	kinds    []int32       // last values of its rows, see engine_test.go
	deadline time.Duration // after at; 0: none
	writing  time.Duration // between Claim and Wait
	leaves   time.Duration // its context ends so long after Wait begins; 0: never
	abandons bool
	early    bool          // commits before it waits, so that it does not run its batch itself
	then     bool          // does not wait: a receiver is told
	slack    time.Duration // how long after its deadline it may be answered: real time is not exact
}

func runPlan(t *testing.T, pl plan) (fault error) {
	var mu sync.Mutex
	blame := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fault = errors.Join(fault, fmt.Errorf(format, args...))
	}
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{rowLen: 3, cost: func(n int) time.Duration { return pl.base + time.Duration(n)*pl.perRow },
			ran: map[string]bool{}}
		p, err := NewPool(PoolOptions{Runners: pl.runners, RuntimeTimer: true, Nice: pl.nice})
		if err != nil {
			blame("%v", err)
			return
		}
		q, err := p.NewQueue(e, pl.options)
		if err != nil {
			blame("%v", err)
			return
		}
		start := time.Now()
		var closed time.Time // when Close was called
		var callers sync.WaitGroup
		for i, c := range pl.callers {
			callers.Go(func() {
				time.Sleep(c.at)
				mu.Lock()
				wasClosed := !closed.IsZero() && time.Now().After(closed)
				mu.Unlock()
				if err := callOnce(q, i, c, wasClosed); err != nil {
					blame("caller %d at %v: %w", i, c.at, err)
				}
			})
		}
		if pl.closeAt > 0 {
			time.Sleep(pl.closeAt)
			mu.Lock()
			closed = time.Now()
			mu.Unlock()
			ctx, cancel := context.WithCancel(context.Background())
			if pl.closeIn > 0 {
				ctx, cancel = context.WithTimeout(ctx, pl.closeIn)
			}
			err := q.Close(ctx)
			cancel()
			if err != nil && pl.closeIn == 0 {
				blame("Close: %v", err)
			}
		}
		callers.Wait()
		if err := p.Close(context.Background()); err != nil {
			blame("Pool.Close: %v", err)
		}
		s := q.Stats()
		if ends := s.Answered + s.Refused + s.Expired + s.Failed + s.Closed + s.Abandoned; ends != s.Rows {
			blame("%d rows claimed, %d ended, after %v: %+v", s.Rows, ends, time.Since(start), s)
		}
		if s.QueueRows != 0 || s.Running != 0 {
			blame("%d rows and %d batches left", s.QueueRows, s.Running)
		}
		if m := e.misuse.Load(); m != nil {
			blame("%s", *m)
		}
		if made, freed := e.batches.Load(), e.closed.Load(); made != freed {
			blame("%d batches made, %d freed", made, freed)
		}
	})
	return fault
}

// toldOf is a Receiver that collects into out.
type toldOf struct {
	out []Result
	err chan error
}

func (r toldOf) Answered(t *Ticket) { r.err <- t.Collect(r.out) }

func callOnce(q *Queue, id int, c plannedCaller, wasClosed bool) (fault error) {
	n := len(c.kinds)
	var deadline time.Time
	if c.deadline > 0 {
		deadline = time.Now().Add(c.deadline)
	}
	tk, err := q.Claim(n, deadline)
	switch {
	case err == nil && wasClosed:
		return errors.New("a claim after Close was taken")
	case errors.Is(err, ErrShed), errors.Is(err, ErrClosed):
		return nil
	case err != nil:
		return err
	}
	for i, kind := range c.kinds {
		row := tk.Row(i)
		for _, v := range row {
			if v != 0 {
				return fmt.Errorf("row %d shows another's values: %v", i, row)
			}
		}
		row[0], row[1], row[2] = int32(id*100+i), int32(i), kind
	}
	time.Sleep(c.writing)
	if c.abandons {
		tk.Abandon()
		return nil
	}
	if c.early && !c.then {
		tk.Commit()
	}
	begun := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	if c.leaves > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.leaves)
	}
	defer cancel()
	out := make([]Result, n)
	if c.then {
		told := toldOf{out, make(chan error, 2)}
		tk.Then(told)
		err = <-told.err
		defer func() {
			if len(told.err) > 0 {
				fault = errors.Join(fault, errors.New("a receiver was told twice"))
			}
		}()
	} else {
		err = tk.Wait(ctx, out)
	}
	now := time.Now()
	late := c.deadline > 0 && !now.Before(deadline)
	left := c.leaves > 0 && !c.then && now.Sub(begun) >= c.leaves
	if (c.early || c.then) && now.After(begun) && c.deadline > 0 && now.After(deadline.Add(c.slack)) && !q.engine.(*fakeEngine).ranHere() {
		return fmt.Errorf("answered %v after the deadline", now.Sub(deadline))
	}
	for i, r := range out {
		bad := c.kinds[i] == rowBad || c.kinds[i] == rowNamed || c.kinds[i] == rowInvalid
		switch {
		case r.Err == nil && (bad || c.kinds[i] == rowPanic):
			return fmt.Errorf("bad row %d was answered", i)
		case r.Err == nil:
			if want := answerOf([]int32{int32(id*100 + i)}); r.Probability != want {
				return fmt.Errorf("row %d got %v, want %v: another's answer", i, r.Probability, want)
			}
		case errors.Is(r.Err, ErrRow):
			if !bad {
				return fmt.Errorf("good row %d was refused: %w", i, r.Err)
			}
		case errors.Is(r.Err, ErrExpired):
			if !late && !left {
				return fmt.Errorf("row %d expired before its time", i)
			}
		case errors.Is(r.Err, ErrRun):
			if q.Stats().Panics == 0 {
				return fmt.Errorf("row %d: %w", i, r.Err)
			}
		case errors.Is(r.Err, ErrClosed):
			if !q.aborted.Load() {
				return fmt.Errorf("row %d: closed, though Close had time", i)
			}
		default:
			return fmt.Errorf("row %d: unexpected %w", i, r.Err)
		}
	}
	if (err == nil) != allAnswered(out) {
		return fmt.Errorf("Wait returned %v for %v", err, out)
	}
	return nil
}

func allAnswered(out []Result) bool {
	for _, r := range out {
		if r.Err != nil {
			return false
		}
	}
	return true
}

// dice draws numbers in [0,n).
type dice func(n int) int

// drawPlan makes a plan of what the dice say. Retries are enough for every row to be bad, so that ErrRun has one cause.
func drawPlan(d dice) plan {
	us := func(n int) time.Duration { return time.Duration(d(n)) * 100 * time.Microsecond }
	pl := plan{
		runners: 1 + d(3),
		options: QueueOptions{MaxRows: 1 + d(6), MaxWait: 100*time.Microsecond + us(30), Policy: Policies[d(len(Policies))],
			RetryRuns: 1000, RescueAfter: []time.Duration{-1, time.Millisecond}[d(2)], CalibrationRuns: d(3)},
		base: us(20), perRow: us(3),
	}
	pl.options.QueueRows = pl.options.MaxRows * (1 + d(8))
	pl.options.MaxRunners = d(3)
	if pl.options.Policy != Off && runtime.GOOS == "linux" {
		pl.nice = max(d(4)-2, 0)
	}
	if d(3) == 0 {
		pl.closeAt, pl.closeIn = us(100)+1, us(30)
	}
	pl.callers = make([]plannedCaller, 1+d(20))
	for i := range pl.callers {
		c := plannedCaller{at: us(100), deadline: us(120), abandons: d(10) == 0, early: d(2) == 0, then: d(3) == 0}
		if d(4) == 0 {
			c.writing = us(30)
		}
		if d(6) == 0 {
			c.leaves = us(30)
		}
		c.kinds = make([]int32, 1+d(9))
		for k := range c.kinds {
			if d(8) == 0 {
				c.kinds[k] = []int32{rowBad, rowNamed, rowInvalid, rowPanic}[d(4)]
			}
		}
		pl.callers[i] = c
	}
	return pl
}

// Whatever callers do, every row is answered once, with its own result or its own fault.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pl := drawPlan(func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "d") })
		if err := runPlan(t, pl); err != nil {
			rt.Fatalf("%v\n%+v", err, pl)
		}
	})
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte("a plan of what callers do to one queue"))
	f.Add([]byte{1, 5, 9, 2, 0, 1, 0, 19, 2, 7, 1, 1, 90, 20, 19, 0, 50, 1, 1, 0, 8, 0, 0, 0, 1, 0, 2, 0, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2000 {
			t.Skip("long enough")
		}
		pl := drawPlan(func(n int) int {
			if len(data) == 0 {
				return 0
			}
			var b [2]byte
			data = data[copy(b[:1], data):]
			return int(binary.LittleEndian.Uint16(b[:])) % n
		})
		if err := runPlan(t, pl); err != nil {
			t.Fatalf("%v\n%+v", err, pl)
		}
	})
}
