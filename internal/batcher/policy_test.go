package batcher

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLeave(t *testing.T) {
	const ms, gap = time.Millisecond, time.Second / 3000
	f := func(name string, gap time.Duration, u float64, lastClaim, want time.Duration) {
		t.Helper()
		if got := Leave(6*ms, gap, u, lastClaim); got < want-time.Microsecond || got > want+time.Microsecond {
			t.Errorf("%s: leaves after %v, want %v", name, got, want)
		}
	}
	f("idle processors: at once", gap, 0, ms, ms)
	f("less than one claim expected: at once", gap, 0.228, 0, 0)
	f("one claim expected", gap, 0.24, 0, 384*time.Microsecond)
	f("seven claims", gap, 0.42, 6*gap, 2058*time.Microsecond)
	f("no more claims: after the silence", gap, 0.54, 0, 4*gap)
	f("busy processors: max_wait", gap, 0.6, 5*ms, 6*ms)
	f("busier processors: max_wait", gap, 1, 5*ms, 6*ms)
	f("the last claim was written late: at once", gap, 0.42, 4*ms, 4*ms)
	f("unknown gap: at once", 0, 1, ms, ms)
	f("rare claims: at once", 7*ms, 1, 0, 0)
}

// loaded runs f with a queue under synctest's clock. u returns the share of its two processors that the process uses.
func loaded(t *testing.T, e *fakeEngine, o QueueOptions, u func() float64, f func(x *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Int64
		end := make(chan struct{})
		go func() {
			for {
				select {
				case <-end:
					return
				case <-time.After(time.Millisecond):
					used.Add(int64(2 * u() * float64(time.Millisecond)))
				}
			}
		}()
		defer close(end)
		p, err := NewPool(PoolOptions{Runners: 2, RuntimeTimer: true, Processors: 2,
			CPU: func() time.Duration { return time.Duration(used.Load()) }})
		if err != nil {
			t.Fatal(err)
		}
		e.rowLen = 4
		q, err := p.NewQueue(e, o)
		if err != nil {
			t.Fatal(err)
		}
		f(&harness{t: t, e: e, p: p, q: q})
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		e.check(t)
	})
}

func steady(u float64) func() float64 { return func() float64 { return u } }

// offer starts a caller with one row after each gap. all waits for their answers.
func (x *harness) offer(claims int, gap time.Duration, all *sync.WaitGroup) {
	for id := range claims {
		time.Sleep(gap)
		all.Go(func() { x.wait(x.claim(id, 1, time.Time{}, rowFine), id) })
	}
}

// A queue holds its batches for as long as Leave says.
func TestAdaptiveHolds(t *testing.T) {
	f := func(name string, u float64, rate int, wantRows int, wantHold time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			e := &fakeEngine{}
			loaded(t, e, QueueOptions{MaxRows: 64, MaxWait: 6 * time.Millisecond}, steady(u), func(x *harness) {
				gap := time.Second / time.Duration(rate)
				var all sync.WaitGroup
				x.offer(3*rate, gap, &all) // the queue learns u and the gap
				all.Wait()
				time.Sleep(10 * gap)
				before, _ := e.runs()
				opened := time.Now().Add(gap)
				x.offer(wantRows, gap, &all)
				all.Wait()
				runs, begun := e.runs()
				if len(runs) != len(before)+1 || runs[len(before)] != wantRows {
					t.Fatalf("%d rows ran as %v, want one batch", wantRows, runs[len(before):])
				}
				if hold := begun[len(before)].Sub(opened); hold < wantHold-20*time.Microsecond || hold > wantHold+20*time.Microsecond {
					t.Errorf("the batch left after %v, want %v", hold, wantHold)
				}
			})
		})
	}
	// No case here ends with the silence: the pause before the last batch has made the gap longer, so its end is not exact.
	f("3,000 claims a second, u = 0.42", 0.42, 3000, 7, 2058*time.Microsecond)
	f("6,000 claims a second, u = 0.3", 0.3, 6000, 5, 750*time.Microsecond)
	f("busy processors", 0.8, 3000, 18, 6*time.Millisecond)
	f("idle processors", 0.1, 3000, 1, 0)
}

// A run that takes less than leastRun is not worth a hold, however busy the processors are.
func TestCheapRunsAreNotHeld(t *testing.T) {
	f := func(cost time.Duration, held bool) {
		t.Helper()
		t.Run(cost.String(), func(t *testing.T) {
			e := &fakeEngine{cost: func(int) time.Duration { return cost }}
			loaded(t, e, QueueOptions{MaxRows: 64}, steady(0.8), func(x *harness) {
				var all sync.WaitGroup
				x.offer(3000, time.Second/3000, &all)
				all.Wait()
				if got := x.q.Stats().Hold; (got > 0) != held {
					t.Errorf("runs of %v: a batch is held for %v", cost, got)
				}
			})
		})
	}
	f(leastRun-time.Microsecond, false)
	f(leastRun, true)
}

// When the load of the process changes, the hold follows within two seconds.
func TestHoldFollowsTheLoad(t *testing.T) {
	var busy atomic.Bool
	u := func() float64 {
		if busy.Load() {
			return 0.48
		}
		return 0
	}
	loaded(t, &fakeEngine{}, QueueOptions{MaxRows: 64, MaxWait: 6 * time.Millisecond}, u, func(x *harness) {
		want := func(when string, low, high time.Duration) {
			t.Helper()
			var all sync.WaitGroup
			x.offer(6000, time.Second/3000, &all)
			all.Wait()
			if got := x.q.Stats().Hold; got < low || got > high {
				t.Errorf("%s: a batch is held for %v, want %v to %v", when, got, low, high)
			}
		}
		want("at first", 0, 0)
		busy.Store(true)
		want("2 s later, busy", 2800*time.Microsecond, 3072*time.Microsecond)
		busy.Store(false)
		want("2 s later, idle", 0, 0)
	})
}

// If all callers wait for their answers before they claim again, a batch leaves after the silence that follows.
func TestAdaptiveAmongWaitingCallers(t *testing.T) {
	f := func(callers int) {
		t.Run(fmt.Sprint(callers), func(t *testing.T) {
			const run = 200 * time.Microsecond
			e := &fakeEngine{cost: func(int) time.Duration { return run }}
			loaded(t, e, QueueOptions{MaxRows: 64}, steady(1), func(x *harness) {
				var all sync.WaitGroup
				start := time.Now()
				const each = 2000
				for caller := range callers {
					all.Go(func() {
						for i := range each {
							id := caller*each + i
							x.wait(x.claim(id, 1, time.Time{}, rowFine), id)
						}
					})
				}
				all.Wait()
				// A round takes a run and the silence, which is a number of gaps; the gap is a round ÷ callers.
				most := run + DefaultMaxWait
				if callers > 2*silence {
					most = run * time.Duration(callers) / time.Duration(callers-silence) * 11 / 10
				}
				if took := time.Since(start) / each; took > most {
					t.Errorf("a round took %v, want at most %v", took, most)
				}
			})
		})
	}
	f(1)
	f(2)
	f(32)
}

// A queue is crowded if the next claim is expected before a row alone would have been run.
func TestCrowded(t *testing.T) {
	f := func(name string, o QueueOptions, gap time.Duration, want bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			e := &fakeEngine{cost: func(int) time.Duration { return 100 * time.Microsecond }}
			inBubble(t, 1, e, o, func(x *harness) {
				if x.q.Crowded() {
					t.Error("crowded before the first claim")
				}
				for id := range 2000 { // long enough to learn the gap
					x.claim(id, 1, time.Time{}, rowFine).Then(collecting{make([]Result, 1), make(chan error, 1)})
					time.Sleep(gap)
				}
				if got := x.q.Crowded(); got != want {
					t.Errorf("a claim each %v: crowded %v, want %v", gap, got, want)
				}
			})
		})
	}
	f("frequent claims", QueueOptions{}, 50*time.Microsecond, true)
	f("rare claims", QueueOptions{}, 200*time.Microsecond, false)
	f("frequent claims under off", QueueOptions{Policy: Off}, 50*time.Microsecond, false)
}
