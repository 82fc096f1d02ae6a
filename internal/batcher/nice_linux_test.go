package batcher

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gavel/internal/engine"
	"gavel/internal/host"
)

// niceEngine records the least and the greatest niceness of the threads that run its batches.
type niceEngine struct {
	noop
	least, most atomic.Int64
}

type niceBatch struct {
	noopBatch
	e *niceEngine
}

func (e *niceEngine) NewBatch(capacity int) (engine.Batch, error) {
	return &niceBatch{noopBatch{newMemory(capacity, 32)}, e}, nil
}

func (b *niceBatch) Run(int) error {
	nice := int64(niceness())
	for v := b.e.least.Load(); nice < v && !b.e.least.CompareAndSwap(v, nice); v = b.e.least.Load() {
	}
	for v := b.e.most.Load(); nice > v && !b.e.most.CompareAndSwap(v, nice); v = b.e.most.Load() {
	}
	return nil
}

// niceness returns the niceness of the calling thread, -100 if it is not known.
func niceness() int {
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, syscall.Gettid())
	if err != nil {
		return -100
	}
	return 20 - raw
}

// All batches of a nice pool run in its nice threads, and those of another pool in threads that are not.
func TestNice(t *testing.T) {
	was := niceness()
	if was > 10 {
		t.Skipf("the process itself has nice %d", was)
	}
	f := func(nice, runners, want int) {
		t.Helper()
		p, err := NewPool(PoolOptions{Runners: runners, Nice: nice})
		if err != nil {
			t.Fatal(err)
		}
		e := new(niceEngine)
		e.least.Store(100)
		e.most.Store(-100)
		q, err := p.NewQueue(e, QueueOptions{MaxRows: 8})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 50 {
					tk, err := q.Claim(3, time.Time{})
					if err != nil {
						t.Error(err)
						return
					}
					if err := tk.Wait(context.Background(), make([]Result, 3)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		s := q.Stats()
		if least, most := int(e.least.Load()), int(e.most.Load()); least != want || most != want {
			t.Errorf("nice %d, %d runners: run with nice %d to %d, want %d", nice, runners, least, most, want)
		}
		if nice > 0 && s.Inline+s.Rescued > 0 {
			t.Errorf("%d batches inline, %d rescued, want none: callers are not nice", s.Inline, s.Rescued)
		}
	}
	f(was+3, 4, was+3)
	f(0, 2, was)
	if was > 0 {
		f(1, 1, max(was, 1)) // a thread cannot become less nice
	}
	var all, there sync.WaitGroup
	there.Add(16)
	for range 16 { // nice threads end with their runners, so no goroutine gets one
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			there.Done()
			there.Wait()
			if n := niceness(); n != was {
				t.Errorf("a thread has nice %d, want %d", n, was)
			}
		})
	}
	all.Wait()
}

// A row that no nice runner takes is not rescued. It expires at its deadline.
func TestNiceIsNotRescued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := NewPool(PoolOptions{Runners: 1, RuntimeTimer: true, Nice: 1})
		if err != nil {
			t.Fatal(err)
		}
		e := &fakeEngine{rowLen: 4, cost: func(int) time.Duration { return 50 * time.Millisecond }}
		q, err := p.NewQueue(e, QueueOptions{RescueAfter: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		x := &harness{t: t, e: e, p: p, q: q}
		busy := x.claim(0, 1, time.Time{}, rowFine)
		busy.Commit()
		synctest.Wait()
		start := time.Now()
		tk := x.claim(1, 1, start.Add(20*time.Millisecond), rowFine)
		if err := tk.Wait(context.Background(), make([]Result, 1)); err != ErrExpired {
			t.Errorf("%v, want ErrExpired", err)
		}
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("answered after %v, want 20ms", d)
		}
		x.wait(busy, 0)
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		x.balance()
		e.check(t)
	})
}

func TestNiceFaults(t *testing.T) {
	for _, o := range []PoolOptions{{Nice: -1}, {Nice: 20}} {
		if _, err := NewPool(o); err == nil || !strings.Contains(err.Error(), "nice") {
			t.Errorf("%+v: %v, want an error that names nice", o, err)
		}
	}
	p, err := NewPool(PoolOptions{Runners: 1, Nice: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	if _, err := p.NewQueue(noop{}, QueueOptions{Policy: Off}); err == nil || errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "nice") {
		t.Errorf("policy off in a nice pool: %v, want an error that names nice", err)
	}
}

// The CPU time of nice threads does not count as the process's.
func TestLoadWithoutNiceThreads(t *testing.T) {
	const spent = 50 * time.Millisecond
	was, done := processCPU(), make(chan error)
	host.GoNice(1, func(err error) {
		for start := host.NiceCPU(); err == nil && host.NiceCPU()-start < spent; {
		}
		done <- err
	})
	if err := <-done; err != nil {
		t.Skip(err)
	}
	if used := processCPU() - was; used > spent/2 || used < -spent/2 {
		t.Errorf("%v of a nice thread's %v were counted as the process's", used, spent)
	}
}
