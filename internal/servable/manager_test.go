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

	"gavel/internal/engine"
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
	if _, err := m.AcquireVersion(1); !errors.Is(err, ErrNoVersion) {
		t.Fatalf("before any version: %v", err)
	}
	publish(t, store, "a", 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	if err := run(one.Engine(), zeroProbability(t, "a")); err != nil {
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
func run(e engine.Engine, want float32) error {
	b, err := e.NewBatch(1)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Run(1); err != nil {
		return err
	}
	if got := b.Outputs()[0].Float32[0]; math.Abs(float64(got-want)) > goldenTolerance {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
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
	for number, want := range map[int64]int64{0: 1, 1: 1, 2: 2, 3: 0} {
		s, err := m.AcquireVersion(number)
		if want == 0 {
			if !errors.Is(err, ErrOtherVersion) {
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
	if _, err := NewManager(Options{Store: store, Model: "ctr", Load: loadOptions(), Registerer: reg, Logger: quietLog()}); err == nil {
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
	if err := run(s.Engine(), zeroProbability(t, "a")); err != nil {
		t.Errorf("what was acquired before: %v", err)
	}
	s.Release()
	if err := m.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestOptionsNameEveryFault(t *testing.T) {
	_, err := NewManager(Options{Model: "../ctr", Load: LoadOptions{WarmRows: []int{0}}})
	for _, want := range []string{"Store is nil", `model name "../ctr" is not allowed`, "Load.Loaders is empty", "WarmRows holds 0"} {
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
