package batcher

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gavel/internal/engine"
)

// Under Off no claims share a batch, and none waits for a runner.
func TestOffRunsInTheCaller(t *testing.T) {
	f := func(name string, early bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
			inBubble(t, 1, e, QueueOptions{Policy: Off, MaxRows: 4, QueueRows: 64}, func(x *harness) {
				start := time.Now()
				var all sync.WaitGroup
				for id := range 32 { // many more than the queue has batches at first
					tk := x.claim(2*id, 2, time.Time{}, rowFine)
					all.Go(func() {
						if early {
							tk.Commit()
						}
						x.wait(tk, 2*id)
					})
				}
				if _, err := x.q.Claim(1, time.Time{}); !errors.Is(err, errFull) {
					t.Errorf("a claim beyond queue_rows: %v, want %v", err, errFull)
				}
				all.Wait()
				if d := time.Since(start); d != 10*time.Millisecond {
					t.Errorf("32 runs of 10ms took %v, want 10ms: all at once", d)
				}
				x.wait(x.claim(100, 9, time.Time{}, rowFine), 100)
				if d := time.Since(start); d != 40*time.Millisecond {
					t.Errorf("a claim of 9 rows was answered after %v, want 40ms: three runs, one after the other", d)
				}
				sizes, _ := e.runs()
				if want := append(slices.Repeat([]int{2}, 32), 4, 4, 1); !slices.Equal(sizes, want) {
					t.Errorf("runs of %v rows, want %v", sizes, want)
				}
				if s := x.q.Stats(); s.FlushIdle != 35 || s.Batches != 35 || s.Inline != 35 {
					t.Errorf("%d of %d batches flushed idle, %d run by their callers; want 35 each", s.FlushIdle, s.Batches, s.Inline)
				}
			})
		})
	}
	f("committed by Wait", false)
	f("committed before Wait", true)
}

// MaxRunners bounds the callers that run at once. Other batches wait for a runner.
func TestOffBounded(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
	inBubble(t, 1, e, QueueOptions{Policy: Off, MaxRunners: 2}, func(x *harness) {
		start := time.Now()
		var all sync.WaitGroup
		for id := range 6 {
			all.Go(func() {
				tk := x.claim(id, 1, time.Time{}, rowFine)
				tk.Commit()
				x.wait(tk, id)
			})
		}
		all.Wait()
		sizes, begun := e.runs()
		if !slices.Equal(sizes, []int{1, 1, 1, 1, 1, 1}) {
			t.Errorf("runs of %v rows, want six of 1", sizes)
		}
		for i, at := range begun {
			if i > 1 && at.Sub(begun[i-2]) < 10*time.Millisecond {
				t.Errorf("run %d began %v after the start, while two others ran", i, at.Sub(start))
			}
		}
	})
}

// A row expires if its deadline passes before the commit, and is not run, or during the run.
func TestOffExpiry(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
	inBubble(t, 1, e, QueueOptions{Policy: Off}, func(x *harness) {
		for _, writing := range []time.Duration{6 * time.Millisecond, 0} {
			tk := x.claim(0, 1, time.Now().Add(5*time.Millisecond), rowFine)
			time.Sleep(writing)
			var out [1]Result
			if err := tk.Wait(context.Background(), out[:]); err != ErrExpired || out[0].Err != ErrExpired {
				t.Errorf("after %v of writing: %v, want ErrExpired", writing, err)
			}
		}
		x.claim(1, 1, time.Time{}, rowFine).Abandon()
		if s := x.q.Stats(); s.Runs != 1 || s.Empty != 2 || s.Expired != 2 || s.Abandoned != 1 {
			t.Errorf("%d runs, %d empty, %d expired, %d abandoned; want 1, 2, 2, 1", s.Runs, s.Empty, s.Expired, s.Abandoned)
		}
	})
}

// A row whose run is expected to end late is shed, unless the queue is empty.
func TestOffAdmission(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
	inBubble(t, 1, e, QueueOptions{Policy: Off, CalibrationRuns: 20}, func(x *harness) {
		claim := func(within time.Duration) (*Ticket, error) { return x.q.Claim(1, time.Now().Add(within)) }
		first, err := claim(5 * time.Millisecond)
		if err != nil {
			t.Fatalf("claim of an empty queue: %v", err)
		}
		if _, err := claim(5 * time.Millisecond); !errors.Is(err, errLate) {
			t.Errorf("claim beside another: %v, want %v", err, errLate)
		}
		second, err := claim(15 * time.Millisecond) // no other batch delays it
		if err != nil {
			t.Fatalf("claim with enough time: %v", err)
		}
		first.Abandon()
		second.Abandon()
	})
}

// Close waits for runs until its context ends. Then rows whose run has not begun get ErrClosed.
func TestOffClose(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 10 * time.Millisecond }}
	inBubble(t, 1, e, QueueOptions{Policy: Off, MaxRunners: 1, RescueAfter: -1}, func(x *harness) {
		var all sync.WaitGroup
		all.Go(func() { x.wait(x.claim(0, 1, time.Time{}, rowFine), 0) })
		synctest.Wait()
		for range 2 { // both wait until the first has ended
			all.Go(func() {
				tk := x.claim(1, 1, time.Time{}, rowFine)
				tk.Commit()
				if err := tk.Wait(context.Background(), make([]Result, 1)); !errors.Is(err, ErrClosed) {
					t.Errorf("a row whose run had not begun: %v, want ErrClosed", err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		if err := x.q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close in 5 ms: %v, want its context's error", err)
		}
		if _, err := x.q.Claim(1, time.Time{}); !errors.Is(err, ErrClosed) {
			t.Errorf("claim after Close: %v, want ErrClosed", err)
		}
		all.Wait()
		if err := x.q.Close(context.Background()); err != nil {
			t.Error(err)
		}
		e.check(t)
	})
}

// slowAllocator is an engine that takes its time to make a batch, or makes none.
type slowAllocator struct {
	fakeEngine
	delay  atomic.Int64 // ns
	refuse atomic.Bool
}

func (e *slowAllocator) NewBatch(capacity int) (engine.Batch, error) {
	time.Sleep(time.Duration(e.delay.Load()))
	if e.refuse.Load() {
		return nil, errors.New("engine: no memory left")
	}
	return e.fakeEngine.NewBatch(capacity)
}

// A claim that needs one more batch than there are makes it, or is shed. Close waits for a batch that is being made.
func TestOffMakesBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &slowAllocator{fakeEngine: fakeEngine{rowLen: 4}}
		p, err := NewPool(PoolOptions{Runners: 1, RuntimeTimer: true})
		if err != nil {
			t.Fatal(err)
		}
		q, err := p.NewQueue(e, QueueOptions{Policy: Off, MaxRows: 4, QueueRows: 8})
		if err != nil {
			t.Fatal(err)
		}
		x := &harness{t: t, e: &e.fakeEngine, p: p, q: q}
		var held []*Ticket
		for id := range 5 {
			held = append(held, x.claim(id, 1, time.Time{}, rowFine))
		}
		e.refuse.Store(true)
		if _, err := q.Claim(1, time.Time{}); !errors.Is(err, ErrShed) || !strings.Contains(err.Error(), "no memory left") {
			t.Errorf("claim without memory: %v, want ErrShed and the reason", err)
		}
		e.refuse.Store(false)
		e.delay.Store(int64(10 * time.Millisecond))
		start := time.Now()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := q.Claim(1, time.Time{}); !errors.Is(err, ErrClosed) {
				t.Errorf("claim during Close: %v, want ErrClosed", err)
			}
		})
		synctest.Wait()
		for _, tk := range held {
			tk.Abandon()
		}
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 10*time.Millisecond {
			t.Errorf("closed after %v, want 10ms: after the last batch was made", d)
		}
		all.Wait()
		e.check(t)
		x.balance()
	})
}
