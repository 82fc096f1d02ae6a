package scoring

import (
	"context"
	"errors"
	"testing"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/batcher/batchertest"
	"gavel/internal/engine"
	"gavel/internal/race"
)

func TestScoreAndStartAgree(t *testing.T) {
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	versionOf := func(e *testEngine, queueRows int) *Version {
		t.Helper()
		e.rowLen = 2
		queue, err := pool.NewQueue(e, batcher.QueueOptions{Name: "t", MaxRows: 4, QueueRows: queueRows, Policy: batcher.Eager})
		if err != nil {
			t.Fatal(err)
		}
		return &Version{rowLen: 2, queue: queue}
	}
	f := func(name string, v *Version, n int, deadline time.Time, wantErr error, want ...float32) {
		t.Helper()
		rows, results := make([]int32, 2*n), make([]Result, n)
		for i := range n {
			rows[2*i+1] = int32(i)
		}
		started := make([]Result, n)
		done := copier{started, make(chan error, 1)}
		v.start(rows, n, deadline, done)
		if err := <-done.err; !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: Start gave %v, want %v", name, err, wantErr)
		}
		err := v.Score(rows, deadline, results)
		if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: Score gave %v, want %v", name, err, wantErr)
		}
		for i := range want {
			if started[i].Probability != results[i].Probability || (started[i].Err == nil) != (results[i].Err == nil) {
				t.Errorf("%s: row %d: Start gave %+v, Score %+v", name, i, started[i], results[i])
			}
		}
		for i, p := range want {
			if p < 0 && !errors.Is(results[i].Err, wantErr) || p >= 0 && (results[i].Err != nil || results[i].Probability != p) {
				t.Errorf("%s: row %d: Score gave %+v, want %v", name, i, results[i], p)
			}
		}
	}
	soon := time.Now().Add(time.Minute)
	sound := versionOf(&testEngine{}, 64)
	f("rows", sound, 3, soon, nil, 0, 1./8, 2./8)
	f("more rows than a batch holds", sound, 40, soon, nil, 0, 1./8, 2./8)
	f("a refused row", versionOf(&testEngine{refuse: 1}, 64), 3, soon, ErrRow, 0, -1, 2./8)
	f("a deadline that has passed", sound, 1, time.Now().Add(-time.Second), ErrExpired)
	f("more rows than the queue holds", versionOf(&testEngine{}, 4), 5, soon, ErrShed)
	closed := versionOf(&testEngine{}, 64)
	if err := closed.queue.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	f("a closed queue", closed, 1, soon, ErrClosed)
	f("a broken engine", versionOf(&testEngine{broken: true}, 64), 1, soon, batcher.ErrRun)

	panicking := versionOf(&testEngine{}, 64)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Score did not panic although rows is too short")
			}
		}()
		_ = panicking.Score(make([]int32, 1), soon, make([]Result, 2))
	}()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("start did not panic although rows is too short")
			}
		}()
		panicking.start(make([]int32, 1), 2, soon, copier{})
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := panicking.queue.Close(ctx); err != nil {
		t.Errorf("a panic left rows claimed: %v", err)
	}
}

func TestScoreAndStartDoNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("with the race detector, sync.Pool drops items")
	}
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	queue, err := pool.NewQueue(idleEngine{2}, batcher.QueueOptions{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	v := &Version{rowLen: 2, queue: queue}
	rows, results := make([]int32, 2*8), make([]Result, 8)
	if n := testing.AllocsPerRun(200, func() {
		if err := v.Score(rows, time.Time{}, results); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("Score made %v allocations for 8 rows, want none", n)
	}
	ended := make(chan error, 1)
	var done Receiver = copier{results, ended} // converted once: the conversion allocates
	if n := testing.AllocsPerRun(200, func() {
		v.start(rows, 8, time.Time{}, done)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("start made %v allocations for 8 rows, want none", n)
	}
}

// copier is a Receiver that copies the results, and then sends the error.
type copier struct {
	results []Result
	err     chan error
}

func (r copier) Scored(results []Result, err error) {
	copy(r.results, results)
	r.err <- err
}

// idleEngine is an engine whose runs do nothing, and so allocate nothing.
type idleEngine struct{ rowLen int }

func (e idleEngine) Schema() *engine.Schema { return indices(e.rowLen) }
func (e idleEngine) Close() error           { return nil }

func (e idleEngine) NewBatch(capacity int) (engine.Batch, error) {
	b := newTestBatch(capacity, e.rowLen)
	return &b, nil
}
