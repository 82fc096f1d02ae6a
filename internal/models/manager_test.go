package models_test

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

	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
)

func TestServesAndFollowsThePointer(t *testing.T) {
	f := func(name string, open func(t *testing.T) models.Store) {
		t.Helper()
		t.Run(name, func(t *testing.T) { followsThePointer(t, open(t)) })
	}
	f("in a directory", func(t *testing.T) models.Store { return dir.New(t.TempDir()) })
	f("in a store that copies", func(t *testing.T) models.Store {
		s := modelstest.NewMemory(t.TempDir())
		t.Cleanup(func() {
			if n := s.Copies(); n != 0 {
				t.Errorf("%d fetched versions were not released", n)
			}
		})
		return s
	})
}

func followsThePointer(t *testing.T, s models.Store) {
	var retired sync.Map
	m := manage(t, newGroup(t, s, new(modelstest.Engines), models.GroupOptions{}), models.Options{
		Prepare: func(_ context.Context, s *models.Servable) error {
			if string(s.Recipe()) != "model: any\n" {
				return fmt.Errorf("recipe %q", s.Recipe())
			}
			s.Attach(fmt.Sprintf("queue of %d", s.Version()))
			return nil
		},
		Retire: func(s *models.Servable) { retired.Store(s.Version(), s.Attached()) },
	})
	if _, err := m.Acquire(1); !errors.Is(err, models.ErrNotServing) || m.Ready() {
		t.Fatalf("before any version: %v, ready %v", err, m.Ready())
	}
	if _, err := m.AcquireVersion(1); !errors.Is(err, models.ErrNotServing) {
		t.Fatalf("before any version: %v", err)
	}
	modelstest.Publish(t, s, "ctr", 1, 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	first, err := m.Acquire(1)
	if err != nil {
		t.Fatal(err)
	}
	if first.Version() != 1 || first.Attached() != "queue of 1" || first.Manifest().Training.Rows != 10 {
		t.Errorf("%v with %v", first, first.Attached())
	}
	modelstest.Publish(t, s, "ctr", 2, 2)
	serves(t, m, 2)
	if _, gone := retired.Load(int64(1)); gone {
		t.Error("version 1 was retired while in use")
	}
	if err := run(first.Engine(), 1); err != nil {
		t.Errorf("an acquired version stopped working when it was swapped out: %v", err)
	}
	if st := m.Status(); st.Live != 2 || st.Swaps != 2 {
		t.Errorf("live %d, swaps %d", st.Live, st.Swaps)
	}
	first.Release()
	eventually(t, "version 1 is freed by its last release", func() bool { return m.Status().Live == 1 })
	if v, _ := retired.Load(int64(1)); v != "queue of 1" {
		t.Errorf("retired with %v", v)
	}
	if p, err := rollback(t, s); err != nil || p.Stable != 1 {
		t.Fatalf("rolled back to %v: %v", p, err)
	}
	serves(t, m, 1)
	if _, err := models.Promote(ctx, s, "ctr", 2); err != nil {
		t.Fatal(err)
	}
	serves(t, m, 2)
}

func TestCanary(t *testing.T) {
	loads := atomic.Int64{}
	s, m := one(t, models.Options{Prepare: func(context.Context, *models.Servable) error { loads.Add(1); return nil }})
	modelstest.Publish(t, s, "ctr", 1, 1)
	modelstest.Place(t, s, "ctr", 2, 2)
	if _, err := models.SetCanary(t.Context(), s, "ctr", 2, 0.25); err != nil {
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
	for number, want := range map[int64]int64{0: 1, 1: 1, 2: 2, 3: 0} {
		s, err := m.AcquireVersion(number)
		if want == 0 {
			if !errors.Is(err, models.ErrOtherVersion) {
				t.Errorf("version %d: got %v, %v", number, s, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if s.Version() != want {
			t.Errorf("asked for version %d, got %v", number, s)
		}
		s.Release()
	}
	if _, err := models.SetCanary(t.Context(), s, "ctr", 2, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the share changes", func() bool { return m.Status().CanaryShare == 1 })
	if got := share(); got != 1 {
		t.Errorf("share %v, want 1", got)
	}
	if _, err := models.Promote(t.Context(), s, "ctr", 2); err != nil {
		t.Fatal(err)
	}
	serves(t, m, 2)
	eventually(t, "the old stable version is freed", func() bool { return m.Status().Live == 1 })
	if st := m.Status(); st.Canary != nil || loads.Load() != 2 {
		t.Errorf("canary %+v; %d loads for 2 versions: promoting a canary must not load it again", st.Canary, loads.Load())
	}
}

func TestAcquireAllocatesNothing(t *testing.T) {
	s, m := one(t, models.Options{})
	modelstest.Publish(t, s, "ctr", 1, 1)
	serves(t, m, 1)
	if n := testing.AllocsPerRun(100, func() {
		s, _ := m.Acquire(3)
		s.Release()
	}); n != 0 {
		t.Errorf("acquiring allocates %v times", n)
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	s, m := one(b, models.Options{})
	modelstest.Publish(b, s, "ctr", 1, 1)
	serves(b, m, 1)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if s, err := m.Acquire(1); err == nil {
				s.Release()
			}
		}
	})
}

func TestRefusedCanaryLeavesStable(t *testing.T) {
	s, m := one(t, models.Options{})
	modelstest.Publish(t, s, "ctr", 1, 1)
	placeDamaged(t, s, 2, 2, func(dir string) { modelstest.WriteFile(t, filepath.Join(dir, "saved_model.pb"), "") })
	if _, err := models.SetCanary(t.Context(), s, "ctr", 2, 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the canary is refused", func() bool { return len(m.Status().Refused) == 1 })
	v, err := m.Acquire(3)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Release()
	if v.Version() != 1 {
		t.Errorf("%v serves", v)
	}
}

func TestBrokenPointerServesOn(t *testing.T) {
	s, m := one(t, models.Options{})
	modelstest.Publish(t, s, "ctr", 1, 1)
	serves(t, m, 1)
	pointer := filepath.Join(s.String(), "ctr", dir.PointerFile)
	modelstest.WriteFile(t, pointer, `{"stable": 2, "kanary": null}`)
	eventually(t, "the fault is shown", func() bool { return strings.Contains(m.Status().StoreError, `unknown field "kanary"`) })
	if st := m.Status(); st.Stable.Version != 1 {
		t.Errorf("version %d serves", st.Stable.Version)
	}
	modelstest.WriteFile(t, pointer, `{"stable": 9, "canary": null, "previous": 1}`)
	eventually(t, "a version that is not there is refused", func() bool {
		r := m.Status().Refused
		return len(r) == 1 && r[0].Version == 9 && r[0].Reason == models.ReasonMissing
	})
	modelstest.Publish(t, s, "ctr", 10, 2)
	serves(t, m, 10)
	if err := os.RemoveAll(filepath.Join(s.String(), "ctr")); err != nil {
		t.Fatal(err)
	}
	v, err := m.Acquire(1)
	if err != nil {
		t.Fatalf("the store vanished, and with it what served: %v", err)
	}
	v.Release()
}

// What a person should know of the store without asking for it.
func TestWhatIsLogged(t *testing.T) {
	var log lines
	s := dir.New(t.TempDir())
	reg := prometheus.NewRegistry()
	m := manage(t, newGroup(t, s, new(modelstest.Engines), models.GroupOptions{Logger: log.logger(), Registerer: reg}), models.Options{})
	eventually(t, "an empty store", func() bool { return log.count("the store holds no version of the model") == 1 })
	modelstest.Publish(t, s, "ctr", 1, 1)
	serves(t, m, 1)
	if _, err := models.SetPin(t.Context(), s, "ctr", 0, "holiday"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a pin", func() bool { return log.count("the pointer is pinned") == 1 && log.count("reason=holiday") == 1 })
	if pin := m.Status().Pointer.Pinned; pin == nil || pin.Reason != "holiday" || metricsOf(t, reg)["gavel_model_pinned ctr"] != 1 {
		t.Errorf("pinned %+v; metrics %v", pin, metricsOf(t, reg))
	}
	if _, err := models.Unpin(t.Context(), s, "ctr"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no pin", func() bool { return log.count("no longer pinned") == 1 })
	if err := os.RemoveAll(filepath.Join(s.String(), "ctr")); err != nil {
		t.Fatal(err)
	}
	modelstest.WriteFile(t, filepath.Join(s.String(), "ctr", "saved_model.pb"), "")
	eventually(t, "a SavedModel without a version", func() bool { return strings.Contains(m.Status().StoreError, "move it to") })
}

func TestMetrics(t *testing.T) {
	s := dir.New(t.TempDir())
	reg := prometheus.NewRegistry()
	g := newGroup(t, s, new(modelstest.Engines), models.GroupOptions{Registerer: reg})
	m := manage(t, g, models.Options{})
	modelstest.Publish(t, s, "ctr", 1, 1)
	serves(t, m, 1)
	modelstest.Publish(t, s, "ctr", 2, 2)
	serves(t, m, 2)
	eventually(t, "version 1 is freed", func() bool { return m.Status().Live == 1 })
	got := metricsOf(t, reg)
	for name, want := range map[string]float64{
		"gavel_model_swaps_total ctr": 2, "gavel_model_version ctr canary": 0, "gavel_model_version ctr stable": 2,
		"gavel_model_live_versions ctr": 1, "gavel_model_ready ctr": 1, "gavel_model_load_seconds ctr": 2, "gavel_model_pinned ctr": 0,
		"gavel_models_followed": 1, "gavel_models_waiting": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	if age := time.Since(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)).Seconds(); math.Abs(got["gavel_model_age_seconds ctr"]-age) > 60 {
		t.Errorf("age %v s, want %v", got["gavel_model_age_seconds ctr"], age)
	}
	if _, err := g.Manage(models.Options{Model: "ctr"}); err == nil {
		t.Error("two managers of one model")
	}
}

func TestCloseNamesWhatIsInUse(t *testing.T) {
	s, m := one(t, models.Options{})
	modelstest.Publish(t, s, "ctr", 1, 1)
	serves(t, m, 1)
	v, err := m.Acquire(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Close(ctx); err == nil || !strings.Contains(err.Error(), "cannot free 1 versions of ctr") {
		t.Errorf("closing while in use: %v", err)
	}
	if _, err := m.Acquire(1); !errors.Is(err, models.ErrNotServing) {
		t.Errorf("acquiring from a closed manager: %v", err)
	}
	if err := run(v.Engine(), 1); err != nil {
		t.Errorf("what was acquired before: %v", err)
	}
	v.Release()
	if err := m.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestOptionsNameEveryFault(t *testing.T) {
	_, err := models.NewGroup(models.GroupOptions{Loads: -1})
	wantError(t, err, "Store is nil", "Loaders is empty", "Loads is -1")
	g := newGroup(t, dir.New(t.TempDir()), new(modelstest.Engines), models.GroupOptions{})
	_, err = g.Manage(models.Options{Model: "../ctr", Load: models.LoadOptions{WarmRows: []int{0}, WarmBudget: -1}})
	wantError(t, err, `model name "../ctr" is not allowed`, "WarmRows holds 0", "neither may be negative")
}

func TestWaitReadySaysWhyNot(t *testing.T) {
	s, m := one(t, models.Options{})
	placeDamaged(t, s, 1, 1, func(dir string) { modelstest.WriteFile(t, filepath.Join(dir, "saved_model.pb"), "") })
	eventually(t, "version 1 is refused", func() bool { return len(m.Status().Refused) == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := m.WaitReady(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "version 1: ") || !strings.Contains(err.Error(), "saved_model.pb (0 bytes)") {
		t.Errorf("%v", err)
	}
}
