package enginetest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"gavel/internal/engine"
)

func checkBadRow(t testing.TB, s *Subject) {
	if s.Spoil == nil {
		return
	}
	e := s.open(t)
	given, want := s.scored(t, e)
	defer given.Close()
	b := newBatch(t, e, rows)
	defer b.Close()
	for _, bad := range []int{0, rows / 2, rows - 1} {
		for i := range rows {
			copyRow(b.Inputs(), i, given.Inputs(), i)
		}
		s.Spoil(b.Inputs(), bad)
		refused := validate(e, b.Inputs(), bad) != nil
		for i := range rows {
			if err := validate(e, b.Inputs(), i); i != bad && err != nil {
				t.Errorf("Validate refuses row %d; only row %d is bad: %v", i, bad, err)
			}
		}
		err := b.Run(rows)
		var named *engine.RowError
		var several *engine.RowErrors
		switch {
		case errors.As(err, &several):
			if len(several.Rows) != 1 || several.Rows[0].Row != bad {
				t.Errorf("the bad row is %d: %v", bad, several.Rows)
			}
			for i := range rows {
				if i != bad {
					s.same(t, "beside a bad row, row", i, outputs(b, i), want[i], s.Tolerance)
				}
			}
		case errors.As(err, &named) && named.Row != bad:
			t.Errorf("Run names row %d; the bad row is %d: %v", named.Row, bad, err)
		case err == nil && !refused:
			t.Errorf("bad row %d was scored", bad)
		case named == nil && !refused:
			t.Errorf("bad row %d is neither refused by Validate nor named by Run: %v", bad, err)
		}
		for i := range rows {
			if i != bad && !equalRows(b.Inputs(), i, given.Inputs(), i) {
				t.Errorf("a failed run changed the inputs of row %d", i)
			}
		}
		copyRow(b.Inputs(), bad, given.Inputs(), bad)
		run(t, b, rows) // the bad row has no effect on later runs
		for i := range rows {
			s.same(t, "after the bad row was replaced, row", i, outputs(b, i), want[i], s.Tolerance)
		}
	}
}

func checkConcurrency(t testing.TB, s *Subject) {
	e := s.open(t)
	given, want := s.scored(t, e)
	defer given.Close()
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			b, err := e.NewBatch(16)
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			for range 50 {
				n := 1 + rand.IntN(16)
				order := rand.Perm(rows)[:n]
				var writers sync.WaitGroup // several goroutines write one batch
				for _, half := range [][2]int{{0, n / 2}, {n / 2, n}} {
					writers.Go(func() {
						for i := half[0]; i < half[1]; i++ {
							copyRow(b.Inputs(), i, given.Inputs(), order[i])
							if err := validate(e, b.Inputs(), i); err != nil {
								t.Error(err)
							}
						}
					})
				}
				writers.Wait()
				if err := b.Run(n); err != nil {
					t.Error(err)
					return
				}
				for i := range n {
					s.same(t, "row", order[i], outputs(b, i), want[order[i]], s.Tolerance)
				}
			}
		})
	}
	users.Wait()
}

func checkMemory(t testing.TB, s *Subject) {
	live := s.Live
	if live == nil {
		live = func() int64 { return 0 }
	}
	before := live()
	e, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	for _, capacity := range []int{1, rows} {
		b := newBatch(t, e, capacity)
		run(t, b, capacity)
		b.Close()
	}
	if err := e.Close(); err != nil {
		t.Errorf("cannot close the engine although no batch is open: %v", err)
	}
	if n := live() - before; n != 0 {
		t.Errorf("%d objects were not freed", n)
	}

	// The engine is closed before its batches: they can still run, and closing the last one frees the memory.
	if e, err = s.Open(); err != nil {
		t.Fatal(err)
	}
	one, two := newBatch(t, e, 2), newBatch(t, e, 3)
	if err := e.Close(); err == nil {
		t.Error("Close returned no error although two batches are open")
	}
	if b, err := e.NewBatch(1); err == nil {
		t.Error("a closed engine made a batch")
		b.Close()
	}
	run(t, one, 2)
	one.Close()
	run(t, two, 3)
	two.Close()
	if n := live() - before; n != 0 {
		t.Errorf("the engine was closed before its batches: %d objects were not freed", n)
	}
}

func checkAllocations(t testing.TB, s *Subject) {
	e := s.open(t)
	if slices.ContainsFunc(e.Schema().Inputs, func(f engine.Field) bool { return f.Type != engine.Int32 }) {
		return
	}
	b := newBatch(t, e, 32)
	defer b.Close()
	if n := testing.AllocsPerRun(100, func() {
		if validate(e, b.Inputs(), 5) != nil || b.Run(32) != nil {
			t.Error("a run of zeros failed")
		}
	}); n != 0 {
		t.Errorf("a run made %v allocations, want none", n)
	}
}
