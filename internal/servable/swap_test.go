package servable

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/modelstore"
	"gavel/internal/race"
)

// atomicLines is a log that tests read while it is written.
type atomicLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *atomicLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *atomicLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *atomicLines) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// TestSwapUnderLoad scores without pause while versions are swapped in and out: every run succeeds, and gives what the
// version that was acquired gives, to the last.
func TestSwapUnderLoad(t *testing.T) {
	store := modelstore.New(t.TempDir())
	names := []string{"a", "b", "c"}
	usual, ok := niceOf("/proc/self/stat") // the tests may be nice themselves
	if !ok {
		t.Fatal("cannot tell how nice this process is")
	}
	want := map[int64]float32{}
	type pool struct{ batches sync.Pool } // each version's own batches
	var opened sync.Map
	m := newManager(t, Options{
		Store: store,
		Nice:  usual + 5,
		Prepare: func(_ context.Context, s *Servable) error {
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
		Retire: func(s *Servable) {
			opened.Range(func(b, version any) bool {
				if version == s.Version() {
					b.(engine.Batch).Close()
					opened.Delete(b)
				}
				return true
			})
		},
	})
	publish(t, store, "a", 1)
	serves(t, m, 1)
	const swaps = 8
	for v := range int64(swaps + 1) {
		want[v+1] = zeroProbability(t, names[int(v)%len(names)])
	}
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
					if math.Abs(float64(got-want[s.Version()])) > goldenTolerance {
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
		publish(t, store, names[i%len(names)], int64(i+1))
		eventually(t, fmt.Sprintf("version %d serves", i+1), func() bool {
			low.Add(int64(lowThreads(t, usual)))
			return m.Status().Stable.Version == int64(i+1)
		})
		eventually(t, "runs go on", func() bool { return runs.Load() > before })
		if _, err := store.Retain("ctr", 3); err != nil {
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
		s, err := Load(context.Background(), dir, "ctr", 1, loadOptions(64))
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
