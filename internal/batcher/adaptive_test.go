package batcher

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// offer has a caller claim a row after each gap, so many in all; all waits for their answers.
func (x *bench) offer(claims int, gap time.Duration, all *sync.WaitGroup) {
	for id := range claims {
		time.Sleep(gap)
		all.Go(func() { x.wait(x.claim(id, 1, time.Time{}, rowFine), id) })
	}
}

// meanRows is of the batches that the queue has had.
func (x *bench) meanRows() float64 {
	s := x.q.Stats()
	return s.BatchRows.Sum / float64(s.Batches)
}

// The adaptive policy holds a batch while claims come fast, and stops where they do not come.
func TestAdaptiveHolds(t *testing.T) {
	cost := func(n int) time.Duration { return 100*time.Microsecond + time.Duration(n)*time.Microsecond }
	f := func(name string, gap time.Duration, wantLow, wantHigh float64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			o := QueueOptions{MaxRows: 64, MaxWait: 5 * time.Millisecond, CalibrationRuns: 2, Patience: 16}
			inBubble(t, 4, &fakeEngine{cost: cost}, o, func(x *bench) {
				var all sync.WaitGroup
				x.offer(2000, gap, &all)
				all.Wait()
				if mean := x.meanRows(); mean < wantLow || mean > wantHigh {
					t.Errorf("batches of %.2f rows in the mean, want %v to %v", mean, wantLow, wantHigh)
				}
			})
		})
	}
	// Patience 16 × 100 µs: from a claim every 1.6 ms down, nothing waits.
	f("a claim every 3 ms waits for nobody", 3*time.Millisecond, 1, 1.1)
	f("a claim every 100 µs finds company", 100*time.Microsecond, 8, 32)

	closed := func(callers int) {
		t.Run(fmt.Sprintf("callers that wait for their answers are not held once all are there, %d", callers), func(t *testing.T) {
			inBubble(t, 2, &fakeEngine{cost: cost}, QueueOptions{CalibrationRuns: 2}, func(x *bench) {
				var all sync.WaitGroup
				var took atomic.Int64
				for caller := range callers {
					all.Go(func() {
						for i := range 3000 {
							id, start := caller*3000+i, time.Now()
							x.wait(x.claim(id, 1, time.Time{}, rowFine), id)
							if i >= 2000 { // it has learnt by then
								took.Add(int64(time.Since(start)))
							}
						}
					})
				}
				all.Wait()
				mean, run := time.Duration(took.Load()/int64(1000*callers)), cost(callers)
				if mean > run+run/20 {
					t.Errorf("an answer took %v in the mean, the run %v: holding brings nobody and should have stopped", mean, run)
				}
			})
		})
	}
	closed(1)
	closed(2)
	closed(32)
}

// A batch is not held for what is next to nothing beside the whole cost of its claims.
func TestAdaptiveHoldsForMoreThanLittle(t *testing.T) {
	o := QueueOptions{MaxRows: 64, MaxWait: 50 * time.Millisecond, CalibrationRuns: 2, Patience: 1e6}
	cost := func(n int) time.Duration { return time.Duration(100+n) * time.Microsecond }
	inBubble(t, 4, &fakeEngine{cost: cost}, o, func(x *bench) {
		x.p.load.least.store(346e3) // ns a claim: 20 of them take 50 times what joining two saves, that apart
		var all sync.WaitGroup
		x.offer(2000, 100*time.Microsecond, &all)
		all.Wait()
		if mean := x.meanRows(); mean < 18 || mean > 22 {
			t.Errorf("batches of %.2f rows in the mean, want 20 or 21", mean)
		}
	})
}

// While it holds batches, the adaptive policy runs rows alone now and then, and so sees what that costs now.
func TestLooks(t *testing.T) {
	var alone atomic.Int64
	alone.Store(int64(100 * time.Microsecond))
	cost := func(n int) time.Duration {
		if n == 1 {
			return time.Duration(alone.Load())
		}
		return time.Duration(100+n) * time.Microsecond
	}
	o := QueueOptions{MaxRows: 64, MaxWait: 5 * time.Millisecond, CalibrationRuns: 2, Patience: 16}
	inBubble(t, 1, &fakeEngine{cost: cost}, o, func(x *bench) {
		var all sync.WaitGroup
		const gap = 200 * time.Microsecond
		want := func(when string, low, high time.Duration) {
			t.Helper()
			if got := x.q.Stats().BatchCost; got < low || got > high {
				t.Errorf("%s a batch costs %v, want %v to %v", when, got, low, high)
			}
		}
		x.offer(int(500*time.Millisecond/gap), gap, &all)
		want("before a look", 85*time.Microsecond, 105*time.Microsecond)
		alone.Store(int64(180 * time.Microsecond))
		x.offer(int(8*time.Second/gap), gap, &all) // looks after 1, 2, 4 and 8 s
		all.Wait()
		want("after four looks", 150*time.Microsecond, 190*time.Microsecond)
		runs, begun := x.e.runs()
		single := 0
		for i, rows := range runs {
			if rows == 1 && begun[i].Sub(begun[0]) > 600*time.Millisecond {
				single++
			}
		}
		if single < 4*lookRuns || single > 5*lookRuns {
			t.Errorf("%d of %d runs were of a single row, want the %d of four looks, or hardly more", single, len(runs), 4*lookRuns)
		}
	})
}

// The runs of a look are measured, though the engine would measure but one in four; others are as it likes.
func TestLooksAreMeasured(t *testing.T) {
	e := &meteredEngine{cpu: 100 * time.Microsecond}
	e.cost = func(int) time.Duration { return e.cpu }
	o := QueueOptions{MaxRows: 64, MaxWait: 5 * time.Millisecond, CalibrationRuns: 8, Patience: 16}
	inBubbleWith(t, 1, e, &e.fakeEngine, o, func(x *bench) {
		const gap = 200 * time.Microsecond
		var all sync.WaitGroup
		x.offer(int(8500*time.Millisecond/gap), gap, &all) // looks after 1, 2, 4 and 8 s
		all.Wait()
		if e.asked < 3*lookRuns || e.asked > 4*lookRuns {
			t.Errorf("%d of %d runs were asked for, want those of four looks, %d", e.asked, e.seen, 4*lookRuns)
		}
		was := e.asked
		time.Sleep(2 * lookPause)
		x.offer(int(900*time.Millisecond/gap), gap, &all) // a pause puts off the next look by a second
		all.Wait()
		if e.asked != was {
			t.Errorf("%d runs were asked for within a second after a pause, want none", e.asked-was)
		}
		x.offer(int(200*time.Millisecond/gap), gap, &all)
		all.Wait()
		if e.asked <= was {
			t.Error("no run was asked for a second after the pause")
		}
	})
}

// The first claims after a pause find everything cold, so that they are none to look at.
func TestLooksAfterPause(t *testing.T) {
	const ms = int64(1e6)
	var l looks
	f := func(when string, from, to int64, want int64) {
		t.Helper()
		begun, on := int64(0), false
		for now := from; now < to; now += ms {
			due := l.due(now)
			if due && !on {
				begun++
			}
			on = due
		}
		if begun != want {
			t.Errorf("%s: %d looks, want %d", when, begun, want)
		}
	}
	f("the first second", ms, 1000*ms, 0)
	f("8 s", 1000*ms, 8500*ms, 4)
	l.restart()
	f("a second after a pause", 20000*ms, 20999*ms, 0)
	f("8 s after it", 20999*ms, 28500*ms, 4)
	f("10 s later, and at most as often", 29000*ms, 39000*ms, 1)
}

// A queue is crowded where the next claim is expected before a row alone would have been run.
func TestCrowded(t *testing.T) {
	f := func(name string, o QueueOptions, gap time.Duration, want bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			e := &fakeEngine{cost: func(int) time.Duration { return 100 * time.Microsecond }}
			inBubble(t, 1, e, o, func(x *bench) {
				if x.q.Crowded() {
					t.Error("crowded before the first claim")
				}
				for id := range 2000 { // the rate is one of 20 ms and more
					x.claim(id, 1, time.Time{}, rowFine).Then(toldOf{make([]Result, 1), make(chan error, 1)})
					time.Sleep(gap)
				}
				if got := x.q.Crowded(); got != want {
					t.Errorf("a claim each %v: crowded %v, want %v", gap, got, want)
				}
			})
		})
	}
	f("many", QueueOptions{}, 50*time.Microsecond, true)
	f("few", QueueOptions{}, 200*time.Microsecond, false)
	f("many, off", QueueOptions{Policy: Off}, 50*time.Microsecond, false)
}
