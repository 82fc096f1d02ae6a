package servable

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/modelstore"
)

// zeroProbability is what each fixture gives for a row of zeros: it tells versions apart.
func zeroProbability(t testing.TB, name string) float32 {
	t.Helper()
	dir := fixture(t, name)
	g, err := readGolden(filepath.Join(dir, modelstore.GoldenFile), manifestOf(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return g.p[0]
}

func TestServesAndFollowsThePointer(t *testing.T) {
	store := modelstore.New(t.TempDir())
	var prepared, retired sync.Map
	m := newManager(t, Options{
		Store: store,
		Prepare: func(_ context.Context, s *Servable) error {
			if string(s.Recipe()) != "model: ctr\nlabel: click\n" {
				return fmt.Errorf("recipe %q", s.Recipe())
			}
			prepared.Store(s.Version(), true)
			s.Attach(fmt.Sprintf("queue of %d", s.Version()))
			return nil
		},
		Retire: func(s *Servable) { retired.Store(s.Version(), s.Attached()) },
	})
	if _, err := m.Acquire(1); !errors.Is(err, ErrNoVersion) || m.Ready() {
		t.Fatalf("before any version: %v, ready %v", err, m.Ready())
	}
	publish(t, store, "a", 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	one, err := m.Acquire(1)
	if err != nil {
		t.Fatal(err)
	}
	if one.Version() != 1 || one.Attached() != "queue of 1" || one.Manifest().Training.Rows != 1000 {
		t.Errorf("%v with %v", one, one.Attached())
	}

	publish(t, store, "b", 2)
	serves(t, m, 2)
	if _, gone := retired.Load(int64(1)); gone {
		t.Error("version 1 was retired while in use")
	}
	if err := run(one.Session(), zeroProbability(t, "a")); err != nil {
		t.Errorf("an acquired version stopped working when it was swapped out: %v", err)
	}
	if st := m.Status(); st.Live != 2 || st.Swaps != 2 {
		t.Errorf("live %d, swaps %d", st.Live, st.Swaps)
	}
	one.Release()
	eventually(t, "version 1 is freed by its last release", func() bool { return m.Status().Live == 1 })
	if v, _ := retired.Load(int64(1)); v != "queue of 1" {
		t.Errorf("retired with %v", v)
	}

	if p, err := store.Rollback("ctr"); err != nil || p.Stable != 1 {
		t.Fatalf("rolled back to %v: %v", p, err)
	}
	serves(t, m, 1)
	if err := store.Promote("ctr", 2); err != nil {
		t.Fatal(err)
	}
	serves(t, m, 2)
}

// run scores a row of zeros and holds it against want.
func run(s *Session, want float32) error {
	b, err := s.NewBatch(1)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Run(1); err != nil {
		return err
	}
	if got := b.Probabilities()[0]; math.Abs(float64(got-want)) > goldenTolerance {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

func TestDamagedVersionsAreRefused(t *testing.T) {
	f := func(name string, damage func(t *testing.T, dir string), reason Reason, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			store := modelstore.New(t.TempDir())
			reg := prometheus.NewRegistry()
			var log atomicLines
			m := newManager(t, Options{Store: store, Registerer: reg, Logger: log.logger()})
			publish(t, store, "a", 1)
			serves(t, m, 1)
			dir := placeDamaged(t, store, "b", 2, func(dir string) { damage(t, dir) })
			if err := store.Promote("ctr", 2); err != nil {
				t.Fatal(err)
			}
			refused := func() bool { r := m.Status().Refused; return len(r) == 1 && r[0].Version == 2 }
			eventually(t, "version 2 is refused", refused)
			r := m.Status().Refused[0]
			if r.Reason != reason || !strings.Contains(r.Error, want) {
				t.Errorf("refused for %q, want %q, and its error lacks %q:\n%s", r.Reason, reason, want, r.Error)
			}
			if st := m.Status(); st.Stable.Version != 1 {
				t.Errorf("version %d serves", st.Stable.Version)
			}
			if s, err := m.Acquire(0); err != nil {
				t.Error(err)
			} else {
				if err := run(s.Session(), zeroProbability(t, "a")); err != nil {
					t.Error(err)
				}
				s.Release()
			}
			if metric := "gavel_model_refused_total ctr " + string(reason); metricsOf(t, reg)[metric] != 1 {
				t.Errorf("%s is %v, want 1", metric, metricsOf(t, reg)[metric])
			}

			// The pointer moves to and fro: nothing changed, so nothing is tried again and nothing more is logged.
			if err := store.SetPointer("ctr", modelstore.Pointer{Stable: 2, Previous: 0}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the new pointer is seen", func() bool { return m.Status().Pointer.Previous == 0 })
			if r := m.Status().Refused; len(r) != 1 || r[0].Attempts != 1 {
				t.Errorf("it was tried again though its files are the same: %+v", r)
			}
			if n := log.count("version refused"); n != 1 {
				t.Errorf("the refusal was logged %d times", n)
			}

			// Mended files are tried again.
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			placeDamaged(t, store, "b", 2, nil)
			serves(t, m, 2)
			if r := m.Status().Refused; len(r) != 0 {
				t.Errorf("still refused: %+v", r)
			}
		})
	}
	data := filepath.Join("variables", "variables.data-00000-of-00001")
	f("one bit flipped", func(t *testing.T, dir string) {
		name := filepath.Join(dir, data)
		bytes := read(t, name)
		bytes[len(bytes)/2] ^= 1
		write(t, name, bytes)
	}, "checksum", "variables/variables.data-00000-of-00001 (4221 bytes) has sha256")
	f("a file missing", func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, "variables", "variables.index")); err != nil {
			t.Fatal(err)
		}
	}, "files", "variables/variables.index is missing")
	f("a file too many", func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, "variables", "extra"), nil)
	}, "files", "variables/extra is not in the manifest")
	f("a manifest cut off", func(t *testing.T, dir string) {
		name := filepath.Join(dir, modelstore.ManifestFile)
		write(t, name, read(t, name)[:200])
	}, "manifest", "manifest.json: files: is not JSON near byte")
	f("half copied", func(t *testing.T, dir string) {
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, "assets.extra")), os.RemoveAll(filepath.Join(dir, "variables"))); err != nil {
			t.Fatal(err)
		}
	}, "manifest", "is it still being copied?")
	f("another version's manifest", func(t *testing.T, dir string) {
		editManifest(t, dir, func(m map[string]any) { m["version"] = 7 })
	}, "name", "its manifest is of ctr version 7, not of ctr version 2")
	f("a graph that is none", func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, "saved_model.pb"), []byte("not a graph"))
		resum(t, dir)
	}, ReasonLoad, "TensorFlow cannot load it")
	f("rows of another length", func(t *testing.T, dir string) {
		editManifest(t, dir, func(m map[string]any) { m["row_len"] = 9 })
		writeGolden(t, dir, &golden{n: 16, f: 9, x: make([]int32, 16*9), p: make([]float32, 16)})
		resum(t, dir)
	}, ReasonSignature, `input "rows" is int32[?, 8], by the manifest it is int32[?, 9]`)
	f("golden rows of another length", func(t *testing.T, dir string) {
		writeGolden(t, dir, &golden{n: 16, f: 9, x: make([]int32, 16*9), p: make([]float32, 16)})
		resum(t, dir)
	}, ReasonGolden, "golden.msgpack has rows of 9 indices, the manifest says 8")
	f("probabilities a little off", func(t *testing.T, dir string) {
		g, err := readGolden(filepath.Join(dir, modelstore.GoldenFile), manifestOf(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		g.p[5] += 5e-6
		writeGolden(t, dir, g)
		resum(t, dir)
	}, ReasonGolden, "1 of 64 golden rows differ by more than 1e-06; row 5 gives")
	f("too few golden rows", func(t *testing.T, dir string) {
		writeGolden(t, dir, &golden{n: 3, f: 8, x: make([]int32, 24), p: make([]float32, 3)})
		resum(t, dir)
	}, ReasonGolden, "has 3 rows, at least 16 are needed")
	f("a table shorter than it says", func(t *testing.T, dir string) {
		editManifest(t, dir, func(m map[string]any) { m["table_rows"] = 1200 })
	}, ReasonWarm, "rows of index 1199, the table has 1200")
	f("a model that diverged", func(t *testing.T, dir string) {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		copyVersion(t, "nan", dir, 2)
	}, ReasonGolden, "NaN is not a probability")
}

// TestHalfCopied copies a version file by file into its place, slower than the manager looks.
func TestHalfCopied(t *testing.T) {
	store := modelstore.New(t.TempDir())
	m := newManager(t, Options{Store: store})
	publish(t, store, "a", 1)
	serves(t, m, 1)
	source := t.TempDir()
	copyVersion(t, "b", source, 2)
	dir, err := store.VersionDir("ctr", 2)
	if err != nil {
		t.Fatal(err)
	}
	copied := func(name string) {
		t.Helper()
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, target, read(t, filepath.Join(source, name)))
	}
	copied("saved_model.pb")
	if err := store.Promote("ctr", 2); err != nil {
		t.Fatal(err)
	}
	attempts := 0
	for _, name := range []string{
		"assets.extra/manifest.json", "assets.extra/recipe.yaml", "assets.extra/golden.msgpack", "fingerprint.pb",
		"variables/variables.index", "variables/variables.data-00000-of-00001",
	} {
		eventually(t, "the half copy is refused once more, before "+name, func() bool {
			r := m.Status().Refused
			return len(r) == 1 && r[0].Attempts > attempts
		})
		attempts = m.Status().Refused[0].Attempts
		copied(name)
	}
	serves(t, m, 2)
}

func TestStartsOnThePreviousVersion(t *testing.T) {
	f := func(name string, pointer bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			store := modelstore.New(t.TempDir())
			publish(t, store, "a", 1)
			dir := placeDamaged(t, store, "b", 2, func(dir string) { write(t, filepath.Join(dir, "saved_model.pb"), nil) })
			if pointer {
				if err := store.Promote("ctr", 2); err != nil {
					t.Fatal(err)
				}
			} else if err := os.Remove(filepath.Join(filepath.Dir(dir), modelstore.PointerFile)); err != nil {
				t.Fatal(err)
			}
			m := newManager(t, Options{Store: store})
			serves(t, m, 1)
			if r := m.Status().Refused; len(r) != 1 || r[0].Version != 2 || r[0].Reason != "checksum" {
				t.Errorf("refused %+v", r)
			}
		})
	}
	f("with a pointer", true)
	f("without one", false)
}

func TestPrepareMayRefuse(t *testing.T) {
	store := modelstore.New(t.TempDir())
	retired := make(chan int64, 4)
	m := newManager(t, Options{
		Store: store,
		Prepare: func(_ context.Context, s *Servable) error {
			if s.Version() == 2 {
				return errors.New("recipe.yaml: line 1: a feature is unknown")
			}
			return nil
		},
		Retire: func(s *Servable) { retired <- s.Version() },
	})
	publish(t, store, "a", 1)
	serves(t, m, 1)
	publish(t, store, "b", 2)
	eventually(t, "version 2 is refused", func() bool { return len(m.Status().Refused) == 1 })
	if r := m.Status().Refused[0]; r.Reason != ReasonPrepare || !strings.Contains(r.Error, "a feature is unknown") {
		t.Errorf("refused %+v", r)
	}
	publish(t, store, "c", 3)
	serves(t, m, 3)
	if v := <-retired; v != 1 {
		t.Errorf("version %d was retired; 2 was never prepared", v)
	}
}

func TestCanary(t *testing.T) {
	store := modelstore.New(t.TempDir())
	loads := atomic.Int64{}
	m := newManager(t, Options{Store: store, Prepare: func(context.Context, *Servable) error { loads.Add(1); return nil }})
	publish(t, store, "a", 1)
	if err := store.Place("ctr", stage(t, store, "b", 2), 2); err != nil {
		t.Fatal(err)
	}
	if err := store.SetCanary("ctr", 2, 0.25); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the canary serves", func() bool { return m.Status().Canary != nil })
	share := func() float64 {
		t.Helper()
		canary := 0
		for key := range uint64(20_000) {
			s, err := m.Acquire(key)
			if err != nil {
				t.Fatal(err)
			}
			again, err := m.Acquire(key)
			if err != nil {
				t.Fatal(err)
			}
			if s != again {
				t.Fatalf("key %d was given %v, then %v", key, s, again)
			}
			if s.Version() == 2 {
				canary++
			}
			s.Release()
			again.Release()
		}
		return float64(canary) / 20_000
	}
	if got := share(); math.Abs(got-0.25) > 0.015 {
		t.Errorf("share %v of keys, want 0.25", got)
	}
	if err := store.SetCanary("ctr", 2, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the share changes", func() bool { return m.Status().CanaryShare == 1 })
	if got := share(); got != 1 {
		t.Errorf("share %v, want 1", got)
	}
	if err := store.Promote("ctr", 2); err != nil {
		t.Fatal(err)
	}
	serves(t, m, 2)
	eventually(t, "the old stable version is freed", func() bool { return m.Status().Live == 1 })
	if st := m.Status(); st.Canary != nil || loads.Load() != 2 {
		t.Errorf("canary %+v; %d loads for 2 versions: promoting a canary must not load it again", st.Canary, loads.Load())
	}
}

func TestRefusedCanaryLeavesStable(t *testing.T) {
	store := modelstore.New(t.TempDir())
	m := newManager(t, Options{Store: store})
	publish(t, store, "a", 1)
	placeDamaged(t, store, "b", 2, func(dir string) { write(t, filepath.Join(dir, "saved_model.pb"), nil) })
	if err := store.SetCanary("ctr", 2, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the canary is refused", func() bool { return len(m.Status().Refused) == 1 })
	s, err := m.Acquire(3)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if s.Version() != 1 {
		t.Errorf("%v serves", s)
	}
}

func TestBrokenPointerServesOn(t *testing.T) {
	store := modelstore.New(t.TempDir())
	m := newManager(t, Options{Store: store})
	publish(t, store, "a", 1)
	serves(t, m, 1)
	pointer := filepath.Join(store.Root(), "ctr", modelstore.PointerFile)
	write(t, pointer, []byte(`{"stable": 2, "kanary": null}`))
	eventually(t, "the fault is shown", func() bool { return strings.Contains(m.Status().StoreError, `unknown field "kanary"`) })
	if st := m.Status(); st.Stable.Version != 1 {
		t.Errorf("version %d serves", st.Stable.Version)
	}
	write(t, pointer, []byte(`{"stable": 9, "canary": null, "previous": 1}`))
	eventually(t, "a version that is not there is refused", func() bool {
		r := m.Status().Refused
		return len(r) == 1 && r[0].Version == 9 && r[0].Reason == ReasonMissing
	})
	publish(t, store, "b", 10)
	serves(t, m, 10)
	if err := os.RemoveAll(filepath.Join(store.Root(), "ctr")); err != nil {
		t.Fatal(err)
	}
	s, err := m.Acquire(1)
	if err != nil {
		t.Fatalf("the store vanished, and with it what served: %v", err)
	}
	s.Release()
}

func TestMetrics(t *testing.T) {
	store := modelstore.New(t.TempDir())
	reg := prometheus.NewRegistry()
	m := newManager(t, Options{Store: store, Registerer: reg})
	publish(t, store, "a", 1)
	serves(t, m, 1)
	publish(t, store, "b", 2)
	serves(t, m, 2)
	eventually(t, "version 1 is freed", func() bool { return m.Status().Live == 1 })
	got := metricsOf(t, reg)
	for name, want := range map[string]float64{
		"gavel_model_swaps_total ctr": 2, "gavel_model_version ctr canary": 0, "gavel_model_version ctr stable": 2,
		"gavel_model_live_versions ctr": 1, "gavel_model_ready ctr": 1, "gavel_model_load_seconds ctr": 2,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if age := time.Since(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)).Seconds(); math.Abs(got["gavel_model_age_seconds ctr"]-age) > 60 {
		t.Errorf("age %v s, want %v", got["gavel_model_age_seconds ctr"], age)
	}
	if _, err := NewManager(Options{Store: store, Model: "ctr", Registerer: reg, Logger: quietLog()}); err == nil {
		t.Error("two managers of one model share a registry")
	}
}

func TestCloseNamesWhatIsInUse(t *testing.T) {
	store := modelstore.New(t.TempDir())
	m := newManager(t, Options{Store: store})
	publish(t, store, "a", 1)
	serves(t, m, 1)
	s, err := m.Acquire(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Close(ctx); err == nil || !strings.Contains(err.Error(), "cannot free 1 versions of ctr") {
		t.Errorf("closing while in use: %v", err)
	}
	if _, err := m.Acquire(1); !errors.Is(err, ErrNoVersion) {
		t.Errorf("acquiring from a closed manager: %v", err)
	}
	if err := run(s.Session(), zeroProbability(t, "a")); err != nil {
		t.Errorf("what was acquired before: %v", err)
	}
	s.Release()
	if err := m.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestOptionsNameEveryFault(t *testing.T) {
	_, err := NewManager(Options{Model: "../ctr", Load: LoadOptions{Threading: "fast", WarmRows: []int{0}}})
	for _, want := range []string{"Store is nil", `model name "../ctr" is not allowed`, `threading "fast" is unknown`, "WarmRows holds 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

func TestWaitReadySaysWhyNot(t *testing.T) {
	store := modelstore.New(t.TempDir())
	placeDamaged(t, store, "a", 1, func(dir string) { write(t, filepath.Join(dir, "saved_model.pb"), nil) })
	m := newManager(t, Options{Store: store})
	eventually(t, "version 1 is refused", func() bool { return len(m.Status().Refused) == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := m.WaitReady(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "version 1: ") || !strings.Contains(err.Error(), "saved_model.pb (0 bytes)") {
		t.Errorf("%v", err)
	}
}

// metricsOf gathers values by name and the values of the labels; of a histogram, its count.
func metricsOf(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}
