package batcher

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gavel/internal/race"
)

// TestStress runs in real time with the precise clock: callers that cancel, bad rows, panics, overload, and queues that are
// swapped during calls. Every row must get its own answer, and end. BATCHER_STRESS=10m makes the test last 10 minutes.
func TestStress(t *testing.T) {
	length := 700 * time.Millisecond
	if s := os.Getenv("BATCHER_STRESS"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatalf("BATCHER_STRESS: %v", err)
		}
	}
	p, err := NewPool(PoolOptions{Runners: 2})
	if err != nil {
		t.Fatal(err)
	}
	type served struct {
		*Queue
		e    *fakeEngine
		used sync.RWMutex // callers read-lock it: how their rows ended may be counted after Close has returned
	}
	newQueue := func(policy Policy) *served {
		e := &fakeEngine{rowLen: 3, cost: func(n int) time.Duration { return time.Duration(n) * time.Microsecond }}
		q, err := p.NewQueue(e, QueueOptions{MaxRows: 16, QueueRows: 64, MaxWait: 300 * time.Microsecond, Policy: policy,
			RetryRuns: 200, CalibrationRuns: 2})
		if err != nil {
			t.Fatal(err)
		}
		return &served{Queue: q, e: e}
	}
	var sum Stats
	queues := 0
	end := func(s *served) {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		s.e.check(t)
		s.used.Lock()
		defer s.used.Unlock()
		queues++
		st := s.Stats()
		if ends := st.Answered + st.Refused + st.Expired + st.Failed + st.Closed + st.Abandoned; ends != st.Rows {
			t.Errorf("%d rows claimed, %d ended", st.Rows, ends)
		}
		for _, n := range []struct{ sum, of *uint64 }{
			{&sum.Answered, &st.Answered}, {&sum.Refused, &st.Refused}, {&sum.Expired, &st.Expired}, {&sum.Failed, &st.Failed},
			{&sum.Abandoned, &st.Abandoned}, {&sum.Rescued, &st.Rescued}, {&sum.Inline, &st.Inline}, {&sum.Batches, &st.Batches},
			{&sum.ShedFull, &st.ShedFull}, {&sum.ShedLate, &st.ShedLate}, {&sum.Panics, &st.Panics},
		} {
			*n.sum += *n.of
		}
	}
	var current atomic.Pointer[served]
	current.Store(newQueue(Adaptive))
	var answered atomic.Int64
	began := time.Now()
	running := func() bool { // on a busy machine it takes longer until each kind of end has come
		took := time.Since(began)
		return took < length || answered.Load() < 5000 && took < time.Minute
	}
	var callers sync.WaitGroup
	for c := range 24 {
		callers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 1))
			for running() {
				n := 1 + r.IntN(9)
				kinds := make([]int32, n)
				for k := range kinds {
					if r.IntN(200) == 0 {
						kinds[k] = []int32{rowBad, rowNamed, rowInvalid, rowPanic}[r.IntN(4)]
					}
				}
				pc := callerScript{kinds: kinds, abandons: r.IntN(50) == 0, early: r.IntN(2) == 0, then: r.IntN(3) == 0, slack: time.Hour}
				if r.IntN(2) == 0 {
					pc.deadline = time.Duration(r.IntN(3000)) * time.Microsecond
				}
				if r.IntN(20) == 0 {
					pc.leaves = time.Duration(1+r.IntN(1000)) * time.Microsecond
				}
				s := current.Load()
				s.used.RLock()
				err := stressOnce(s.Queue, c*1000, pc)
				s.used.RUnlock()
				if err != nil {
					t.Errorf("caller %d: %v", c, err)
					return
				}
				answered.Add(1)
				time.Sleep(time.Duration(r.IntN(200)) * time.Microsecond) // the caller's own work
			}
		})
	}
	for i := 1; running(); i++ {
		time.Sleep(20 * time.Millisecond)
		end(current.Swap(newQueue(Policies[i%len(Policies)])))
	}
	callers.Wait()
	end(current.Load())
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if answered.Load() < 100 {
		t.Errorf("only %d calls returned, too few for this test", answered.Load())
	}
	for what, n := range map[string]uint64{"was shed": sum.ShedFull + sum.ShedLate, "expired": sum.Expired, "was abandoned": sum.Abandoned,
		"was refused": sum.Refused, "panicked": sum.Panics} {
		if n == 0 {
			t.Errorf("no row %s, which this test is to cover", what)
		}
	}
	t.Logf("%d calls, %d queues, rows answered %d, refused %d, failed %d, expired %d, abandoned %d, shed %d; %d batches, %d panics, %d inline, %d rescued",
		answered.Load(), queues, sum.Answered, sum.Refused, sum.Failed, sum.Expired, sum.Abandoned, sum.ShedFull+sum.ShedLate,
		sum.Batches, sum.Panics, sum.Inline, sum.Rescued)
}

// stressOnce is callOnce in real time, in which a deadline may pass before Claim.
func stressOnce(q *Queue, id int, c callerScript) error {
	err := callOnce(q, id, c, false)
	if errors.Is(err, ErrExpired) { // from Claim
		return nil
	}
	return err
}

// The steady state allocates no memory, under any policy and wherever a batch runs.
func TestNoAllocations(t *testing.T) {
	f := func(name string, o QueueOptions, rows int, early bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			if race.Enabled {
				t.Skip("sync.Pool drops at random under the race detector")
			}
			p, err := NewPool(PoolOptions{})
			if err != nil {
				t.Fatal(err)
			}
			q, err := p.NewQueue(noop{}, o)
			if err != nil {
				t.Fatal(err)
			}
			out := make([]Result, rows)
			ctx, cancel := context.WithCancel(context.Background())
			deadline := time.Now().Add(time.Hour)
			got := testing.AllocsPerRun(300, func() {
				tk, err := q.Claim(rows, deadline)
				if err != nil {
					t.Fatal(err)
				}
				if early {
					tk.Commit()
				}
				if err := tk.Wait(ctx, out); err != nil {
					t.Fatal(err)
				}
			})
			if got > 0 {
				t.Errorf("%v allocations a call, want 0", got)
			}
			cancel()
			if err := p.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
	}
	f("a row run inline", QueueOptions{}, 1, false)
	f("a row run by a runner", QueueOptions{}, 1, true)
	f("rows over several batches", QueueOptions{MaxRows: 4}, 9, true)
	f("a row under off", QueueOptions{Policy: Off}, 1, false)
	f("rows over several batches under off", QueueOptions{Policy: Off, MaxRows: 4}, 9, true)
	f("a row under window", QueueOptions{Policy: Window, MaxWait: 100 * time.Microsecond}, 1, true)
}

// A batch leaves soon after 100 µs. Only the best of many waits is checked, because the machine may be busy.
func TestPreciseClock(t *testing.T) {
	if newPreciseSleeperOrNil() == nil {
		t.Skip("no precise sleeper on " + runtime.GOOS)
	}
	p, err := NewPool(PoolOptions{Runners: 1})
	if err != nil {
		t.Fatal(err)
	}
	q, err := p.NewQueue(noop{}, QueueOptions{Policy: Window, MaxWait: 100 * time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	best := time.Hour
	var sum time.Duration
	for range 50 {
		start := time.Now()
		tk, err := q.Claim(1, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if err := tk.Wait(context.Background(), make([]Result, 1)); err != nil {
			t.Fatal(err)
		}
		d := time.Since(start)
		if d < 100*time.Microsecond {
			t.Errorf("answered after %v, want at least 100µs", d)
		}
		best, sum = min(best, d), sum+d
		time.Sleep(time.Millisecond) // let the process become idle, when Go's timers are late
	}
	if best > 600*time.Microsecond {
		t.Errorf("a wait of 100µs took %v at best", best)
	}
	t.Logf("a wait of 100µs took %v at best, %v in the mean", best, sum/50)
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func newPreciseSleeperOrNil() sleeper {
	s := newPreciseSleeper()
	if s != nil {
		s.close()
	}
	return s
}

// TestReuse has callers whose claims take turns in being alone and in sharing batches, because more of them come than may run
// their own. A batch that was shared is soon claimed by one caller alone, while the last to commit before has not noticed
// yet that it ran.
func TestReuse(t *testing.T) {
	p, err := NewPool(PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	q, err := p.NewQueue(noop{}, QueueOptions{MaxRows: 128, MaxWait: 200 * time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	const claims = 100_000
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var out [1]Result
			for range claims / 8 {
				ticket, err := q.Claim(1, time.Time{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := ticket.Wait(context.Background(), out[:]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := q.Stats(); s.Answered != claims || s.Inline == 0 || s.Inline == s.Batches {
		t.Errorf("%d answered of %d; %d of %d batches were run by their callers, want some", s.Answered, claims, s.Inline, s.Batches)
	}
}
