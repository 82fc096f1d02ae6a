package batcher

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Close answers every row claimed before, and refuses later claims.
func TestCloseDrains(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return 5 * time.Millisecond }}
	inBubble(t, 1, e, QueueOptions{MaxRows: 4, MaxWait: time.Second, Policy: Window}, func(x *harness) {
		var all sync.WaitGroup
		for id := range 6 {
			all.Go(func() { x.wait(x.claim(id, 1, time.Time{}, rowFine), id) })
		}
		synctest.Wait()
		writing := x.claim(6, 1, time.Time{}, rowFine) // Close waits for it
		start := time.Now()
		all.Go(func() {
			time.Sleep(20 * time.Millisecond)
			x.wait(writing, 6)
		})
		if err := x.q.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 25*time.Millisecond {
			t.Errorf("closed after %v, want 25ms: the last caller wrote for 20 ms, its run took 5 ms", d)
		}
		all.Wait()
		if _, err := x.q.Claim(1, time.Time{}); !errors.Is(err, ErrClosed) {
			t.Errorf("claim after Close: %v, want ErrClosed", err)
		}
		if s := x.q.Stats(); s.FlushClose != 1 || s.FlushFull != 1 || s.Answered != 7 {
			t.Errorf("flushed by close %d, full %d, rows answered %d; want 1, 1, 7", s.FlushClose, s.FlushFull, s.Answered)
		}
		e.check(t) // every batch was freed before Close returned
	})
}

// If its context ends first, Close answers rows whose run has not begun with ErrClosed. A batch that runs is freed when its
// run ends.
func TestCloseGivesUp(t *testing.T) {
	e := &fakeEngine{cost: func(int) time.Duration { return time.Second }}
	inBubble(t, 1, e, QueueOptions{MaxRows: 1, RescueAfter: -1}, func(x *harness) {
		var all sync.WaitGroup
		start := time.Now()
		begun := x.claim(0, 1, time.Time{}, rowFine)
		begun.Commit()
		synctest.Wait()
		for id := 1; id < 4; id++ {
			all.Go(func() {
				if err := x.claim(id, 1, time.Time{}, rowFine).Wait(context.Background(), make([]Result, 1)); !errors.Is(err, ErrClosed) {
					t.Errorf("row %d: %v, want ErrClosed", id, err)
				}
				if d := time.Since(start); d != 100*time.Millisecond {
					t.Errorf("row %d was answered after %v, want 100ms: when Close gave up", id, d)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := x.q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close in 100 ms: %v, want its context's error", err)
		}
		all.Wait()
		if _, err := x.p.NewQueue(e, QueueOptions{MaxRows: 1}); err != nil {
			t.Errorf("NewQueue after another queue's Close: %v", err)
		}
		x.wait(begun, 0)
		if err := x.q.Close(context.Background()); err != nil {
			t.Errorf("Close again: %v", err)
		}
	})
}

// A row that is committed after Close has given up is answered, although runners and clock have ended.
func TestCommitAfterClose(t *testing.T) {
	f := func(name string, o QueueOptions, early bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, &fakeEngine{}, o, func(x *harness) {
				writing := x.claim(0, 1, time.Time{}, rowFine)
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				if err := x.p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Close in 1 ms: %v, want its context's error", err)
				}
				if early {
					writing.Commit()
				}
				if err := writing.Wait(context.Background(), make([]Result, 1)); !errors.Is(err, ErrClosed) {
					t.Errorf("the row: %v, want ErrClosed", err)
				}
			})
		})
	}
	f("committed by Wait", QueueOptions{}, false)
	f("committed before Wait", QueueOptions{}, true)
	f("policy window", QueueOptions{Policy: Window}, true)
	f("full batch", QueueOptions{MaxRows: 1}, true)
	f("policy off", QueueOptions{Policy: Off}, true)
}

func TestPoolRefusesAfterClose(t *testing.T) {
	p, err := NewPool(PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	e := &fakeEngine{rowLen: 1}
	if _, err := p.NewQueue(e, QueueOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("NewQueue after Close: %v, want ErrClosed", err)
	}
	e.check(t)
}

func TestOptionsReportEveryFault(t *testing.T) {
	p, err := NewPool(PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	_, err = p.NewQueue(&fakeEngine{rowLen: 1}, QueueOptions{MaxRows: -1, MaxWait: -1, Policy: "hasty", Weight: -1,
		MaxRunners: -1, RetryRuns: -1, CalibrationRuns: -1, QueueRows: -5})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"max_rows", "max_wait", "queue_rows", "policy", "weight", "max_runners", "retry_runs",
		"calibration_runs"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	if _, err := NewPool(PoolOptions{Runners: -1}); err == nil {
		t.Error("a pool of -1 runners was accepted")
	}
}
