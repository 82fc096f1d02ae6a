package scoring

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/engine/plan/plantest"
)

// family are versions of plans that share a stage; the last refuses rows that are not finite.
func family(t *testing.T, count int) (versions []*Version, objects *plan.Objects) {
	pool, err := batcher.NewPool(batcher.PoolOptions{Runners: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close(t.Context()) })
	store := t.TempDir()
	objects = plan.NewObjects(store)
	for i := range count {
		p := plantest.Plan{
			Inputs: []plantest.Input{{Name: "x", Type: "float64", Width: 2}},
			Nodes: []plantest.Node{
				{Op: "function", In: []int{0}, Set: map[string]any{"name": "tanh"}},
				{Op: "linear", In: []int{1}, Set: map[string]any{"finite": i == count-1}, Obj: map[string]plantest.Tensor{
					"coef": plantest.Of([]float64{1, float64(i)}, 1, 2), "intercept": plantest.Of([]float64{0.5})}},
			},
			Outputs: []plantest.Output{{Name: "value", Value: 2}},
		}
		folder := t.TempDir()
		p.Write(t, folder, store)
		e, err := plan.Loader(objects, plan.Options{})(t.Context(), engine.Version{Model: fmt.Sprint("m", i), Number: 1, Dir: folder})
		if err != nil {
			t.Fatal(err)
		}
		options := batcher.QueueOptions{Name: fmt.Sprintf("m%d/1", i), MaxRows: 8}
		queue, err := pool.NewQueue(e, options)
		if err != nil {
			t.Fatal(err)
		}
		v := &Version{queue: queue, engine: e, pool: pool, queueOptions: options}
		t.Cleanup(func() {
			_ = queue.Close(t.Context())
			_ = e.Close()
		})
		versions = append(versions, v)
	}
	return versions, objects
}

// asked are parts for the versions and n rows; row 1 is not finite.
func asked(versions []*Version, n int) []Together {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float64, 2*n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	if n > 1 {
		x[2] = math.NaN()
	}
	var parts []Together
	for _, v := range versions {
		parts = append(parts, Together{
			Version: v, Inputs: []engine.Column{{Type: engine.Float64, Width: 2, Float64: slices.Clone(x)}},
			Outputs: []engine.Column{{Type: engine.Float64, Width: 1, Float64: make([]float64, n)}}, Errs: make([]error, n),
		})
	}
	return parts
}

func TestScoreTogether(t *testing.T) {
	versions, _ := family(t, 4)
	m := &Models{joins: joins{logger: slog.Default()}}
	for round, want := range []int{0, 1, 1, 1} { // engines that are joined
		n := []int{1, 5, 20, 1}[round]
		parts, alone := asked(versions, n), asked(versions, n)
		m.ScoreTogether(parts, n, time.Time{})
		for i := range parts {
			p, a := &parts[i], &alone[i]
			a.score(n, time.Time{})
			for row := range n {
				same := math.Float64bits(p.Outputs[0].Float64[row]) == math.Float64bits(a.Outputs[0].Float64[row])
				if refused := errors.Is(p.Errs[row], ErrRow); refused != errors.Is(a.Errs[row], ErrRow) || !refused && !same || p.Errs[row] != nil && !refused {
					t.Errorf("round %d, %s, row %d: %v, %v; alone %v, %v", round, p.Version.queueOptions.Name, row, p.Outputs[0].Float64[row], p.Errs[row],
						a.Outputs[0].Float64[row], a.Errs[row])
				}
			}
			if errors.Is(p.Err, ErrRow) != (i == 3 && n > 1) || (p.Err == nil) != (a.Err == nil) {
				t.Errorf("round %d, part %d: %v, alone %v", round, i, p.Err, a.Err)
			}
		}
		if len(m.joins.of) != want || len(m.joins.order) != want {
			t.Errorf("round %d: %d engines are joined, want %d", round, len(m.joins.of), want)
		}
	}
	for _, j := range m.joins.order {
		if j.users != 0 || j.version == nil {
			t.Errorf("%+v", j)
		}
	}
	m.joins.retire(versions[2])
	m.joins.retire(versions[0])
	if len(m.joins.of)+len(m.joins.order) != 0 {
		t.Error("the engine of a version that retired is kept")
	}
}

// What many requests ask for at once is joined once; no more than maxJoined are kept.
func TestJoinsAreBounded(t *testing.T) {
	versions, _ := family(t, 7)
	m := &Models{joins: joins{logger: slog.Default()}}
	pairs := func(f func(parts []Together)) {
		for i := range versions {
			for k := range versions {
				if i != k {
					f(asked([]*Version{versions[i], versions[k]}, 1))
				}
			}
		}
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			pairs(func(parts []Together) {
				m.ScoreTogether(parts, 1, time.Time{})
				if parts[0].Err != nil || parts[1].Err != nil {
					t.Error(parts[0].Err, parts[1].Err)
				}
			})
		})
	}
	wait.Wait()
	if n := len(m.joins.of); n == 0 || n > maxJoined || n != len(m.joins.order) {
		t.Errorf("%d engines are joined", n)
	}
	for _, v := range versions {
		m.joins.retire(v)
	}
	if len(m.joins.of)+len(m.joins.order) != 0 {
		t.Error("engines are left")
	}
}
