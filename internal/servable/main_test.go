package servable

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"go.uber.org/goleak"

	"gavel/internal/engine"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/modelstore"
)

// fixtures is where the tensorflow engine's make_versions.py wrote its versions, once a run of the tests.
var fixtures = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gavel-servable-")
	if err != nil {
		return "", err
	}
	fixtureDir = dir
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(python, "internal/engine/tensorflow/testdata/make_versions.py", dir)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "PYTHONPATH=.") // for pytrain
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot make the models (is the virtual environment set up? make setup): %w\n%s", err, out)
	}
	return dir, nil
})

var fixtureDir string

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	_ = os.RemoveAll(fixtureDir)
	if s, b, r := tensorflow.Live(); code == 0 && s+b+r != 0 {
		fmt.Fprintf(os.Stderr, "left behind: %d sessions, %d batches, %d row memories\n", s, b, r)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// fixture is the directory of a model that Python wrote; it must not be changed.
func fixture(t testing.TB, name string) string {
	t.Helper()
	dir, err := fixtures()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// manifestOf reads a fixture's manifest.
func manifestOf(t testing.TB, dir string) *modelstore.Manifest {
	t.Helper()
	m, err := modelstore.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// loadOptions load as the bidder does.
func loadOptions(warmRows ...int) LoadOptions {
	return LoadOptions{Loaders: engine.Loaders{"savedmodel": tensorflow.Loader(tensorflow.Options{})}, WarmRows: warmRows}
}

// copyVersion copies a fixture to dir as another version.
func copyVersion(t testing.TB, name, dir string, version int64) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(fixture(t, name))); err != nil {
		t.Fatal(err)
	}
	editManifest(t, dir, func(m map[string]any) { m["version"] = version })
}

// publish makes a copy of a fixture the stable version.
func publish(t testing.TB, store *modelstore.Store, name string, version int64) {
	t.Helper()
	if err := store.Publish("ctr", stage(t, store, name, version), version); err != nil {
		t.Fatal(err)
	}
}

// stage copies a fixture into the store's staging.
func stage(t testing.TB, store *modelstore.Store, name string, version int64) string {
	t.Helper()
	dir, err := store.StagingDir("ctr")
	if err != nil {
		t.Fatal(err)
	}
	copyVersion(t, name, dir, version)
	return dir
}

// placeDamaged puts a copy of a fixture, damaged, where versions are: as a broken disk or copy would.
func placeDamaged(t testing.TB, store *modelstore.Store, name string, version int64, damage func(dir string)) string {
	t.Helper()
	staged := stage(t, store, name, version)
	if damage != nil {
		damage(staged)
	}
	dir, err := store.VersionDir("ctr", version)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(staged, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func editManifest(t testing.TB, dir string, edit func(m map[string]any)) {
	t.Helper()
	name := filepath.Join(dir, modelstore.ManifestFile)
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(read(t, name)))
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, data)
}

// resum brings the manifest's sums up to date, so that a fault behind the checksums can be reached.
func resum(t testing.TB, dir string) {
	t.Helper()
	editManifest(t, dir, func(m map[string]any) {
		files := map[string]any{}
		err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || e.Name() == "manifest.json" {
				return err
			}
			rel, err := filepath.Rel(dir, p)
			sum := sha256.Sum256(read(t, p))
			files[rel] = hex.EncodeToString(sum[:])
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		m["files"] = files
	})
}

// writeGolden replaces the golden rows.
func writeGolden(t testing.TB, dir string, g *golden) {
	t.Helper()
	x, _ := binary.Append(nil, binary.LittleEndian, g.x)
	p, _ := binary.Append(nil, binary.LittleEndian, g.p)
	data, err := msgpack.Marshal(map[string]any{"n": g.n, "f": g.f, "x": x, "p": p})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, modelstore.GoldenFile), data)
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newManager starts a manager that is closed, and must free everything, when the test ends.
func newManager(t testing.TB, opts Options) *Manager {
	t.Helper()
	if opts.Model == "" {
		opts.Model = "ctr"
	}
	if opts.Logger == nil {
		opts.Logger = quietLog()
	}
	if opts.Watch.Poll == 0 {
		opts.Watch.Poll = 20 * time.Millisecond
	}
	opts.Watch.Settle = time.Millisecond
	opts.Load = loadOptions(1, 4)
	m, err := NewManager(opts)
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

// eventually waits until ok, which other goroutines bring about, or fails with what.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// serves waits until the version serves as stable.
func serves(t testing.TB, m *Manager, version int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("version %d serves; status %+v", version, m.Status()), func() bool {
		st := m.Status()
		return st.Stable != nil && st.Stable.Version == version
	})
}
