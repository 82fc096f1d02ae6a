package models_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gavel/internal/engine"
	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
)

// many writes version 1 of n models, and returns their names.
func many(t testing.TB, s *dir.Store, n int) (names []string) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("m%03d", i)
		modelstest.WriteVersion(t, filepath.Join(s.String(), name, "1"), name, 1, float32(i)/100)
		names = append(names, name)
	}
	return names
}

// usage is what the process has of the system.
type usage struct {
	goroutines, threads, watches, instances int
	cpu                                     time.Duration
}

func measure(t testing.TB) (u usage) {
	t.Helper()
	u.goroutines = runtime.NumGoroutine()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	u.threads = len(threads)
	infos, _ := filepath.Glob("/proc/self/fdinfo/*")
	for _, info := range infos {
		target, _ := os.Readlink(strings.Replace(info, "fdinfo", "fd", 1))
		if data, err := os.ReadFile(info); err == nil && strings.Contains(target, "inotify") {
			u.instances++
			u.watches += strings.Count(string(data), "inotify wd:")
		}
	}
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return u
}

// TestHundredsOfModels follows 200 models: what the process has of goroutines, threads and watches must not grow with them.
func TestHundredsOfModels(t *testing.T) {
	const n = 200
	s := dir.New(t.TempDir())
	names := many(t, s, n)
	engines := new(modelstest.Engines)
	before := measure(t)
	g := newGroup(t, s, engines, models.GroupOptions{Nice: 1, Watch: models.WatchOptions{Poll: 500 * time.Millisecond}})
	managers := make([]*models.Manager, n)
	began := time.Now()
	for i, name := range names {
		managers[i] = manage(t, g, models.Options{Model: name})
	}
	for _, m := range managers {
		serves(t, m, 1)
	}
	took := time.Since(began)
	after := measure(t)
	const idle = time.Second
	time.Sleep(idle) // two polls of everything, and nothing to do
	later := measure(t)
	t.Logf("%d models serve after %v: %d goroutines, %d threads, %d watches of %d instances more; idle, %.2f %% of a core at a poll every 0.5 s",
		n, took.Round(time.Millisecond), after.goroutines-before.goroutines, after.threads-before.threads,
		after.watches-before.watches, after.instances-before.instances, 100*(later.cpu-after.cpu).Seconds()/idle.Seconds())
	if got := after.goroutines - before.goroutines; got > 8 {
		t.Errorf("%d goroutines more", got)
	}
	if got := max(after.threads, later.threads) - before.threads; got > 12 {
		t.Errorf("%d threads more", got)
	}
	if w, i := after.watches-before.watches, after.instances-before.instances; w > dir.MaxWatches || i != 1 {
		t.Errorf("%d watches of %d instances, want at most %d of 1", w, i, dir.MaxWatches)
	}
	if most := engines.Most.Load(); most != 1 {
		t.Errorf("%d versions were loaded at once, want 1", most)
	}
	// The first is told of, the last is only polled.
	for _, i := range []int{0, n - 1} {
		modelstest.Publish(t, s, names[i], 2, 1)
		serves(t, managers[i], 2)
	}
}

// gate blocks the loads of a version until it is opened.
type gate struct {
	version int64
	begun   chan struct{} // closed when such a load has begun
	open    chan struct{}
	once    atomic.Bool
}

func newGate(version int64) *gate {
	return &gate{version: version, begun: make(chan struct{}), open: make(chan struct{})}
}

// load is a modelstest.Engines.OnLoad.
func (g *gate) load(_ context.Context, v engine.Version) error {
	if v.Number == g.version {
		if g.once.CompareAndSwap(false, true) {
			close(g.begun)
		}
		<-g.open
	}
	return nil
}

// TestASlowLoadDelaysNobodyElse has one model load for as long as the test likes.
func TestASlowLoadDelaysNobodyElse(t *testing.T) {
	s := dir.New(t.TempDir())
	slow := newGate(666)
	engines := &modelstest.Engines{OnLoad: slow.load}
	g := newGroup(t, s, engines, models.GroupOptions{})
	manager := func(name string) *models.Manager {
		modelstest.Publish(t, s, name, 1, 1)
		m := manage(t, g, models.Options{Model: name})
		serves(t, m, 1)
		return m
	}
	a, b, c := manager("a"), manager("b"), manager("c")
	modelstest.Publish(t, s, "b", 2, 2)
	serves(t, b, 2)
	modelstest.Place(t, s, "b", 3, 3)
	if _, err := models.SetCanary(t.Context(), s, "b", 3, 0.5); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the canary of b", func() bool { return b.Status().Canary != nil })

	modelstest.Publish(t, s, "a", 666, 6)
	<-slow.begun
	for _, m := range []*models.Manager{a, b, c} {
		v, err := m.Acquire(7)
		if err != nil {
			t.Fatalf("%s: %v", m.Model(), err)
		}
		v.Release()
	}
	// What needs no load happens meanwhile: another share, its end, the canary promoted.
	if _, err := models.SetCanary(t.Context(), s, "b", 3, 0.25); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another share", func() bool { return b.Status().CanaryShare == 0.25 })
	if _, err := models.Promote(t.Context(), s, "b", 3); err != nil {
		t.Fatal(err)
	}
	serves(t, b, 3)
	// What does waits in turn, but not for ever.
	modelstest.Publish(t, s, "c", 2, 2)
	eventually(t, "c sees its new pointer", func() bool { return c.Status().Pointer.Stable == 2 })
	if st := c.Status(); st.Stable.Version != 1 || engines.Most.Load() > 1 {
		t.Errorf("version %d of c serves; %d loads at once", st.Stable.Version, engines.Most.Load())
	}
	close(slow.open)
	serves(t, c, 2)
	serves(t, a, 666)
}

// With two loads at once the second is not spent on waiting for the same model.
func TestTwoLoadsAtOnce(t *testing.T) {
	s := dir.New(t.TempDir())
	slow := newGate(666)
	g := newGroup(t, s, &modelstest.Engines{OnLoad: slow.load}, models.GroupOptions{Loads: 2})
	modelstest.Publish(t, s, "a", 1, 1)
	a := manage(t, g, models.Options{Model: "a"})
	serves(t, a, 1)
	modelstest.Publish(t, s, "a", 666, 6)
	<-slow.begun
	modelstest.Publish(t, s, "a", 667, 6) // its next turn
	eventually(t, "a sees it", func() bool { return a.Status().Pointer.Stable == 667 })
	modelstest.Publish(t, s, "b", 1, 1)
	serves(t, manage(t, g, models.Options{Model: "b"}), 1)
	close(slow.open)
	serves(t, a, 667)
}

// Somebody goes back while the new version is still being loaded: it must never serve.
func TestRollbackDuringALoad(t *testing.T) {
	s := dir.New(t.TempDir())
	slow := newGate(2)
	m := manage(t, newGroup(t, s, &modelstest.Engines{OnLoad: slow.load}, models.GroupOptions{}), models.Options{})
	modelstest.Publish(t, s, "ctr", 1, 1)
	serves(t, m, 1)
	modelstest.Publish(t, s, "ctr", 2, 2)
	<-slow.begun
	if _, err := rollback(t, s); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the manager sees it", func() bool { return m.Status().Pointer.Stable == 1 })
	close(slow.open)
	eventually(t, "what was loaded in vain is freed", func() bool { return m.Status().Live == 1 })
	if st := m.Status(); st.Swaps != 1 || st.Stable.Version != 1 {
		t.Errorf("%d swaps, version %d serves", st.Swaps, st.Stable.Version)
	}
}

// A manager that is closed once more does not take the model from the one that followed it.
func TestCloseTwice(t *testing.T) {
	s := dir.New(t.TempDir())
	g := newGroup(t, s, new(modelstest.Engines), models.GroupOptions{})
	first := manage(t, g, models.Options{})
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := manage(t, g, models.Options{})
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	modelstest.Publish(t, s, "ctr", 1, 1)
	serves(t, second, 1)
}

// What fails for another reason than the version's files is tried again by itself: they may never change.
func TestRetriesWhatMayPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modelstest.NewMemory(t.TempDir())
		tries := 0
		m := manage(t, newGroup(t, s, &modelstest.Engines{OnLoad: func(context.Context, engine.Version) error {
			if tries++; tries <= 3 {
				return errors.New("too many open files")
			}
			return nil
		}}, models.GroupOptions{Watch: models.WatchOptions{Poll: time.Second}}), models.Options{})
		modelstest.Publish(t, s, "ctr", 1, 1)
		began := time.Now()
		eventually(t, "a third attempt", func() bool { r := m.Status().Refused; return len(r) == 1 && r[0].Attempts == 3 })
		serves(t, m, 1)
		if took := time.Since(began); took < 14*time.Second || took > 16*time.Second {
			t.Errorf("served after %v, want pauses of 2, 4 and 8 s", took)
		}
		if len(m.Status().Refused) != 0 {
			t.Errorf("it serves, and is refused still: %+v", m.Status().Refused)
		}
	})
}

// A manager that is closed while it waits for its turn, or is loaded for, leaves nothing behind.
func TestCloseDuringALoad(t *testing.T) {
	s := dir.New(t.TempDir())
	slow := newGate(666)
	g := newGroup(t, s, &modelstest.Engines{OnLoad: slow.load}, models.GroupOptions{})
	modelstest.Publish(t, s, "a", 666, 1)
	modelstest.Publish(t, s, "b", 1, 1)
	a := manage(t, g, models.Options{Model: "a"})
	<-slow.begun
	b := manage(t, g, models.Options{Model: "b"})
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- a.Close(context.Background()) }()
	close(slow.open)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if a.Ready() || b.Ready() {
		t.Error("a closed manager serves")
	}
	serves(t, manage(t, g, models.Options{Model: "b"}), 1) // it can be followed again
}

// A warm-up is bounded: in rows, in time, and by its context.
func TestWarmUpIsBounded(t *testing.T) {
	dir := t.TempDir()
	modelstest.WriteVersion(t, dir, "ctr", 1, 1)
	f := func(name string, opts models.LoadOptions, run time.Duration, want ...int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sizes []int
				engines := &modelstest.Engines{OnRun: func(_ engine.Version, rows int) error {
					sizes = append(sizes, rows)
					time.Sleep(run)
					return nil
				}}
				s, err := models.Load(t.Context(), engines.Loaders(), dir, "ctr", 1, opts)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Release()
				if sizes = slices.Compact(sizes[1:]); !slices.Equal(sizes, want) { // the first is of the golden rows
					t.Errorf("batches of %v rows, want %v", sizes, want)
				}
			})
		})
	}
	f("powers of two up to the largest batch", models.LoadOptions{MaxRows: 24}, 0, 1, 2, 4, 8, 16, 24)
	f("128 rows by default", models.LoadOptions{}, 0, 1, 2, 4, 8, 16, 32, 64, 128)
	f("as long as there is time", models.LoadOptions{}, 400*time.Millisecond, 1, 2, 4)
	f("the first in any case", models.LoadOptions{WarmBudget: time.Millisecond}, time.Second, 1)
	t.Run("until its context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			engines := &modelstest.Engines{OnRun: func(_ engine.Version, rows int) error {
				if rows == 4 {
					cancel()
				}
				if rows > 4 && rows != 16 { // the golden rows are 16
					t.Errorf("a batch of %d rows after the end", rows)
				}
				return nil
			}}
			if _, err := models.Load(ctx, engines.Loaders(), dir, "ctr", 1, models.LoadOptions{}); !errors.Is(err, context.Canceled) || engines.Open.Load() != 0 {
				t.Errorf("%v; %d left open", err, engines.Open.Load())
			}
		})
	})
}
