package scoring

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/batcher"
	"gavel/internal/batcher/batchertest"
	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
	"gavel/internal/engine/plan"
	"gavel/internal/engine/plan/plantest"
	"gavel/internal/race"
)

// logistic is a plan of two inputs, width numbers and one category, which refuses rows with numbers that are not finite.
func logistic(width int) plantest.Plan {
	coef := make([]float64, width+1)
	for i := range coef {
		coef[i] = 1 / float64(i+3)
	}
	return plantest.Plan{
		Inputs: []plantest.Input{{Name: "x", Type: "float64", Width: width}, {Name: "y", Type: "float64", Width: 1}},
		Nodes: []plantest.Node{
			{Op: "concat", In: []int{0, 1}, At: "join"},
			{Op: "linear", In: []int{2}, Set: map[string]any{"finite": true}, At: "LogisticRegression",
				Obj: map[string]plantest.Tensor{"coef": plantest.Of(coef, 1, width+1), "intercept": plantest.Of([]float64{0.25})}},
			{Op: "link", In: []int{3}, Set: map[string]any{"kind": "binary"}, At: "LogisticRegression"},
		},
		Outputs: []plantest.Output{{Name: "probability", Value: 4}, {Name: "margin", Value: 3}},
		Labels:  []any{"no", "yes"}, Source: "a test",
	}
}

// opened returns the engine of a plan.
func opened(t testing.TB, p plantest.Plan) *plan.Engine {
	t.Helper()
	folder, objects := t.TempDir(), t.TempDir()
	p.Write(t, folder, objects)
	e, err := plan.Loader(plan.NewObjects(objects), plan.Options{})(t.Context(), engine.Version{Model: "m", Number: 7, Dir: folder})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e.(*plan.Engine)
}

// columnVersion is a version of typed columns, in a queue of its own.
func columnVersion(t testing.TB, pool *batcher.Pool, e engine.Engine, o batcher.QueueOptions) *Version {
	t.Helper()
	o.CalibrationRuns = calibrationRuns
	queue, err := pool.NewQueue(e, o)
	if err != nil {
		t.Fatal(err)
	}
	return &Version{loaded: fakeServable{number: 7, version: new(fakeVersion)}, queue: queue}
}

// rows are n random rows of an engine with their outputs, and what the engine itself gives for each alone.
type rows struct {
	n               int
	inputs, outputs []engine.Column
	errs            []error
	wants           []engine.Column
	refused         []bool
}

func drawRows(t testing.TB, e engine.Engine, n int) *rows {
	t.Helper()
	one, many := batchOf(t, e, 1), batchOf(t, e, n)
	defer one.Close()
	t.Cleanup(many.Close)
	r := &rows{n: n, inputs: many.Inputs(), outputs: many.Outputs(), errs: make([]error, n), refused: make([]bool, n)}
	wants := batchOf(t, e, n)
	t.Cleanup(wants.Close)
	r.wants = wants.Outputs()
	for i := range n {
		for k := range r.inputs {
			c := &r.inputs[k]
			for j := range c.Width {
				c.Float64[i*c.Width+j] = rand.NormFloat64()
			}
		}
		if rand.IntN(10) == 0 {
			r.inputs[1].Float64[i] = math.NaN()
		}
		engine.CopyRow(one.Inputs(), 0, r.inputs, i)
		if err := one.Run(1); err != nil {
			r.refused[i] = true
			continue
		}
		engine.CopyRow(r.wants, i, one.Outputs(), 0)
	}
	return r
}

func batchOf(t testing.TB, e engine.Engine, n int) engine.Batch {
	t.Helper()
	b, err := e.NewBatch(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// check compares what rows [0,n) got, bit for bit.
func (r *rows) check(n int, err error) error {
	if any := slices.Contains(r.refused[:n], true); (err != nil) != any || any && !errors.Is(err, ErrRow) {
		return fmt.Errorf("%d rows: %v, rows refused: %v", n, err, any)
	}
	for i := range n {
		if r.refused[i] {
			if !errors.Is(r.errs[i], ErrRow) || !strings.Contains(r.errs[i].Error(), "NaN") {
				return fmt.Errorf("row %d of %d: %v, want that NaN is refused", i, n, r.errs[i])
			}
			continue
		}
		if r.errs[i] != nil {
			return fmt.Errorf("row %d of %d: %w", i, n, r.errs[i])
		}
		for k := range r.wants {
			w := r.wants[k].Width
			got, want := r.outputs[k].Float64[i*w:(i+1)*w], r.wants[k].Float64[i*w:(i+1)*w]
			for j := range want {
				if math.Float64bits(got[j]) != math.Float64bits(want[j]) {
					return fmt.Errorf("output %d of row %d of %d: %v, want %v", k, i, n, got, want)
				}
			}
		}
	}
	return nil
}

// Whatever the policy, the rows of a request and the requests beside it, each row gets what the engine gives it alone.
func TestScoreColumns(t *testing.T) {
	e := opened(t, logistic(9))
	for _, policy := range batcher.Policies {
		t.Run(string(policy), func(t *testing.T) {
			pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 2})
			v := columnVersion(t, pool, e, batcher.QueueOptions{Policy: policy, MaxRows: 64, MaxWait: 200 * time.Microsecond})
			var callers sync.WaitGroup
			for caller := range 6 {
				r := drawRows(t, e, 300)
				callers.Go(func() {
					for i := range 60 {
						n := 1
						if (caller+i)%2 == 0 {
							n = 1 + rand.IntN(r.n)
						}
						engine.Clear(r.outputs, 0, r.n)
						if err := r.check(n, v.ScoreColumns(r.inputs, n, time.Time{}, r.outputs, r.errs)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
		})
	}
}

// A single prediction allocates nothing, and is run by its caller: it costs no batch of others, and wakes no thread.
func TestScoreColumnsAllocatesNothing(t *testing.T) {
	e := opened(t, logistic(9))
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 2})
	v := columnVersion(t, pool, e, batcher.QueueOptions{})
	r := drawRows(t, e, 200)
	for i := range r.n {
		r.inputs[1].Float64[i] = 0
	}
	for _, n := range []int{1, 16, r.n} {
		score := func() {
			if err := v.ScoreColumns(r.inputs, n, time.Now().Add(time.Minute), r.outputs, r.errs); err != nil {
				t.Fatal(err)
			}
		}
		score()
		if allocated := testing.AllocsPerRun(200, score); allocated > 0 && !race.Enabled {
			t.Errorf("%d rows: %v allocations", n, allocated)
		}
	}
}

// A request that is refused as a whole has that error for each row, and its outputs are zeros.
func TestScoreColumnsErrors(t *testing.T) {
	e := enginetest.NewFake(enginetest.Typed())
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	v := columnVersion(t, pool, e, batcher.QueueOptions{Policy: batcher.Eager, MaxRows: 4, QueueRows: 8})
	b := batchOf(t, e, 9)
	defer b.Close()
	errs := make([]error, 9)
	f := func(name string, n int, deadline time.Time, want error) {
		t.Helper()
		if err := v.ScoreColumns(b.Inputs(), n, deadline, b.Outputs(), errs[:n]); !errors.Is(err, want) || !errors.Is(errs[n-1], want) {
			t.Errorf("%s: %v, row %v; want %v", name, err, errs[n-1], want)
		}
	}
	f("more rows than the queue takes", 9, time.Time{}, ErrShed)
	f("late", 1, time.Now().Add(-time.Millisecond), ErrExpired)
	func() { // a request with too short columns panics, and leaves nothing behind that the queue waits for
		defer func() {
			if recover() == nil {
				t.Error("columns of 9 rows were read as 10")
			}
		}()
		v.queue = columnVersion(t, pool, e, batcher.QueueOptions{MaxRows: 16}).queue
		_ = v.ScoreColumns(b.Inputs(), 10, time.Time{}, b.Outputs(), make([]error, 10))
	}()
	f("after a panic", 2, time.Time{}, nil)
	if err := v.Score(make([]int32, 3), time.Time{}, make([]Result, 1)); !errors.Is(err, errColumns) {
		t.Errorf("rows of indices: %v, want %v", err, errColumns)
	}
	if err := v.queue.Close(t.Context()); err != nil {
		t.Error(err)
	}
	f("closed", 1, time.Time{}, ErrClosed)
}

// An auction that names a model of typed columns is told so.
func TestColumnsInAnAuction(t *testing.T) {
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	v := &fakeVersion{}
	v.Version = *columnVersion(t, pool, enginetest.NewFake(enginetest.Typed()), batcher.QueueOptions{})
	v.Version.loaded = fakeServable{7, v}
	out, ok := make([]auction.Prediction, 1), make([]bool, 1)
	err := scorerOf(map[string]source{"ctr": v}).Score(t.Context(), newRequest(), candidatesOf("a"), out, ok)
	if err == nil || ok[0] || !strings.Contains(err.Error(), "version 7 has no recipe") {
		t.Errorf("%v, %v", err, ok)
	}
	if n := v.users.Load(); n != 0 {
		t.Errorf("%d uses of the version are left", n)
	}
}

// What scoring costs beside the engine's run: by the caller, and through the batcher. `ratio` is the time over the engine's own.
func BenchmarkScoreColumns(b *testing.B) {
	e := opened(b, logistic(2))
	for _, n := range []int{1, 16, 1000} {
		batch := batchOf(b, e, n)
		var alone float64
		b.Run(fmt.Sprintf("engine/rows=%d", n), func(b *testing.B) {
			for b.Loop() {
				if err := batch.Run(n); err != nil {
					b.Fatal(err)
				}
			}
			alone = float64(b.Elapsed().Nanoseconds()) / float64(b.N)
		})
		for _, way := range []struct {
			name   string
			policy batcher.Policy
			nice   int // then a runner runs every batch
		}{{"caller", batcher.Adaptive, 0}, {"batcher", batcher.Eager, 0}, {"runner", batcher.Eager, 1}} {
			b.Run(fmt.Sprintf("%s/rows=%d", way.name, n), func(b *testing.B) {
				pool := batchertest.NewPool(b, batcher.PoolOptions{Runners: 2, Nice: way.nice})
				v := columnVersion(b, pool, e, batcher.QueueOptions{Policy: way.policy})
				outputs, errs := batchOf(b, e, n), make([]error, n)
				defer outputs.Close()
				b.ReportAllocs()
				deadline := time.Now().Add(time.Hour)
				for b.Loop() {
					if err := v.ScoreColumns(batch.Inputs(), n, deadline, outputs.Outputs(), errs); err != nil {
						b.Fatal(err)
					}
				}
				each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(each-alone, "overhead-ns/op")
				b.ReportMetric(each/alone, "ratio")
				s := v.queue.Stats()
				b.ReportMetric(float64(s.Inline)/float64(max(s.Batches, 1)), "inline")
			})
		}
		batch.Close()
	}
}

// A model with runners of its own is served while another holds the shared ones: for plans as for any engine.
func TestReservation(t *testing.T) {
	e := opened(t, logistic(9))
	o := batcher.QueueOptions{MaxRows: 8, Policy: batcher.Eager, RescueAfter: -1} // no caller helps out
	shared := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	slow := newVersion(t, shared, 1, o, &testEngine{begun: make(chan struct{}), gate: make(chan struct{})})
	stuck := make(chan error, 1)
	go func() { stuck <- slow.Score(make([]int32, slow.rowLen), time.Time{}, make([]Result, 1)) }()
	<-slow.engine.begun
	r := drawRows(t, e, 20)
	v := columnVersion(t, shared, e, o)
	if err := v.ScoreColumns(r.inputs, r.n, time.Now().Add(20*time.Millisecond), r.outputs, r.errs); !errors.Is(err, ErrExpired) {
		t.Errorf("without runners of its own: %v, want %v", err, ErrExpired)
	}
	own := columnVersion(t, batchertest.NewPool(t, batcher.PoolOptions{Runners: 1}), e, o)
	for range 20 {
		if err := r.check(r.n, own.ScoreColumns(r.inputs, r.n, time.Time{}, r.outputs, r.errs)); err != nil {
			t.Errorf("with a runner of its own: %v", err)
		}
	}
	close(slow.engine.gate)
	if err := <-stuck; err != nil {
		t.Error(err)
	}
}
