package enginetest

import (
	"errors"
	"math/rand/v2"
	"testing"
	"unsafe"

	"gavel/internal/engine"
)

func checkSchema(t testing.TB, s *Subject) {
	e := s.open(t)
	schema := e.Schema()
	if err := schema.Check(); err != nil {
		t.Fatal(err)
	}
	zeros := columns(schema.Inputs, 1)
	for _, capacity := range []int{1, rows} {
		b := newBatch(t, e, capacity)
		if err := errors.Join(engine.Fit(b.Inputs(), schema.Inputs, capacity), engine.Fit(b.Outputs(), schema.Outputs, capacity)); err != nil {
			t.Error(err)
		}
		for i := range capacity {
			if !equalRows(b.Inputs(), i, zeros, 0) {
				t.Errorf("row %d of a new batch of %d rows is not all zeros", i, capacity)
			}
		}
		before := [2]*engine.Column{&b.Inputs()[0], &b.Outputs()[0]}
		data := [2]unsafe.Pointer{address(before[0]), address(before[1])}
		run(t, b, capacity)
		if before != [2]*engine.Column{&b.Inputs()[0], &b.Outputs()[0]} || data != [2]unsafe.Pointer{address(before[0]), address(before[1])} {
			t.Error("a run moved the columns in memory")
		}
		b.Close()
	}
}

func checkZeros(t testing.TB, s *Subject) {
	e := s.open(t)
	b := newBatch(t, e, rows)
	defer b.Close()
	if err := validate(e, b.Inputs(), 0); err != nil {
		t.Errorf("Validate refuses a row of zeros: %v", err)
	}
	run(t, b, 1)
	alone := outputs(b, 0)
	run(t, b, rows)
	for i := range rows {
		s.same(t, "row of zeros", i, outputs(b, i), alone, s.Tolerance)
	}
}

func checkGolden(t testing.TB, s *Subject) {
	e := s.open(t)
	tolerance := s.GoldenTolerance
	if tolerance == 0 {
		tolerance = s.Tolerance
	}
	b := newBatch(t, e, rows)
	defer b.Close()
	for from := 0; from < len(s.Golden); from += rows {
		part := s.Golden[from:min(from+rows, len(s.Golden))]
		for i, g := range part {
			engine.Clear(b.Inputs(), i, 1)
			g.Write(b.Inputs(), i)
			if err := validate(e, b.Inputs(), i); err != nil {
				t.Errorf("Validate refuses golden row %d: %v", from+i, err)
			}
		}
		run(t, b, len(part))
		for i, g := range part {
			s.same(t, "golden row", from+i, outputs(b, i), g.Want, tolerance)
		}
	}
}

func checkIndependence(t testing.TB, s *Subject) {
	e := s.open(t)
	given, want := s.scored(t, e)
	defer given.Close()
	for _, capacity := range []int{1, 2, 5, 16, rows} {
		b := newBatch(t, e, capacity)
		for round := range 4 {
			order := rand.Perm(rows)
			n := 1 + rand.IntN(capacity)
			if round == 0 {
				n = capacity
			}
			for i := range capacity { // rows from n on are written but not run
				copyRow(b.Inputs(), i, given.Inputs(), order[i])
			}
			run(t, b, n)
			for i := range n {
				s.same(t, "row", order[i], outputs(b, i), want[order[i]], s.Tolerance)
			}
		}
		b.Close()
	}
}

func checkLeavesAlone(t testing.TB, s *Subject) {
	e := s.open(t)
	given, want := s.scored(t, e)
	defer given.Close()
	b := newBatch(t, e, rows)
	defer b.Close()
	engine.Clear(b.Inputs(), 0, rows)
	for i := range rows {
		copyRow(b.Inputs(), i, given.Inputs(), i)
	}
	run(t, b, rows)
	const n = rows / 3
	before := make([][]float64, rows)
	for i := range rows {
		before[i] = outputs(b, i)
	}
	for i := range n {
		copyRow(b.Inputs(), i, given.Inputs(), n+i)
	}
	run(t, b, n)
	for i := range rows {
		from := i
		if i < n {
			from = n + i
			s.same(t, "row", from, outputs(b, i), want[from], s.Tolerance)
		} else {
			s.same(t, "further row", i, outputs(b, i), before[i], 0)
		}
		if !equalRows(b.Inputs(), i, given.Inputs(), from) {
			t.Errorf("a run of %d rows changed the inputs of row %d", n, i)
		}
	}
}
