// Package enginetest holds what every engine's tests need: one suite that says what an engine must do, and a Fake one in
// pure Go for the tests of those who use engines.
package enginetest

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"gavel/internal/engine"
)

// Subject is an engine under test.
type Subject struct {
	// Open opens the engine anew. The suite closes it.
	Open func() (engine.Engine, error)
	// Sample writes a random row that the engine scores; nil: the engine is an engine.Sampler.
	Sample func(inputs []engine.Column, i int)
	// Spoil makes row i, which is valid, one that the engine cannot score; nil: there is no such row.
	Spoil func(inputs []engine.Column, i int)
	// Tolerance is how far the outputs of one row may be apart, by its place, its batch's size and its neighbours; 0: equal
	// bits.
	Tolerance float64
	// Live counts what the engine holds outside Go's heap, in the whole process; nil: nothing.
	Live func() int64
	// Golden are rows whose outputs somebody else has computed.
	Golden []Golden
	// GoldenTolerance is how far the outputs may be from theirs; 0: as Tolerance.
	GoldenTolerance float64
}

// Golden is one row and its outputs: those of all fields in a sequence, in the order of the schema.
type Golden struct {
	Write func(inputs []engine.Column, i int)
	Want  []float64
}

// Run holds an engine against the contract of package engine, one subtest a rule.
func Run(t *testing.T, s Subject) {
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) { rule.check(t, &s) })
	}
}

var rules = []struct {
	name  string
	check func(testing.TB, *Subject)
}{
	{"the schema is sound and batches follow it", checkSchema},
	{"a row of zeros scores", checkZeros},
	{"golden rows", checkGolden},
	{"a row's outputs depend on that row alone", checkIndependence},
	{"a run leaves inputs and further rows alone", checkLeavesAlone},
	{"a bad row is named", checkBadRow},
	{"batches run side by side", checkConcurrency},
	{"memory is given back", checkMemory},
	{"a run of int32 rows allocates nothing", checkAllocations},
}

// rows is how many the suite scores: no power of two, so that vectorised code has a rest.
const rows = 37

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
				t.Errorf("row %d of %d of a new batch is not all zeros", i, capacity)
			}
		}
		before := [2]*engine.Column{&b.Inputs()[0], &b.Outputs()[0]}
		data := [2]unsafe.Pointer{address(before[0]), address(before[1])}
		run(t, b, capacity)
		if before != [2]*engine.Column{&b.Inputs()[0], &b.Outputs()[0]} || data != [2]unsafe.Pointer{address(before[0]), address(before[1])} {
			t.Error("columns moved in a run")
		}
		b.Close()
	}
}

func checkZeros(t testing.TB, s *Subject) {
	e := s.open(t)
	b := newBatch(t, e, rows)
	defer b.Close()
	if err := validate(e, b.Inputs(), 0); err != nil {
		t.Errorf("Validate refuses it: %v", err)
	}
	run(t, b, 1)
	alone := outputs(b, 0)
	run(t, b, rows)
	for i := range rows {
		s.same(t, "of zeros, place", i, outputs(b, i), alone, s.Tolerance)
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
				t.Errorf("golden row %d is refused: %v", from+i, err)
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
			for i := range capacity { // those from n on are not run, but are there
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
				t.Errorf("row %d is refused, %d is the bad one: %v", i, bad, err)
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
			t.Errorf("row %d is named, the bad one is %d: %v", named.Row, bad, err)
		case err == nil && !refused:
			t.Errorf("bad row %d was scored", bad)
		case named == nil && !refused:
			t.Errorf("bad row %d is neither refused by Validate nor named by Run: %v", bad, err)
		}
		for i := range rows {
			if i != bad && !equalRows(b.Inputs(), i, given.Inputs(), i) {
				t.Errorf("a run that failed changed the inputs of row %d", i)
			}
		}
		copyRow(b.Inputs(), bad, given.Inputs(), bad)
		run(t, b, rows) // another row's fault leaves nothing behind
		for i := range rows {
			s.same(t, "after a bad row, row", i, outputs(b, i), want[i], s.Tolerance)
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
				var writers sync.WaitGroup // a batch is written by many
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
		t.Errorf("closing with no batch open: %v", err)
	}
	if n := live() - before; n != 0 {
		t.Errorf("%d are left behind", n)
	}

	// Closed before its batches: they run on, and the last one frees it.
	if e, err = s.Open(); err != nil {
		t.Fatal(err)
	}
	one, two := newBatch(t, e, 2), newBatch(t, e, 3)
	if err := e.Close(); err == nil {
		t.Error("closing with two batches open gave no error")
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
		t.Errorf("closed before its batches: %d are left behind", n)
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
			t.Error("a row of zeros failed")
		}
	}); n != 0 {
		t.Errorf("%v allocations a run", n)
	}
}

// open opens the engine for one rule; it is closed, without a complaint, when that ends.
func (s *Subject) open(t testing.TB) engine.Engine {
	t.Helper()
	e, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// scored is a batch of random rows, the first all zeros, and what each gives alone. The caller closes the batch.
func (s *Subject) scored(t testing.TB, e engine.Engine) (given engine.Batch, alone [][]float64) {
	t.Helper()
	sample := s.Sample
	if sample == nil {
		sampler, ok := e.(engine.Sampler)
		if !ok {
			t.Fatal("the subject has no Sample, and its engine is no engine.Sampler")
		}
		sample = sampler.Sample
	}
	given = newBatch(t, e, rows)
	one := newBatch(t, e, 1)
	defer one.Close()
	for i := range rows {
		if i > 0 {
			sample(given.Inputs(), i)
		}
		if err := validate(e, given.Inputs(), i); err != nil {
			t.Fatalf("a sampled row is refused: %v", err)
		}
		copyRow(one.Inputs(), 0, given.Inputs(), i)
		run(t, one, 1)
		alone = append(alone, outputs(one, 0))
	}
	return given, alone
}

// same compares a row's outputs with those wanted: bits where tolerance is 0.
func (s *Subject) same(t testing.TB, what string, row int, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s %d: %d outputs, want %d", what, row, len(got), len(want))
		return
	}
	for k := range got {
		if math.Float64bits(got[k]) != math.Float64bits(want[k]) && !(math.Abs(got[k]-want[k]) <= tolerance && tolerance > 0) {
			t.Errorf("%s %d: output %d is %v, want %v to %v", what, row, k, got[k], want[k], tolerance)
			return
		}
	}
}

func newBatch(t testing.TB, e engine.Engine, capacity int) engine.Batch {
	t.Helper()
	b, err := e.NewBatch(capacity)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func run(t testing.TB, b engine.Batch, n int) {
	t.Helper()
	if err := b.Run(n); err != nil {
		t.Fatalf("run of %d rows: %v", n, err)
	}
}

func validate(e engine.Engine, inputs []engine.Column, i int) error {
	if v, ok := e.(engine.Validator); ok {
		return v.Validate(inputs, i)
	}
	return nil
}

// outputs are the values of row i, as in Golden.
func outputs(b engine.Batch, i int) (values []float64) {
	for _, c := range b.Outputs() {
		for j := i * c.Width; j < (i+1)*c.Width; j++ {
			if c.Type == engine.Float32 {
				values = append(values, float64(c.Float32[j]))
			} else {
				values = append(values, c.Float64[j])
			}
		}
	}
	return values
}

// cell is row i of a column: only the slice of its type is not empty.
func cell(c *engine.Column, i int) (r engine.Column) {
	switch from, to := i*c.Width, (i+1)*c.Width; c.Type {
	case engine.Int32:
		r.Int32 = c.Int32[from:to]
	case engine.Float32:
		r.Float32 = c.Float32[from:to]
	case engine.Float64:
		r.Float64 = c.Float64[from:to]
	case engine.Text:
		r.Text = c.Text[from:to]
	}
	return r
}

func copyRow(to []engine.Column, i int, from []engine.Column, j int) {
	for k := range to {
		a, b := cell(&to[k], i), cell(&from[k], j)
		copy(a.Int32, b.Int32)
		copy(a.Float32, b.Float32)
		copy(a.Float64, b.Float64)
		copy(a.Text, b.Text)
	}
}

func equalRows(x []engine.Column, i int, y []engine.Column, j int) bool {
	for k := range x {
		a, b := cell(&x[k], i), cell(&y[k], j)
		if !slices.Equal(a.Int32, b.Int32) || !slices.Equal(a.Float32, b.Float32) ||
			!slices.Equal(a.Float64, b.Float64) || !slices.Equal(a.Text, b.Text) {
			return false
		}
	}
	return true
}

// address is where a column's values are.
func address(c *engine.Column) unsafe.Pointer {
	switch c.Type {
	case engine.Int32:
		return unsafe.Pointer(unsafe.SliceData(c.Int32))
	case engine.Float32:
		return unsafe.Pointer(unsafe.SliceData(c.Float32))
	case engine.Float64:
		return unsafe.Pointer(unsafe.SliceData(c.Float64))
	default:
		return unsafe.Pointer(unsafe.SliceData(c.Text))
	}
}
