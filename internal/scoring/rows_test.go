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

// Score and Start answer alike.
func TestRows(t *testing.T) {
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	versionOf := func(e *testEngine, rows int) *Version {
		t.Helper()
		e.rowLen = 2
		queue, err := pool.NewQueue(e, batcher.QueueOptions{Name: "t", MaxRows: 4, QueueRows: rows, Policy: batcher.Eager})
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
		told := toldOf{started, make(chan error, 1)}
		v.start(rows, n, deadline, told)
		if err := <-told.err; !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: started, got %v, want %v", name, err, wantErr)
		}
		err := v.Score(rows, deadline, results)
		if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: got %v, want %v", name, err, wantErr)
		}
		for i := range want {
			if started[i].Probability != results[i].Probability || (started[i].Err == nil) != (results[i].Err == nil) {
				t.Errorf("%s: row %d, started, is %+v, want %+v", name, i, started[i], results[i])
			}
		}
		for i, p := range want {
			if p < 0 && !errors.Is(results[i].Err, wantErr) || p >= 0 && (results[i].Err != nil || results[i].Probability != p) {
				t.Errorf("%s: row %d is %+v, want %v", name, i, results[i], p)
			}
		}
	}
	soon := time.Now().Add(time.Minute)
	sound := versionOf(&testEngine{}, 64)
	f("rows", sound, 3, soon, nil, 0, 1./8, 2./8)
	f("more rows than a batch holds", sound, 40, soon, nil, 0, 1./8, 2./8)
	f("a refused row", versionOf(&testEngine{refuse: 1}, 64), 3, soon, ErrRow, 0, -1, 2./8)
	f("too late", sound, 1, time.Now().Add(-time.Second), ErrExpired)
	f("too many", versionOf(&testEngine{}, 4), 5, soon, ErrShed)
	closed := versionOf(&testEngine{}, 64)
	if err := closed.queue.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	f("closed", closed, 1, soon, ErrClosed)
	broken := &testEngine{}
	unsound := versionOf(broken, 64)
	broken.broken = true
	f("a broken engine", unsound, 1, soon, batcher.ErrRun)

	panicking := versionOf(&testEngine{}, 64)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("rows of another size were scored")
			}
		}()
		_ = panicking.Score(make([]int32, 1), soon, make([]Result, 2))
	}()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("rows of another size were started")
			}
		}()
		panicking.start(make([]int32, 1), 2, soon, toldOf{})
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := panicking.queue.Close(ctx); err != nil {
		t.Errorf("a panic before Wait leaves its places claimed: %v", err)
	}
}

func TestRowsAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes pools drop items")
	}
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	queue, err := pool.NewQueue(silent{2}, batcher.QueueOptions{Name: "t"})
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
		t.Errorf("%v allocations for 8 rows", n)
	}
	var told Receiver = toldOf{results, make(chan error, 1)}
	if n := testing.AllocsPerRun(200, func() {
		v.start(rows, 8, time.Time{}, told)
		if err := <-told.(toldOf).err; err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for 8 rows that are started", n)
	}
}

// toldOf is a Receiver that keeps what it is told.
type toldOf struct {
	results []Result
	err     chan error
}

func (r toldOf) Scored(results []Result, err error) {
	copy(r.results, results)
	r.err <- err
}

// silent is an engine that does nothing, without allocations.
type silent struct{ rowLen int }

func (e silent) Schema() *engine.Schema { return indices(e.rowLen) }
func (e silent) Close() error           { return nil }

func (e silent) NewBatch(capacity int) (engine.Batch, error) {
	b := newTestBatch(capacity, e.rowLen)
	return &b, nil
}
