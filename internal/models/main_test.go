package models_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gavel/internal/engine"
	"gavel/internal/engine/tensorflow/tensorflowtest"
	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		tensorflowtest.Remove()
		os.Exit(code)
	}))
}

// lines is a log that tests read while it is written.
type lines struct {
	mu    sync.Mutex
	lines []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// newGroup follows s until the test ends, by when every engine must have been closed. Options that are not set are those
// for quick tests.
func newGroup(t testing.TB, s models.Store, engines *modelstest.Engines, opts models.GroupOptions) *models.Group {
	t.Helper()
	opts.Store, opts.Loaders = s, engines.Loaders()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Watch.Poll == 0 {
		opts.Watch.Poll = 10 * time.Millisecond
	}
	opts.Watch.Settle = time.Millisecond
	g, err := models.NewGroup(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Close()
		if n := engines.Open.Load(); n != 0 {
			t.Errorf("%d engines and batches are still open", n)
		}
	})
	return g
}

// manage follows a model until the test ends, by when its versions must be free.
func manage(t testing.TB, g *models.Group, opts models.Options) *models.Manager {
	t.Helper()
	if opts.Model == "" {
		opts.Model = "ctr"
	}
	if opts.Load.WarmRows == nil {
		opts.Load.WarmRows = []int{1, 4}
	}
	m, err := g.Manage(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return m
}

// one follows the model ctr of a directory.
func one(t testing.TB, opts models.Options) (*dir.Store, *models.Manager) {
	t.Helper()
	s := dir.New(t.TempDir())
	return s, manage(t, newGroup(t, s, new(modelstest.Engines), models.GroupOptions{}), opts)
}

// eventually waits until ok, which other goroutines bring about, or fails with what.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute in vain: %s", what)
		}
	}
}

// serves waits until the version serves as stable.
func serves(t testing.TB, m *models.Manager, version int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("version %d of %s serves; status %+v", version, m.Model(), m.Status()), func() bool {
		st := m.Status()
		return st.Stable != nil && st.Stable.Version == version
	})
}

// run scores a row of zeros and holds it against the bias of the version that is meant.
func run(e engine.Engine, bias float32) error {
	b, err := e.NewBatch(1)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Run(1); err != nil {
		return err
	}
	want := modelstest.Probability(bias, make([]int32, modelstest.RowLen))
	if got := b.Outputs()[0].Float32[0]; math.Abs(float64(got-want)) > 1e-6 {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// placeDamaged puts a version, damaged, where versions are in a directory: as a broken disk or copy would.
func placeDamaged(t testing.TB, s *dir.Store, version int64, bias float32, damage func(dir string)) string {
	t.Helper()
	staged := modelstest.Stage(t, s, "ctr", version, bias)
	damage(staged)
	target := filepath.Join(s.String(), "ctr", fmt.Sprint(version))
	if err := os.Rename(staged, target); err != nil {
		t.Fatal(err)
	}
	return target
}

// rewrite replaces files of a version, and has the manifest say so, after edit.
func rewrite(t testing.TB, dir string, files map[string]string, edit func(m map[string]any)) {
	t.Helper()
	sums := modelstest.Document("ctr", 1, files)["files"].(map[string]any)
	for file, text := range files {
		modelstest.WriteFile(t, filepath.Join(dir, file), text)
	}
	modelstest.EditManifest(t, dir, func(m map[string]any) {
		maps.Copy(m["files"].(map[string]any), sums)
		edit(m)
	})
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
