package servable

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/modelstore"
)

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
				if err := run(s.Engine(), zeroProbability(t, "a")); err != nil {
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
	f("a format that nothing reads", func(t *testing.T, dir string) {
		editManifest(t, dir, func(m map[string]any) { m["format"] = "scroll" })
	}, ReasonFormat, `no loader for the format "scroll" of ctr version 2; this program has ["savedmodel"]`)
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
