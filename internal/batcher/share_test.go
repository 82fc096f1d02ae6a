package batcher

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gavel/internal/engine"
)

// meteredEngine measures every fourth run, the first included: it reports that the run took cpu.
type meteredEngine struct {
	fakeEngine
	cpu  time.Duration
	seen int // runs; one runner runs them all
}

type meteredBatch struct {
	*fakeBatch
	e    *meteredEngine
	last time.Duration
}

func (e *meteredEngine) NewBatch(capacity int) (engine.Batch, error) {
	b, err := e.fakeEngine.NewBatch(capacity)
	return &meteredBatch{fakeBatch: b.(*fakeBatch), e: e}, err
}

func (b *meteredBatch) Run(n int) error {
	b.last = 0
	if b.e.seen++; b.e.seen%4 == 1 {
		b.last = b.e.cpu
	}
	return b.fakeBatch.Run(n)
}

func (b *meteredBatch) RunCPU() time.Duration { return b.last }

// callUntil starts four callers that each have one row after another scored until stop. all waits for them.
func (x *harness) callUntil(stop time.Time, all *sync.WaitGroup) {
	for range 4 {
		all.Go(func() {
			for time.Now().Before(stop) {
				tk := x.claim(7, 1, time.Time{}, rowFine)
				tk.Commit()
				x.wait(tk, 7)
			}
		})
	}
}

// Two queues whose runs take the same CPU time get as many runs, though one queue's take twice the wall time.
func TestFairShareOfCPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := NewPool(PoolOptions{Runners: 1, RuntimeTimer: true})
		if err != nil {
			t.Fatal(err)
		}
		engines := []*meteredEngine{{cpu: 2 * time.Millisecond}, {cpu: 2 * time.Millisecond}}
		stop := time.Now().Add(2 * time.Second)
		var all sync.WaitGroup
		for i, e := range engines {
			e.rowLen = 4
			e.cost = func(int) time.Duration { return time.Duration(2+2*i) * time.Millisecond }
			q, err := p.NewQueue(e, QueueOptions{MaxRows: 1, RescueAfter: -1})
			if err != nil {
				t.Fatal(err)
			}
			x := &harness{t: t, e: &e.fakeEngine, p: p, q: q}
			x.callUntil(stop, &all)
		}
		all.Wait()
		if a, b := engines[0].seen, engines[1].seen; math.Abs(float64(a)/float64(b)-1) > 0.1 {
			t.Errorf("%d runs and %d, want equal numbers", a, b)
		}
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Two queues that always have work share one runner by their weights.
func TestFairShare(t *testing.T) {
	f := func(name string, costA, costB time.Duration, weightA, weightB, want float64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			a := &fakeEngine{cost: func(int) time.Duration { return costA }}
			inBubble(t, 1, a, QueueOptions{MaxRows: 1, Weight: weightA, RescueAfter: -1}, func(x *harness) {
				b := &fakeEngine{rowLen: 4, cost: func(int) time.Duration { return costB }}
				q, err := x.p.NewQueue(b, QueueOptions{MaxRows: 1, Weight: weightB, RescueAfter: -1})
				if err != nil {
					t.Fatal(err)
				}
				y := &harness{t: t, e: b, p: x.p, q: q}
				stop := time.Now().Add(2 * time.Second)
				var all sync.WaitGroup
				x.callUntil(stop, &all)
				y.callUntil(stop, &all)
				all.Wait()
				runsA, _ := a.runs()
				runsB, _ := b.runs()
				timeA, timeB := float64(len(runsA))*costA.Seconds(), float64(len(runsB))*costB.Seconds()
				if got := timeA / timeB; got < want*0.9 || got > want*1.1 {
					t.Errorf("run time %.3fs and %.3fs, ratio %.2f, want %.2f", timeA, timeB, got, want)
				}
			})
			a.check(t)
		})
	}
	const ms = time.Millisecond
	f("equal weights, equal costs", 2*ms, 2*ms, 1, 1, 1)
	f("equal weights, a slow model beside a fast one", 20*ms, ms, 1, 1, 1)
	f("weights 3 and 1", 5*ms, ms, 3, 1, 3)
}
