package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/events"
	"gavel/internal/events/join"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/recipe"
	"gavel/internal/stream/memory"
)

const testRecipe = `
model: m
label: click
architecture: {kind: logreg}
training: {batch_rows: 16, checkpoint_every_seconds: 0.05, export_every_seconds: 0.1, export_min_rows: 50}
join: {bid_wait_seconds: 20, label_wait_seconds: 2}
features:
  - {name: os, source: device.os, encoder: hash, buckets: 64}
  - {name: campaign, source: campaign.id, encoder: hash, buckets: 64}
`

func testOptions(t *testing.T, s *memory.Stream, behaviour string) Options {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "recipe.yaml")
	if err := os.WriteFile(path, []byte(testRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := recipe.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Recipe: r, RecipePath: path, Python: []string{"/usr/bin/env", childEnv + "=" + behaviour, self},
		StateDir: filepath.Join(dir, "state"), Store: modelsdir.New(filepath.Join(dir, "store")), ArchiveDir: filepath.Join(dir, "archive"),
		Stream: s, ArchiveRows: 300, FlushEvery: 5 * time.Millisecond, QueueFrames: 2,
		HelloTimeout: 20 * time.Second, StopTimeout: 20 * time.Second, BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)), Metrics: NewMetrics(prometheus.NewRegistry()),
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// start runs a pipeline and returns it with a function that stops it and gives Run's error.
func start(t *testing.T, o Options) (*Pipeline, func() error) {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- p.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-result })
	t.Cleanup(func() { _ = stop() })
	return p, stop
}

// eventually polls a condition that another process brings about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func learnt(t *testing.T, o Options) childState {
	t.Helper()
	var state childState
	data, err := os.ReadFile(filepath.Join(o.StateDir, "m", "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	return state
}

func times(examples []join.Example) []int64 {
	var ts []int64
	for i := range examples {
		ts = append(ts, examples[i].Time)
	}
	return ts
}

func readArchive(t *testing.T, o Options) []ArchivedExample {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(o.ArchiveDir, "m", "*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var all []ArchivedExample
	for _, file := range files {
		rows, err := parquet.ReadFile[ArchivedExample](file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(rows) > o.ArchiveRows {
			t.Errorf("%s holds %d rows, want %d at most", file, len(rows), o.ArchiveRows)
		}
		all = append(all, rows...)
	}
	return all
}

func checkExactlyOnce(t *testing.T, o Options, want []join.Example) {
	t.Helper()
	if got := learnt(t, o).Learnt; !slices.Equal(got, times(want)) {
		t.Errorf("learnt %d examples, want these %d, in this order, each once", len(got), len(want))
	}
	archived := readArchive(t, o)
	if len(archived) != len(want) {
		t.Fatalf("archived %d examples, want %d", len(archived), len(want))
	}
	row := make([]int32, o.Recipe.Encoder().RowLen())
	for i := range want {
		req, cand := want[i].Bid.Candidate()
		o.Recipe.Encoder().Encode(req, &cand, row)
		a := &archived[i]
		if a.ID != want[i].ID || a.TimeMs != want[i].Time || a.Label != want[i].Label || a.Weight != 1 || a.Probability != 0.125 || a.Version != 7 ||
			a.Campaign != want[i].Bid.Campaign.ID || a.PriceMicros != int64(want[i].Bid.Price) || !slices.Equal(a.Row, row) {
			t.Fatalf("archived example %d: got %+v, want %+v", i, a, want[i])
		}
	}
}

func TestLearnsEveryExampleOnce(t *testing.T) {
	s := memory.New(nil)
	story(s, rand.New(rand.NewPCG(1, 1)), 0, 2000)
	o := testOptions(t, s, "")
	want := expected(t, s, o.Recipe)
	if len(want) != 1500 {
		t.Fatalf("the story has %d examples, want 1500", len(want))
	}
	p, stop := start(t, o)
	eventually(t, "all learnt", func() bool { return p.Status().Rows == int64(len(want)) })
	eventually(t, "a version", func() bool { return p.Status().Version >= 1 })
	if err := stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	checkExactlyOnce(t, o, want)
	for i, n := range learnt(t, o).Batches {
		if n > 16 {
			t.Errorf("frame %d has %d rows, want batch_rows, 16, at most", i, n)
		}
	}
	pointer, _, err := o.Store.Pointer(t.Context(), "m")
	if err != nil || pointer.Stable != p.Status().Version {
		t.Errorf("pointer %v, %v; want version %d", pointer, err, p.Status().Version)
	}
}

// TestKilledChildLosesNothing kills the child many times while the stream grows, and stops the whole trainer now and then.
func TestKilledChildLosesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	s := memory.New(nil)
	o := testOptions(t, s, "")
	p, stop := start(t, o)
	killed := 0
	for round := range 20 {
		story(s, rng, round*3000, 300)
		eventually(t, "learning", func() bool { return p.Status().State == "learning" })
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond) // anywhere between hello, frames, checkpoint and export
		if pid := childOf(t, o.StateDir); pid > 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
		if round%7 == 6 {
			if err := stop(); err != nil && !strings.Contains(err.Error(), "signal: killed") { // the kill may hit the stop
				t.Fatalf("stop: %v", err)
			}
			p, stop = start(t, o)
		}
	}
	_ = stop() // a pipeline may not have noticed the last kill yet; a new one's status is its own
	p, stop = start(t, o)
	want := expected(t, s, o.Recipe)
	eventually(t, "all learnt", func() bool { return p.Status().Rows == int64(len(want)) })
	if err := stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if killed < 10 {
		t.Errorf("killed %d children, want 10 or more", killed)
	}
	t.Logf("%d examples, %d children killed, version %d", len(want), killed, p.Status().Version)
	checkExactlyOnce(t, o, want)
}

// childOf finds the process that was started with this state directory; 0: none.
func childOf(t *testing.T, stateDir string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(data), "\x00"+filepath.Join(stateDir, "m")+"\x00") {
			var pid int
			if _, err := fmt.Sscanf(file, "/proc/%d/cmdline", &pid); err == nil {
				return pid
			}
		}
	}
	return 0
}

func TestRefusals(t *testing.T) {
	f := func(behaviour string, refused bool, want string) {
		t.Helper()
		t.Run(behaviour, func(t *testing.T) {
			o := testOptions(t, memory.New(nil), behaviour)
			o.StallTimeout = 50 * time.Millisecond
			p, stop := start(t, o)
			eventually(t, want, func() bool { return strings.Contains(p.Status().Error, want) })
			err := stop()
			if refused != errors.Is(err, ErrRefused) {
				t.Errorf("error %v; ErrRefused: want %v", err, refused)
			}
			if refused && p.Status().Restarts > 0 {
				t.Errorf("%d restarts of a child that refuses its configuration", p.Status().Restarts)
			}
		})
	}
	f("refuse", true, "no such optimizer (fix it)")
	f("protocol", true, "it has protocol 99")
	f("garbage", false, "only protocol frames")
}

func TestStalledChildIsReplaced(t *testing.T) {
	s := memory.New(nil)
	story(s, rand.New(rand.NewPCG(3, 3)), 0, 20_000) // more than pipe and queue hold
	o := testOptions(t, s, "deaf")
	o.StallTimeout = 100 * time.Millisecond
	p, stop := start(t, o)
	eventually(t, "a restart", func() bool { return strings.Contains(p.Status().Error, "no sign of life") && p.Status().Restarts > 0 })
	_ = stop()
}

func TestStubbornChildIsKilled(t *testing.T) {
	s := memory.New(nil)
	story(s, rand.New(rand.NewPCG(4, 4)), 0, 100)
	o := testOptions(t, s, "stubborn")
	o.StopTimeout = 100 * time.Millisecond
	p, stop := start(t, o)
	eventually(t, "all learnt", func() bool { return p.Status().Rows == 75 })
	if err := stop(); err == nil || !strings.Contains(err.Error(), "did not checkpoint and end within 100ms") {
		t.Errorf("stop: %v", err)
	}
	if pid := childOf(t, o.StateDir); pid != 0 {
		t.Errorf("process %d is still there", pid)
	}
}

func TestStreamStartedAnew(t *testing.T) {
	s := memory.New(nil)
	story(s, rand.New(rand.NewPCG(5, 5)), 0, 400)
	o := testOptions(t, s, "")
	p, stop := start(t, o)
	eventually(t, "all learnt", func() bool { return p.Status().Rows == 300 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s = memory.New(nil)
	put(s, events.NewTick("b1", time.UnixMilli(1)))
	o.Stream = s
	p, stop = start(t, o)
	eventually(t, "learning", func() bool { return p.Status().State == "learning" })
	story(s, rand.New(rand.NewPCG(6, 6)), 10_000, 400)
	eventually(t, "the new stream's examples", func() bool { return p.Status().Rows == 600 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(readArchive(t, o)); n != 600 {
		t.Errorf("archived %d examples, want 600", n)
	}
}

// While the pointer is pinned, versions are put into the store and not promoted. Old versions are still removed.
func TestPinnedPointerStays(t *testing.T) {
	s := memory.New(nil)
	o := testOptions(t, s, "")
	o.Keep = 3
	registry := prometheus.NewRegistry()
	o.Metrics = NewMetrics(registry)
	log := &logLines{}
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	p, stop := start(t, o)
	rng, told := rand.New(rand.NewPCG(8, 8)), 0
	version := func(above int64) int64 {
		t.Helper()
		eventually(t, "another version", func() bool {
			if told++; told%20 == 1 {
				story(s, rng, told*3000, 200)
			}
			return p.Status().Version > above
		})
		return p.Status().Version
	}
	version(0)
	pinned, err := models.SetPin(t.Context(), o.Store, "m", 0, "a look")
	if err != nil {
		t.Fatal(err)
	}
	last := version(p.Status().Version + 4) // an export may have been under way
	pointer, _, err := o.Store.Pointer(t.Context(), "m")
	if err != nil || pointer.Stable != pinned.Stable || !p.Status().Pinned {
		t.Errorf("pointer %v, %v; it was pinned at %d; status %+v", pointer, err, pinned.Stable, p.Status())
	}
	eventually(t, "old versions are removed", func() bool {
		versions, err := o.Store.Versions(t.Context(), "m")
		return err == nil && slices.Contains(versions, pinned.Stable) && len(versions) <= o.Keep+1 // an export may be under way
	})
	if n := log.count("the pointer is pinned"); n != 1 {
		t.Errorf("the pin was logged %d times", n)
	}
	if n := metricOf(t, registry, "gavel_trainer_pinned", ""); n != 1 {
		t.Errorf("gavel_trainer_pinned is %v", n)
	}
	if n := metricOf(t, registry, "gavel_trainer_exports_total", "placed"); n < 4 {
		t.Errorf("%v exports were placed, want 4 or more", n)
	}
	if _, err := models.Unpin(t.Context(), o.Store, "m"); err != nil {
		t.Fatal(err)
	}
	last = version(last + 1)
	eventually(t, "exports are promoted again", func() bool {
		pointer, _, err := o.Store.Pointer(t.Context(), "m")
		return err == nil && pointer.Stable >= last && !p.Status().Pinned
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A version that the check refuses is not put into the store; a later one that passes is. The child is told where plans' parameters go.
func TestACheckedVersionIsRefused(t *testing.T) {
	s := memory.New(nil)
	o := testOptions(t, s, "")
	registry := prometheus.NewRegistry()
	o.Metrics, o.Objects = NewMetrics(registry), filepath.Join(t.TempDir(), "objects")
	fault := errors.New("the plan misses its golden rows")
	checked := 0
	o.Check = func(_ context.Context, dir, model string, version int64) error {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(models.ManifestFile))); err != nil || model != "m" || version < 1 {
			return fmt.Errorf("asked of %s, %s, %d: %w", dir, model, version, err)
		}
		if checked++; checked == 1 {
			return fault
		}
		return nil
	}
	p, stop := start(t, o)
	rng, told := rand.New(rand.NewPCG(9, 9)), 0
	eventually(t, "a version", func() bool {
		if told++; told%20 == 1 {
			story(s, rng, told*3000, 200)
		}
		return p.Status().Version > 0
	})
	if n := metricOf(t, registry, "gavel_trainer_exports_total", "refused"); n != 1 {
		t.Errorf("%v exports were refused, want 1", n)
	}
	if p.Status().Error != fault.Error() {
		t.Errorf("the status says %q", p.Status().Error)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	command, err := p.command("staging")
	if err != nil || command[len(command)-2] != "--objects" || command[len(command)-1] != o.Objects {
		t.Errorf("the child's command is %q, %v", command, err)
	}
}

// logLines counts the lines of a log that have a part.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// metricOf is the value of a counter or gauge of one model; label is one of its labels' values, or "".
func metricOf(t *testing.T, registry *prometheus.Registry, name, label string) (value float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			has := label == ""
			for _, l := range m.GetLabel() {
				has = has || l.GetValue() == label
			}
			if family.GetName() == name && has {
				value += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return value
}
