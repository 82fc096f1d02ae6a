package models_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/engine"
	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
)

// onUse follows n models of a store that are loaded on use, with room for so many at once. It must be called in a bubble of
// synctest; done ends everything.
func onUse(t *testing.T, n, room int, opts models.GroupOptions) (s *dir.Store, managers []*models.Manager, done func()) {
	t.Helper()
	s = dir.New(t.TempDir())
	names := many(t, s, n)
	size := int64(0)
	files, err := s.Files(t.Context(), names[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		size += f.Size
	}
	opts.Store, opts.Nice, opts.Logger = s, -1, slog.New(slog.DiscardHandler)
	opts.Memory, opts.Watch.NoNotify = int64(room)*size, true
	if opts.Loaders == nil {
		opts.Loaders = new(modelstest.Engines).Loaders()
	}
	g, err := models.NewGroup(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		m, err := g.Manage(models.Options{Model: name, OnUse: true, Load: models.LoadOptions{WarmRows: []int{1}}})
		if err != nil {
			t.Fatal(err)
		}
		managers = append(managers, m)
	}
	synctest.Wait() // all states are read
	return s, managers, func() {
		for _, m := range managers {
			if err := m.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
		g.Close()
	}
}

// lfu is what the bound is said to do, in the simplest words: for each look, every use so far.
type lfu struct {
	room    int
	uses    []map[time.Time]float64 // of each model, by the look that counted them
	pending []float64
	loaded  []bool
	held    []int
}

func (l *lfu) look(now time.Time, newest int) {
	for i, n := range l.pending {
		if n > 0 {
			l.uses[i][now] = n
		}
		l.pending[i] = 0
	}
	value := func(i int) (score float64, last time.Time) {
		var looks []time.Time
		for at := range l.uses[i] {
			looks = append(looks, at)
		}
		slices.SortFunc(looks, time.Time.Compare)
		for _, at := range looks {
			score += l.uses[i][at] * math.Exp2(-now.Sub(at).Minutes()/10)
			last = at
		}
		return score, last
	}
	for {
		loaded, coldest := 0, -1
		for i, in := range l.loaded {
			if !in {
				continue
			}
			loaded++
			if i == newest || l.held[i] > 0 {
				continue
			}
			if coldest < 0 {
				coldest = i
				continue
			}
			a, lastA := value(i)
			b, lastB := value(coldest)
			if near := math.Abs(a-b) <= 1e-9*(a+b); !near && a < b || near && lastA.Before(lastB) {
				coldest = i
			}
		}
		if loaded <= l.room || coldest < 0 {
			return
		}
		l.loaded[coldest] = false
	}
}

// Models come and go as the plain description of the bound says, whatever is asked for, and held, in whatever order.
func TestBoundIsLFU(t *testing.T) {
	const n, room, steps = 9, 4, 70
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				_, managers, done := onUse(t, n, room, models.GroupOptions{})
				defer done()
				began := time.Now() // looks are whole seconds later; what happens here is not
				<-time.After(500 * time.Millisecond)
				want := lfu{room: room, pending: make([]float64, n), loaded: make([]bool, n), held: make([]int, n)}
				for range n {
					want.uses = append(want.uses, map[time.Time]float64{})
				}
				var holds []func()
				looked := began
				for step := range steps {
					i := min(int(random.ExpFloat64()*2.5), n-1)
					if !want.loaded[i] { // a use that waits would be counted now or by the next look
						managers[i].Wake()
						synctest.Wait()
						want.loaded[i] = true
						want.look(time.Now(), i)
					}
					switch random.IntN(4) {
					case 0, 1:
						for range 1 + random.IntN(3) {
							acquire(t, managers[i]).Release()
							want.pending[i]++
						}
					case 2:
						v := acquire(t, managers[i])
						want.pending[i]++
						want.held[i]++
						holds = append(holds, func() { v.Release(); want.held[i]-- })
					case 3:
						if len(holds) > 0 {
							k := random.IntN(len(holds))
							holds[k]()
							holds = slices.Delete(holds, k, k+1)
						}
					}
					<-time.After(time.Duration(1+random.IntN(40)) * time.Second)
					synctest.Wait()
					for at := looked.Add(time.Second); !at.After(time.Now()); at = at.Add(time.Second) {
						want.look(at, -1)
						looked = at
					}
					for i, m := range managers {
						if m.Ready() != want.loaded[i] {
							t.Fatalf("step %d: model %d is loaded: %v, want %v", step, i, m.Ready(), want.loaded)
						}
					}
				}
				for _, release := range holds {
					release()
				}
			})
		})
	}
}

// acquire acquires the stable version, and waits until it is loaded.
func acquire(t testing.TB, m *models.Manager) *models.Servable {
	t.Helper()
	for {
		v, err := m.AcquireVersion(0)
		if err == nil {
			return v
		}
		if err := m.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoadedOnUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		loads := make(chan struct{}) // each load waits for one
		engines := &modelstest.Engines{OnLoad: func(ctx context.Context, _ engine.Version) error {
			select {
			case <-loads:
			case <-ctx.Done():
			}
			return nil
		}}
		s, managers, done := onUse(t, 3, 1, models.GroupOptions{Registerer: reg, Loaders: engines.Loaders()})
		defer done()
		a, b := managers[0], managers[1]
		modelstest.Publish(t, s, "m000", 2, 1)
		<-time.After(time.Minute)
		if st := a.Status(); !st.Asleep || engines.Loads.Load() != 0 || st.Pointer.Stable != 2 {
			t.Fatalf("nobody asked: %d loads, %+v", engines.Loads.Load(), st)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := a.Await(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "is being loaded") {
			t.Errorf("a load that takes longer than there is: %v", err)
		}
		cancel()
		var waiters sync.WaitGroup
		for range 10 {
			waiters.Go(func() { acquire(t, a).Release() })
		}
		synctest.Wait()
		close(loads)
		waiters.Wait()
		if n := engines.Loads.Load(); n != 1 {
			t.Errorf("ten requests loaded a model %d times", n)
		}

		held := acquire(t, a)
		acquire(t, b).Release()
		synctest.Wait()
		if !a.Ready() || !b.Ready() {
			t.Error("a is in use, and b was just asked for: both stay")
		}
		<-time.After(1500 * time.Millisecond)
		if !a.Ready() || b.Ready() {
			t.Error("b is idle, and goes at the next look")
		}
		b.Wake()
		synctest.Wait()
		held.Release()
		<-time.After(1500 * time.Millisecond)
		if a.Ready() == b.Ready() {
			t.Error("both are idle, and one is too many")
		}
		got := metricsOf(t, reg)
		for name, want := range map[string]float64{"gavel_models_loads_total": 3, "gavel_models_wakes_total": 3, "gavel_models_unloads_total": 2,
			"gavel_models_loaded": 1, "gavel_models_bytes": got["gavel_models_bound_bytes"]} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
		if got["gavel_models_cold_wait_seconds"] < 11 {
			t.Errorf("%v requests waited, want at least 11", got["gavel_models_cold_wait_seconds"])
		}

		c := managers[2]
		engines.OnLoad = func(context.Context, engine.Version) error { return engine.ErrLoad }
		if err := c.Await(t.Context()); !errors.Is(err, models.ErrRefused) {
			t.Errorf("a version that cannot be loaded: %v", err)
		}
		if err := c.Await(t.Context()); !errors.Is(err, models.ErrRefused) {
			t.Errorf("again: %v", err)
		}
	})
}

func TestDiscover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := dir.New(t.TempDir())
		modelstest.Place(t, s, "unpointed", 1, 0)
		modelstest.Publish(t, s, "a", 1, 0)
		g, err := models.NewGroup(models.GroupOptions{Store: s, Loaders: new(modelstest.Engines).Loaders(), Logger: slog.New(slog.DiscardHandler),
			Watch: models.WatchOptions{NoNotify: true}})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex // guards what follows
		var told []string
		managers := map[string]*models.Manager{}
		g.Discover(func(names []string) {
			mu.Lock()
			defer mu.Unlock()
			told = names
			for _, name := range names {
				if managers[name] != nil {
					continue
				}
				m, err := g.Manage(models.Options{Model: name})
				if err != nil {
					t.Error(err)
				}
				managers[name] = m
			}
		})
		f := func(when string, want ...string) {
			t.Helper()
			<-time.After(5 * time.Second)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, want) {
				t.Errorf("%s: %v, want %v", when, told, want)
			}
		}
		synctest.Wait()
		mu.Lock()
		if !slices.Equal(told, []string{"a"}) {
			t.Errorf("at once: %v", told)
		}
		mu.Unlock()
		modelstest.Publish(t, s, "b", 1, 0)
		f("another", "a", "b")
		if _, err := models.Promote(t.Context(), s, "unpointed", 1); err != nil {
			t.Fatal(err)
		}
		f("promoted", "a", "b", "unpointed")
		removePointer(t, s, "b")
		f("its pointer is gone", "a", "unpointed")
		g.Close() // what it told of is the test's alone from here on
		for _, m := range managers {
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func removePointer(t *testing.T, s *dir.Store, model string) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.String(), model, dir.PointerFile)); err != nil {
		t.Fatal(err)
	}
}
