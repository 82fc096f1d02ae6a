package scoring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/batcher"
	"gavel/internal/batcher/batchertest"
	"gavel/internal/columns"
	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/engine/plan/plantest"
	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
	"gavel/internal/race"
	"gavel/internal/scoring"
)

const planWidth, planHidden = 20, 200

// planOf is a plan of 20 numbers: a matrix of 32 kB that all plans share, then 200 coefficients of its own.
func planOf(own float64) plantest.Plan {
	matrix, coef := make([]float64, planHidden*planWidth), make([]float64, planHidden)
	for i := range matrix {
		matrix[i] = math.Sin(float64(i))
	}
	for i := range coef {
		coef[i] = own / float64(i+1)
	}
	return plantest.Plan{
		Inputs: []plantest.Input{{Name: "x", Type: "float64", Width: planWidth}},
		Nodes: []plantest.Node{
			{Op: "project", In: []int{0}, Set: map[string]any{"finite": true}, Obj: map[string]plantest.Tensor{"matrix": plantest.Of(matrix, planHidden, planWidth)}},
			{Op: "function", In: []int{1}, Set: map[string]any{"name": "tanh"}},
			{Op: "linear", In: []int{2}, Set: map[string]any{"finite": true},
				Obj: map[string]plantest.Tensor{"coef": plantest.Of(coef, 1, planHidden), "intercept": plantest.Of([]float64{own})}},
		},
		Outputs: []plantest.Output{{Name: "value", Value: 3}},
	}
}

// publishPlan publishes a version of a plan, with what the engine gives for its golden rows.
func publishPlan(t testing.TB, s *dir.Store, objects *plan.Objects, model string, version int64, own float64) {
	t.Helper()
	staging, err := s.Staging(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	staged := filepath.Join(staging, fmt.Sprint("plan-", version))
	file, files := planOf(own).Encode()
	for sum, object := range files {
		path := filepath.Join(s.String(), models.ObjectsDir, sum)
		if _, err := os.Stat(path); err == nil {
			continue // plans that serve have it mapped: to write over it would kill this process
		}
		modelstest.WriteFile(t, path, string(object))
	}
	contents := map[string]string{models.PlanFile: string(file)}
	modelstest.WriteFile(t, filepath.Join(staged, models.PlanFile), string(file))
	e, err := plan.Loader(objects, plan.Options{})(t.Context(), engine.Version{Model: model, Number: version, Dir: filepath.Join(staged, "plan")})
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.NewBatch(16)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Inputs()[0].Float64 {
		b.Inputs()[0].Float64[i] = math.Cos(float64(i))
	}
	if err := b.Run(16); err != nil {
		t.Fatal(err)
	}
	var inputs, outputs bytes.Buffer
	if err := columns.Encode(msgpack.NewEncoder(&inputs), e.Schema().Inputs, b.Inputs(), 16); err != nil {
		t.Fatal(err)
	}
	if err := columns.Encode(msgpack.NewEncoder(&outputs), e.Schema().Outputs, b.Outputs(), 16); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	golden, err := msgpack.Marshal(map[string]any{"inputs": msgpack.RawMessage(inputs.Bytes()), "outputs": msgpack.RawMessage(outputs.Bytes()), "tolerance": 1e-6})
	if err != nil {
		t.Fatal(err)
	}
	contents[models.GoldenFile] = string(golden)
	document := modelstest.Document(model, version, contents)
	modelstest.SetFormats(document, models.PlanFormat)
	named := map[string]int{}
	for sum, object := range files {
		named[sum] = len(object)
	}
	document["objects"] = named
	maps.DeleteFunc(document, func(key string, _ any) bool { return key == "row_len" || key == "table_rows" || key == "signature" })
	manifest, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.WriteFile(t, filepath.Join(staged, models.GoldenFile), string(golden))
	modelstest.WriteFile(t, filepath.Join(staged, models.ManifestFile), string(manifest))
	if _, err := models.Publish(t.Context(), s, model, version, staged); err != nil {
		t.Fatal(err)
	}
}

// planModels serves the discovered plans of a store.
func planModels(t *testing.T, s *dir.Store, objects *plan.Objects, memory int64) *scoring.Models {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	group, err := models.NewGroup(models.GroupOptions{Store: s, Loaders: engine.Loaders{models.PlanFormat: plan.Loader(objects, plan.Options{})},
		Memory: memory, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(group.Close)
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	all, err := scoring.New(scoring.Options{Group: group, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := all.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	all.Discover(scoring.Discovery{Pool: pool, Queue: batcher.QueueOptions{CalibrationRuns: 8}, OnUse: memory > 0})
	return all
}

// score scores one row of a plan.
func score(v *scoring.Version) (float64, error) {
	inputs := []engine.Column{{Type: engine.Float64, Width: planWidth, Float64: make([]float64, planWidth)}}
	outputs := []engine.Column{{Type: engine.Float64, Width: 1, Float64: make([]float64, 1)}}
	err := v.ScoreColumns(inputs, 1, time.Now().Add(time.Minute), outputs, make([]error, 1))
	return outputs[0].Float64[0], err
}

// Hundreds of plans come and go by files in the store. GAVEL_PLANS says how many; the default is fewer, for the full test run.
func TestPlansComeAndGo(t *testing.T) {
	if race.Enabled || testing.Short() {
		t.Skip("measures memory and CPU time")
	}
	n, quiet := 16, time.Second/2
	if text := os.Getenv("GAVEL_PLANS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		quiet = 10 * time.Second
	}
	s := dir.New(t.TempDir())
	objects := plan.NewObjects(filepath.Join(s.String(), models.ObjectsDir))
	name := func(i int) string { return fmt.Sprintf("p%03d", i) }
	for i := range 2 {
		publishPlan(t, s, objects, name(i), 1, float64(i))
	}
	all := planModels(t, s, objects, 0)
	ready := func(n int) func() bool {
		return func() bool {
			served := all.All()
			for _, m := range served {
				if !m.Ready() {
					return false
				}
			}
			return len(served) == n
		}
	}
	waitFor(t, "two plans serve", ready(2))
	memory, cpu := resident(t), idleCPUTime(t, quiet)
	goroutines := runtime.NumGoroutine()
	for i := 2; i < n; i++ {
		publishPlan(t, s, objects, name(i), 1, float64(i))
	}
	began := time.Now()
	waitFor(t, "all plans serve", ready(n))
	took := time.Since(began)
	moreCPU := idleCPUTime(t, quiet) - cpu
	moreMemory := (resident(t) - memory) / int64(n-2)
	t.Logf("%d plans serve %v after the last was published; idle, they take %.2f %% of a core and %d KiB each; %d goroutines more",
		n, took.Round(time.Millisecond), 100*moreCPU.Seconds()/quiet.Seconds(), moreMemory>>10, runtime.NumGoroutine()-goroutines)
	if share := moreCPU.Seconds() / quiet.Seconds() / float64(n); share > 0.0005 {
		t.Errorf("an idle plan takes %.3f %% of a core, want at most 0.05 %%", 100*share)
	}
	if moreMemory > 400<<10 {
		t.Errorf("an idle plan takes %d KiB, want at most 400", moreMemory>>10)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 2 {
		t.Errorf("%d goroutines more for %d plans", more, n)
	}

	var answers atomic.Int64
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for i := 0; err == nil; i++ {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			var v *scoring.Version
			if v, err = all.Find(name(i % (n - 2))).AcquireVersion(0); err == nil {
				_, err = score(v)
				v.Release()
			}
			answers.Add(1)
			runtime.Gosched()
		}
		ended <- err
	}()
	waitFor(t, "an answer came", func() bool { return answers.Load() > 0 })
	before := answers.Load()
	last := name(n - 1)
	publishPlan(t, s, objects, last, 2, 7)
	waitFor(t, "the last plan is swapped", func() bool {
		st := all.Find(last).Status()
		return st.Stable.Version == 2 && st.Live == 1
	})
	if err := os.Remove(filepath.Join(s.String(), name(n-2), dir.PointerFile)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the model without pointer is gone", func() bool { return all.Find(name(n-2)) == nil })
	during := answers.Load() - before
	close(stop)
	if err := <-ended; err != nil {
		t.Errorf("a plan failed while another was swapped: %v", err)
	}
	t.Logf("the others answered %d times while one was swapped and one went", during)
	if during < 1000 {
		t.Errorf("the others answered %d times meanwhile, want at least 1,000", during)
	}
}

// With a bound on memory, plans are loaded when they are asked for, and those that fit stay.
func TestPlansOnUse(t *testing.T) {
	s := dir.New(t.TempDir())
	objects := plan.NewObjects(filepath.Join(s.String(), models.ObjectsDir))
	const n = 4
	for i := range n {
		publishPlan(t, s, objects, fmt.Sprint("p", i), 1, float64(i))
	}
	all := planModels(t, s, objects, 1) // nothing but what is in use fits
	waitFor(t, "the plans are discovered", func() bool { return len(all.Names()) == n })
	if v, err := all.Find("p0").AcquireVersion(0); err == nil || v != nil {
		t.Errorf("a plan that nobody asked for: %v, %v", v, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range 2 * n {
		v, err := all.Find(fmt.Sprint("p", i%n)).AcquireWithin(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := score(v); err != nil || math.Abs(got-float64(i%n)) > 1e-9 {
			t.Errorf("plan %d gives %v, %v", i%n, got, err)
		}
		v.Release()
	}
	waitFor(t, "all plans are idle and unloaded", func() bool {
		for _, m := range all.All() {
			if m.Ready() {
				return false
			}
		}
		return len(objects.Uses()) == 0
	})
	if st := all.Find("p1").Versions(); len(st) != 1 || st[0].State != scoring.StateStart {
		t.Errorf("an unloaded plan: %+v", st)
	}
}
