package enginetest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync/atomic"

	"gavel/internal/engine"
)

// Fake is an engine in pure Go, for tests. Each output is a hash of the whole row, so that a misplaced or overwritten row
// gives another result. The functions may be set before the Fake is used; each may be nil.
type Fake struct {
	// Refuse returns what Validate returns for row i. Nil: every row is valid.
	Refuse func(inputs []engine.Column, i int) error
	// Before is called at the start of a run of n rows. It may block, and may panic. Its error fails the run and names no
	// row.
	Before func(n int) error
	// Fail is called for each row of a run. Its error fails the run as a *engine.RowError; it may panic.
	Fail func(inputs []engine.Column, i int) error
	// Several: all rows that Fail fails are named together, by a *engine.RowErrors, and the others are scored.
	Several bool
	// Make is called for each new batch. NewBatch returns its error; it may panic.
	Make func(capacity int) error

	schema  engine.Schema
	batches atomic.Int64 // open now
	made    atomic.Int64 // since the start
	runs    atomic.Int64
	closed  atomic.Bool
}

var (
	_ engine.Engine    = (*Fake)(nil)
	_ engine.Validator = (*Fake)(nil)
	_ engine.Sampler   = (*Fake)(nil)
)

// Indices returns the schema of most models: a row is int32[rowLen], its output one float32, the probability.
func Indices(rowLen int) engine.Schema {
	return engine.Schema{
		Inputs:  []engine.Field{{Name: "rows", Type: engine.Int32, Width: rowLen}},
		Outputs: []engine.Field{{Name: "probability", Type: engine.Float32, Width: 1}},
	}
}

// Typed returns a schema with every type of column, most of them wider than one value.
func Typed() engine.Schema {
	return engine.Schema{
		Inputs: []engine.Field{
			{Name: "indices", Type: engine.Int32, Width: 3}, {Name: "age", Type: engine.Float32, Width: 1},
			{Name: "embedding", Type: engine.Float32, Width: 4}, {Name: "amounts", Type: engine.Float64, Width: 2},
			{Name: "words", Type: engine.Text, Width: 2},
		},
		Outputs: []engine.Field{
			{Name: "scores", Type: engine.Float32, Width: 2}, {Name: "parts", Type: engine.Float64, Width: 3},
		},
	}
}

// NewFake returns an engine with that schema. It panics if the schema is unsound.
func NewFake(schema engine.Schema) *Fake {
	if err := schema.Check(); err != nil {
		panic(err)
	}
	return &Fake{schema: schema}
}

// Schema implements engine.Engine.
func (f *Fake) Schema() *engine.Schema { return &f.schema }

// Open returns how many batches are open.
func (f *Fake) Open() int64 { return f.batches.Load() }

// Made returns how many batches were ever made.
func (f *Fake) Made() int64 { return f.made.Load() }

// Runs returns how many times Batch.Run was called.
func (f *Fake) Runs() int64 { return f.runs.Load() }

// Validate implements engine.Validator.
func (f *Fake) Validate(inputs []engine.Column, i int) error {
	if f.Refuse == nil {
		return nil
	}
	return f.Refuse(inputs, i)
}

// Sample implements engine.Sampler. It writes values of every size, some zero, and some empty texts.
func (f *Fake) Sample(inputs []engine.Column, i int) {
	for k := range inputs {
		c := &inputs[k]
		for j := i * c.Width; j < (i+1)*c.Width; j++ {
			switch c.Type {
			case engine.Int32:
				c.Int32[j] = rand.Int32N(1000)
			case engine.Float32:
				c.Float32[j] = float32(rand.NormFloat64())
			case engine.Float64:
				c.Float64[j] = rand.NormFloat64() * 1e9
			case engine.Text:
				if c.Text[j] = ""; rand.IntN(3) > 0 {
					c.Text[j] = strconv.Itoa(rand.Int())
				}
			}
		}
	}
}

// Score returns the outputs that a run computes for row i, in the order of the schema. A float32 keeps its exact value.
func (f *Fake) Score(inputs []engine.Column, i int) (values []float64) {
	h := hash(inputs, i)
	for _, field := range f.schema.Outputs {
		for range field.Width {
			values = append(values, value(&h, field.Type))
		}
	}
	return values
}

// NewBatch implements engine.Engine.
func (f *Fake) NewBatch(capacity int) (engine.Batch, error) {
	if f.Make != nil {
		if err := f.Make(capacity); err != nil {
			return nil, err
		}
	}
	if f.closed.Load() {
		return nil, errors.New("enginetest: cannot make a batch: the engine is closed")
	}
	if capacity < 1 {
		return nil, fmt.Errorf("enginetest: cannot make a batch of %d rows", capacity)
	}
	f.batches.Add(1)
	f.made.Add(1)
	return &fakeBatch{f: f, capacity: capacity,
		inputs: columns(f.schema.Inputs, capacity), outputs: columns(f.schema.Outputs, capacity)}, nil
}

// Close implements engine.Engine. Open batches still run.
func (f *Fake) Close() error {
	if f.closed.Swap(true) {
		return nil
	}
	if n := f.batches.Load(); n > 0 {
		return fmt.Errorf("enginetest: the engine is closed while %d of its batches are open", n)
	}
	return nil
}

type fakeBatch struct {
	f               *Fake
	capacity        int
	inputs, outputs []engine.Column
	busy, closed    atomic.Bool
}

func (b *fakeBatch) Inputs() []engine.Column  { return b.inputs }
func (b *fakeBatch) Outputs() []engine.Column { return b.outputs }

// Run panics if the caller breaks the contract of engine.Batch, so that the caller's tests fail.
func (b *fakeBatch) Run(n int) error {
	if n < 1 || n > b.capacity {
		panic(fmt.Sprintf("enginetest: run of %d rows in a batch for %d", n, b.capacity))
	}
	if b.closed.Load() || b.busy.Swap(true) {
		panic("enginetest: a batch was run after Close, or by two goroutines at once")
	}
	defer b.busy.Store(false)
	f := b.f
	f.runs.Add(1)
	if f.Before != nil {
		if err := f.Before(n); err != nil {
			return err
		}
	}
	var failed *engine.RowErrors
	for i := range n {
		if f.Fail != nil {
			if err := f.Fail(b.inputs, i); err != nil {
				named := engine.RowError{Row: i, Err: err}
				if !f.Several {
					return fmt.Errorf("enginetest: %w", &named)
				}
				if failed == nil {
					failed = &engine.RowErrors{}
				}
				failed.Rows = append(failed.Rows, named)
				continue
			}
		}
		h := hash(b.inputs, i)
		for k := range b.outputs {
			c := &b.outputs[k]
			for j := i * c.Width; j < (i+1)*c.Width; j++ {
				switch v := value(&h, c.Type); c.Type {
				case engine.Float32:
					c.Float32[j] = float32(v)
				default:
					c.Float64[j] = v
				}
			}
		}
	}
	if failed != nil {
		return fmt.Errorf("enginetest: %w", failed)
	}
	return nil
}

func (b *fakeBatch) Close() {
	if b.closed.Swap(true) || b.busy.Load() {
		panic("enginetest: a batch was closed twice, or while it ran")
	}
	b.f.batches.Add(-1)
}

// hash is FNV-1a over the values of row i.
func hash(inputs []engine.Column, i int) uint64 {
	h := uint64(0xcbf29ce484222325)
	add := func(x uint64) { h = (h ^ x) * 0x100000001b3 }
	for k := range inputs {
		c := &inputs[k]
		for j := i * c.Width; j < (i+1)*c.Width; j++ {
			switch c.Type {
			case engine.Int32:
				add(uint64(uint32(c.Int32[j])))
			case engine.Float32:
				add(uint64(math.Float32bits(c.Float32[j])))
			case engine.Float64:
				add(math.Float64bits(c.Float64[j]))
			case engine.Text:
				for _, letter := range []byte(c.Text[j]) {
					add(uint64(letter))
				}
				add(1 << 32) // no letter: marks the text's end
			}
		}
	}
	return h
}

// value returns the next output of a row whose hash is h. It lies in [0, 1), with as many bits as its type holds exactly.
// The generator is splitmix64.
func value(h *uint64, t engine.Type) float64 {
	*h += 0x9e3779b97f4a7c15
	x := *h
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	if t == engine.Float32 {
		return float64(x>>40) / (1 << 24)
	}
	return float64(x>>11) / (1 << 53)
}
