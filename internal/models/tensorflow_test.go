package models_test

// These tests have TensorFlow's engine in the place of the fake one.

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/engine/tensorflow/tensorflowtest"
	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
	"gavel/internal/race"
)

var tensorflowLoaders = engine.Loaders{models.DefaultFormat: tensorflow.Loader(tensorflow.Options{})}

// fixture is the directory of a model that Python wrote; it must not be changed.
func fixture(t testing.TB, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts TensorFlow")
	}
	return filepath.Join(tensorflowtest.Versions(t), name)
}

func TestLoadsWhatPytrainExports(t *testing.T) {
	for _, kind := range []string{"logreg", "fm", "deepfm"} {
		s, err := models.Load(t.Context(), tensorflowLoaders, fixture(t, "pytrain_"+kind), "ctr", 1, models.LoadOptions{})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if m := s.Manifest(); m.RowLen != 6 || m.TableRows != 1+500+4+64+2000 || m.Training.Rows != 30*256 || s.Engine().Schema().Inputs[0].Width != 6 {
			t.Errorf("%s: manifest %+v", kind, m)
		}
		s.Release()
	}
}

// A version that another engine would have to serve, or that TensorFlow cannot read, is refused by its reason.
func TestWhatTensorFlowRefuses(t *testing.T) {
	f := func(name string, damage func(dir string), wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			version := filepath.Join(t.TempDir(), "1")
			if err := os.CopyFS(version, os.DirFS(fixture(t, "b"))); err != nil {
				t.Fatal(err)
			}
			damage(version)
			_, err := models.Load(t.Context(), tensorflowLoaders, version, "ctr", 1, models.LoadOptions{})
			wantError(t, err, wants...)
			if s, b, r := tensorflow.Live(); s+b+r != 0 {
				t.Errorf("left behind: %d sessions, %d batches, %d row memories", s, b, r)
			}
		})
	}
	f("a graph that is none", func(dir string) {
		rewrite(t, dir, map[string]string{"saved_model.pb": "not a graph"}, func(map[string]any) {})
	}, engine.ErrLoad.Error())
	f("rows of another length", func(dir string) {
		rewrite(t, dir, map[string]string{models.GoldenFile: goldenFile(16, 9, 0.5)}, func(m map[string]any) { m["row_len"] = 9 })
	}, engine.ErrSignature.Error(), `input "rows" is int32[?, 8], by the manifest it is int32[?, 9]`)
	f("a table shorter than it says", func(dir string) {
		rewrite(t, dir, nil, func(m map[string]any) { m["table_rows"] = 1200 })
	}, "refused (warm)", "rows of index 1199, the table has 1200")
	f("a model that diverged", func(dir string) {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(fixture(t, "nan"))); err != nil {
			t.Fatal(err)
		}
	}, "refused (golden)", "NaN is not a probability")
}

// TestSwapUnderLoad scores without pause while versions are swapped in and out: every run succeeds, and gives what the
// version that was acquired gives, to the last. Loading threads are of low priority, and end.
func TestSwapUnderLoad(t *testing.T) {
	names := []string{"a", "b", "c"}
	usual, ok := niceOf("/proc/self/stat") // the tests may be nice themselves
	if !ok {
		t.Fatal("cannot tell how nice this process is")
	}
	const swaps = 8
	want := map[int64]float32{}
	for v := range int64(swaps + 1) {
		want[v+1] = zeroProbability(t, names[int(v)%len(names)])
	}
	s := dir.New(t.TempDir())
	g, err := models.NewGroup(models.GroupOptions{Store: s, Loaders: tensorflowLoaders, Nice: usual + 5})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	type pool struct{ batches sync.Pool } // each version's own batches
	var opened sync.Map
	m, err := g.Manage(models.Options{
		Model: "ctr", Load: models.LoadOptions{WarmRows: []int{1, 4}},
		Prepare: func(_ context.Context, s *models.Servable) error {
			p := &pool{}
			p.batches.New = func() any {
				b, err := s.Engine().NewBatch(4)
				if err != nil {
					t.Error(err)
				}
				opened.Store(b, s.Version())
				return b
			}
			s.Attach(p)
			return nil
		},
		Retire: func(s *models.Servable) {
			opened.Range(func(b, version any) bool {
				if version == s.Version() {
					b.(engine.Batch).Close()
					opened.Delete(b)
				}
				return true
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	modelstest.PublishCopy(t, s, fixture(t, "a"), "ctr", 1)
	serves(t, m, 1)
	stop := make(chan struct{})
	var runs, low atomic.Int64
	var users sync.WaitGroup
	for key := range uint64(3) {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s, err := m.Acquire(key)
				if err != nil {
					t.Error(err)
					return
				}
				p := s.Attached().(*pool)
				b := p.batches.Get().(engine.Batch)
				if err := b.Run(4); err != nil {
					t.Errorf("%v: %v", s, err)
				}
				for _, got := range b.Outputs()[0].Float32[:4] {
					if math.Abs(float64(got-want[s.Version()])) > 1e-6 {
						t.Errorf("%v gave %v, not its own %v", s, got, want[s.Version()])
					}
				}
				p.batches.Put(b)
				s.Release()
				runs.Add(1)
			}
		})
	}
	for i := 1; i <= swaps; i++ {
		before := runs.Load()
		modelstest.PublishCopy(t, s, fixture(t, names[i%len(names)]), "ctr", int64(i+1))
		eventually(t, fmt.Sprintf("version %d serves", i+1), func() bool {
			low.Add(int64(lowThreads(t, usual)))
			return m.Status().Stable.Version == int64(i+1)
		})
		eventually(t, "runs go on", func() bool { return runs.Load() > before })
		if _, err := models.Retain(t.Context(), s, "ctr", 3); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	users.Wait()
	eventually(t, "the old versions are freed", func() bool { return m.Status().Live == 1 })
	if st := m.Status(); st.Swaps != swaps+1 {
		t.Errorf("%d swaps, want %d", st.Swaps, swaps+1)
	}
	if low.Load() == 0 {
		t.Error("no load was seen at low priority")
	}
	eventually(t, "no thread keeps the low priority of loading", func() bool { return lowThreads(t, usual) == 0 })
	t.Logf("%d runs over %d swaps", runs.Load(), swaps)
}

// zeroProbability is what each fixture gives for a row of zeros: it tells versions apart.
func zeroProbability(t testing.TB, name string) float32 {
	t.Helper()
	s, err := models.Load(t.Context(), tensorflowLoaders, fixture(t, name), "ctr", 1, models.LoadOptions{WarmRows: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	b, err := s.Engine().NewBatch(1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Run(1); err != nil {
		t.Fatal(err)
	}
	return b.Outputs()[0].Float32[0]
}

// lowThreads counts the process's threads that are nicer than usual.
func lowThreads(t *testing.T, usual int) (n int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("cannot list the threads: %v", err)
	}
	for _, task := range tasks {
		if nice, ok := niceOf(task); ok && nice > usual {
			n++
		}
	}
	return n
}

// niceOf reads a thread's niceness from its stat file; not ok, it has ended.
func niceOf(stat string) (nice int, ok bool) {
	data, err := os.ReadFile(stat)
	_, rest, _ := strings.Cut(string(data), ") ") // fields from the third, state, on; nice is the 19th
	fields := strings.Fields(rest)
	if err != nil || len(fields) < 17 {
		return 0, false
	}
	nice, err = strconv.Atoi(fields[16])
	return nice, err == nil
}

// TestMemoryStaysFlat loads, runs and frees a model of 9 MB again and again: what the process holds must not grow.
func TestMemoryStaysFlat(t *testing.T) {
	dir := fixture(t, "deepfm")
	cycle := func() {
		s, err := models.Load(t.Context(), tensorflowLoaders, dir, "ctr", 1, models.LoadOptions{WarmRows: []int{64}})
		if err != nil {
			t.Fatal(err)
		}
		s.Release()
	}
	cycles := 20
	if race.Enabled || testing.Short() {
		cycles = 5
	}
	for range 5 {
		cycle() // TensorFlow's own caches and the allocator's arenas fill
	}
	before := residentBytes(t)
	for range cycles {
		cycle()
	}
	grown := float64(residentBytes(t)-before) / (1 << 20)
	t.Logf("resident memory grew by %.1f MB over %d cycles", grown, cycles)
	if limit := 9.6 * 2; grown > limit { // a leak of the weights alone would be 9.6 MB a cycle
		t.Errorf("resident memory grew by %.1f MB over %d cycles, more than %.1f", grown, cycles, limit)
	}
}

// residentBytes is the process's resident memory.
func residentBytes(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(fmt.Errorf("statm: %w", err))
	}
	return pages * int64(os.Getpagesize())
}
