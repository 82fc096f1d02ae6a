package batcher

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gavel/internal/engine"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // engines of these tests panic
	goleak.VerifyTestMain(m)
}

// fakeEngine scores a row as answerOf(row), in the time that cost returns. A row's last value can make the run fail. The
// engine reports misuse: overlapping runs of one batch, a batch used after Close, a batch never closed.
type fakeEngine struct {
	rowLen int
	table  int                       // Validate refuses values from here on; 0: no bound
	cost   func(n int) time.Duration // how long a run of n rows sleeps; nil: not at all
	broken atomic.Bool               // every run fails

	mu    sync.Mutex
	sizes []int           // rows of each run, in the order of their starts
	begun []time.Time     // starts of the runs
	ran   map[string]bool // goroutines that ran a batch; nil: not recorded

	batches, closed atomic.Int64
	misuse          atomic.Pointer[string]
}

// What the last value of a row makes the engine do.
const (
	rowFine    = 0
	rowBad     = 1001 // the run fails, and names no row
	rowNamed   = 1002 // the run fails with a RowError of this row
	rowPanic   = 1003
	rowSeveral = 1004 // named together with others, beside which all are scored
	rowInvalid = -1   // refused by Validate, as is any negative value
)

var errBad = errors.New("engine: bad row")

func answerOf(row []int32) float32 { return float32(row[0]%100000) / 100000 }

func (e *fakeEngine) Schema() *engine.Schema { return schemaOf(e.rowLen) }
func (e *fakeEngine) Close() error           { return nil }

func (e *fakeEngine) NewBatch(capacity int) (engine.Batch, error) {
	e.batches.Add(1)
	b := &fakeBatch{e: e, memory: newMemory(capacity, e.rowLen)}
	b.rows, b.out = b.inputs[0].Int32, b.outputs[0].Float32
	return b, nil
}

func (e *fakeEngine) Validate(inputs []engine.Column, i int) error {
	return inTable(inputs, i, e.table)
}

// inTable refuses a row with a value outside [0, table); table 0 means no upper bound.
func inTable(inputs []engine.Column, i, table int) error {
	c := &inputs[0]
	if table == 0 {
		table = math.MaxInt32
	}
	for k, x := range c.Int32[i*c.Width : (i+1)*c.Width] {
		if uint(x) >= uint(table) { // negative ones too
			return fmt.Errorf("value %d is %d, must lie in [0, %d)", k, x, table)
		}
	}
	return nil
}

func schemaOf(rowLen int) *engine.Schema {
	return &engine.Schema{
		Inputs:  []engine.Field{{Name: "rows", Type: engine.Int32, Width: rowLen}},
		Outputs: []engine.Field{{Name: "probability", Type: engine.Float32, Width: 1}},
	}
}

// memory holds a batch with one field of indices and one probability a row.
type memory struct{ inputs, outputs []engine.Column }

func newMemory(capacity, rowLen int) memory {
	return memory{
		inputs:  []engine.Column{{Type: engine.Int32, Width: rowLen, Int32: make([]int32, capacity*rowLen)}},
		outputs: []engine.Column{{Type: engine.Float32, Width: 1, Float32: make([]float32, capacity)}},
	}
}

func (m *memory) Inputs() []engine.Column  { return m.inputs }
func (m *memory) Outputs() []engine.Column { return m.outputs }

func (e *fakeEngine) fault(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	e.misuse.CompareAndSwap(nil, &s)
}

// check fails the test if the engine was misused or has batches left.
func (e *fakeEngine) check(t testing.TB) {
	t.Helper()
	if s := e.misuse.Load(); s != nil {
		t.Error(*s)
	}
	if made, closed := e.batches.Load(), e.closed.Load(); made != closed {
		t.Errorf("%d batches made, %d closed", made, closed)
	}
}

func (e *fakeEngine) runs() ([]int, []time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]int(nil), e.sizes...), append([]time.Time(nil), e.begun...)
}

// ranHere says whether the calling goroutine has run a batch. A caller that has may be answered after its deadline.
func (e *fakeEngine) ranHere() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ran[goroutine()]
}

// goroutine returns the name of the calling goroutine.
func goroutine() string {
	head := make([]byte, 32) // "goroutine 7 [running]:…"
	name, _, _ := strings.Cut(string(head[:runtime.Stack(head, false)]), " [")
	return name
}

type fakeBatch struct {
	memory
	e      *fakeEngine
	rows   []int32
	out    []float32
	busy   atomic.Bool
	closed atomic.Bool
}

func (b *fakeBatch) Close() {
	if b.closed.Swap(true) || b.busy.Load() {
		b.e.fault("a batch was closed twice, or while it ran")
	}
	b.e.closed.Add(1)
}

func (b *fakeBatch) Run(n int) error {
	if b.busy.Swap(true) || b.closed.Load() {
		b.e.fault("a batch was run twice at once, or after Close")
	}
	defer b.busy.Store(false)
	if n < 1 || n > len(b.out) {
		b.e.fault("run of %d rows, capacity %d", n, len(b.out))
	}
	e := b.e
	e.mu.Lock()
	e.sizes = append(e.sizes, n)
	e.begun = append(e.begun, time.Now())
	if e.ran != nil {
		e.ran[goroutine()] = true
	}
	e.mu.Unlock()
	if e.cost != nil {
		time.Sleep(e.cost(n))
	}
	if e.broken.Load() {
		return errors.New("engine: out of order")
	}
	several := &engine.RowErrors{}
	for i := range n {
		row := b.rows[i*e.rowLen : (i+1)*e.rowLen]
		switch row[e.rowLen-1] {
		case rowSeveral:
			several.Rows = append(several.Rows, engine.RowError{Row: i, Err: errBad})
			continue
		case rowBad:
			return errBad
		case rowNamed:
			return fmt.Errorf("engine: %w", &engine.RowError{Row: i, Err: errBad})
		case rowPanic:
			panic("engine: a row that panics")
		}
		b.out[i] = answerOf(row)
	}
	if len(several.Rows) > 0 {
		return fmt.Errorf("engine: %w", several)
	}
	return nil
}
