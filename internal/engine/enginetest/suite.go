// Package enginetest holds the conformance suite that every engine's tests run, and Fake, an engine in pure Go for the
// tests of packages that use engines.
//
// The rules about what a run returns are in rules_outputs.go. Those about bad rows, concurrency and memory are in
// rules_faults.go.
package enginetest

import (
	"math"
	"testing"

	"gavel/internal/engine"
)

// Subject is an engine under test.
type Subject struct {
	// Open returns a new instance of the engine, which the suite closes.
	Open func() (engine.Engine, error)
	// Sample writes random values into row i, which the engine can then score. If Sample is nil, the engine must be an
	// engine.Sampler.
	Sample func(inputs []engine.Column, i int)
	// Spoil changes the valid row i so that the engine cannot score it. Nil: the engine scores every row.
	Spoil func(inputs []engine.Column, i int)
	// Tolerance is the largest absolute difference between two outputs of one row, whatever its position, the size of its
	// batch and the other rows. 0: the outputs are equal bit by bit.
	Tolerance float64
	// Live counts the objects outside Go's heap that all engines of the process hold. Nil: engines hold none.
	Live func() int64
	// Golden are rows whose outputs another implementation has computed.
	Golden []Golden
	// GoldenTolerance is the largest absolute difference between an output and Golden.Want. 0: Tolerance.
	GoldenTolerance float64
}

// Golden is one row and its outputs.
type Golden struct {
	Write func(inputs []engine.Column, i int) // writes row i, which holds zeros and empty texts
	Want  []float64                           // the values of all output fields, in the order of the schema
}

// Run checks an engine against the contract of package engine, one subtest a rule.
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
	{"golden rows have their outputs", checkGolden},
	{"a row's outputs depend on that row alone", checkIndependence},
	{"a run leaves inputs and further rows alone", checkLeavesAlone},
	{"a bad row is refused or named", checkBadRow},
	{"batches run concurrently", checkConcurrency},
	{"memory is freed", checkMemory},
	{"a run of int32 rows allocates nothing", checkAllocations},
}

// rows is how many rows the suite scores. It is no multiple of a vector's length, so that vectorised code has a remainder.
const rows = 37

// open opens the engine for one rule. The rule's cleanup closes it, and fails if Close returns an error.
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

// scored returns a batch of valid rows, and the outputs of each row in a batch of its own. The first row is all zeros, the
// others are random. The caller closes the batch.
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
			t.Fatalf("Validate refuses a sampled row: %v", err)
		}
		copyRow(one.Inputs(), 0, given.Inputs(), i)
		run(t, one, 1)
		alone = append(alone, outputs(one, 0))
	}
	return given, alone
}

// same compares a row's outputs with want. If tolerance is 0, their bits must be equal.
func (s *Subject) same(t testing.TB, what string, row int, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s %d: %d outputs, want %d", what, row, len(got), len(want))
		return
	}
	for k := range got {
		if math.Float64bits(got[k]) != math.Float64bits(want[k]) && !(math.Abs(got[k]-want[k]) <= tolerance && tolerance > 0) {
			t.Errorf("%s %d: output %d is %v, want %v within %v", what, row, k, got[k], want[k], tolerance)
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

// validate returns the error of the engine's Validate, nil if the engine is no engine.Validator.
func validate(e engine.Engine, inputs []engine.Column, i int) error {
	if v, ok := e.(engine.Validator); ok {
		return v.Validate(inputs, i)
	}
	return nil
}
