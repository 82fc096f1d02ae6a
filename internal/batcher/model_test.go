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

// scenario is what callers do to one queue. runScenario plays it under synctest's clock. It checks that each row gets its own
// result, its own fault, or an error whose time has come.
type scenario struct {
	runners int
	nice    int
	options QueueOptions
	base    time.Duration // of each run
	perRow  time.Duration
	callers []callerScript
	closeAt time.Duration // when the queue is closed; 0: at the end
	closeIn time.Duration // how long Close may take; 0: no bound
}

type callerScript struct {
	at       time.Duration
	kinds    []int32       // the last value of each of its rows; see rowFine
	deadline time.Duration // after at; 0: none
	writing  time.Duration // between Claim and Wait
	leaves   time.Duration // from the start of Wait to the end of its context; 0: never ends
	abandons bool
	early    bool          // commits before it waits, so that it does not run its batch inline
	then     bool          // leaves with Then
	slack    time.Duration // how long after its deadline it may be answered, since real time is not exact
}

func runScenario(t *testing.T, sc scenario) (fault error) {
	var mu sync.Mutex
	fail := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fault = errors.Join(fault, fmt.Errorf(format, args...))
	}
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{rowLen: 3, cost: func(n int) time.Duration { return sc.base + time.Duration(n)*sc.perRow },
			ran: map[string]bool{}}
		p, err := NewPool(PoolOptions{Runners: sc.runners, RuntimeTimer: true, Nice: sc.nice})
		if err != nil {
			fail("%v", err)
			return
		}
		q, err := p.NewQueue(e, sc.options)
		if err != nil {
			fail("%v", err)
			return
		}
		start := time.Now()
		var closed time.Time // when Close was called
		var callers sync.WaitGroup
		for i, c := range sc.callers {
			callers.Go(func() {
				time.Sleep(c.at)
				mu.Lock()
				wasClosed := !closed.IsZero() && time.Now().After(closed)
				mu.Unlock()
				if err := callOnce(q, i, c, wasClosed); err != nil {
					fail("caller %d at %v: %w", i, c.at, err)
				}
			})
		}
		if sc.closeAt > 0 {
			time.Sleep(sc.closeAt)
			mu.Lock()
			closed = time.Now()
			mu.Unlock()
			ctx, cancel := context.WithCancel(context.Background())
			if sc.closeIn > 0 {
				ctx, cancel = context.WithTimeout(ctx, sc.closeIn)
			}
			err := q.Close(ctx)
			cancel()
			if err != nil && sc.closeIn == 0 {
				fail("Close: %v", err)
			}
		}
		callers.Wait()
		if err := p.Close(context.Background()); err != nil {
			fail("Pool.Close: %v", err)
		}
		s := q.Stats()
		if ends := s.Answered + s.Refused + s.Expired + s.Failed + s.Closed + s.Abandoned; ends != s.Rows {
			fail("%d rows claimed, %d ended, after %v: %+v", s.Rows, ends, time.Since(start), s)
		}
		if s.QueueRows != 0 || s.Running != 0 {
			fail("%d rows and %d batches left", s.QueueRows, s.Running)
		}
		if m := e.misuse.Load(); m != nil {
			fail("%s", *m)
		}
		if made, freed := e.batches.Load(), e.closed.Load(); made != freed {
			fail("%d batches made, %d freed", made, freed)
		}
	})
	return fault
}

// collecting is a Receiver that collects into out and sends the error.
type collecting struct {
	out []Result
	err chan error
}

func (r collecting) Answered(t *Ticket) { r.err <- t.Collect(r.out) }

func callOnce(q *Queue, id int, c callerScript, wasClosed bool) (fault error) {
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
				return fmt.Errorf("row %d holds another's values: %v", i, row)
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
		received := collecting{out, make(chan error, 2)}
		tk.Then(received)
		err = <-received.err
		defer func() {
			if len(received.err) > 0 {
				fault = errors.Join(fault, errors.New("a receiver was called twice"))
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
				return fmt.Errorf("row %d got %v, want %v", i, r.Probability, want)
			}
		case errors.Is(r.Err, ErrRow):
			if !bad {
				return fmt.Errorf("good row %d was refused: %w", i, r.Err)
			}
		case errors.Is(r.Err, ErrExpired):
			if !late && !left {
				return fmt.Errorf("row %d expired before its deadline", i)
			}
		case errors.Is(r.Err, ErrRun):
			if q.Stats().Panics == 0 {
				return fmt.Errorf("row %d: %w", i, r.Err)
			}
		case errors.Is(r.Err, ErrClosed):
			if !q.aborted.Load() {
				return fmt.Errorf("row %d got ErrClosed, though Close has not given up", i)
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

// drawScenario draws a scenario. RetryRuns is enough for every row to be bad, so that only a panic causes ErrRun.
func drawScenario(d dice) scenario {
	us := func(n int) time.Duration { return time.Duration(d(n)) * 100 * time.Microsecond }
	sc := scenario{
		runners: 1 + d(3),
		options: QueueOptions{MaxRows: 1 + d(6), MaxWait: 100*time.Microsecond + us(30), Policy: Policies[d(len(Policies))],
			RetryRuns: 1000, RescueAfter: []time.Duration{-1, time.Millisecond}[d(2)], CalibrationRuns: d(3)},
		base: us(20) * time.Duration(d(2)), perRow: us(3),
	}
	sc.options.QueueRows = sc.options.MaxRows * (1 + d(8))
	sc.options.MaxRunners = d(3)
	if sc.options.Policy != Off && runtime.GOOS == "linux" {
		sc.nice = max(d(4)-2, 0)
	}
	if d(3) == 0 {
		sc.closeAt, sc.closeIn = us(100)+1, us(30)
	}
	sc.callers = make([]callerScript, 1+d(20))
	for i := range sc.callers {
		c := callerScript{at: us(100), deadline: us(120), abandons: d(10) == 0, early: d(2) == 0, then: d(3) == 0}
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
		sc.callers[i] = c
	}
	return sc
}

// Whatever callers do, every row ends once, with its own result or its own fault.
func TestScenarios(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sc := drawScenario(func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "d") })
		if err := runScenario(t, sc); err != nil {
			rt.Fatalf("%v\n%+v", err, sc)
		}
	})
}

func FuzzScenario(f *testing.F) {
	f.Add([]byte("a scenario of what callers do to one queue"))
	f.Add([]byte{1, 5, 9, 2, 0, 1, 0, 19, 2, 7, 1, 1, 90, 20, 19, 0, 50, 1, 1, 0, 8, 0, 0, 0, 1, 0, 2, 0, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2000 {
			t.Skip("too long")
		}
		sc := drawScenario(func(n int) int {
			if len(data) == 0 {
				return 0
			}
			var b [2]byte
			data = data[copy(b[:1], data):]
			return int(binary.LittleEndian.Uint16(b[:])) % n
		})
		if err := runScenario(t, sc); err != nil {
			t.Fatalf("%v\n%+v", err, sc)
		}
	})
}
