package models_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/engine"
	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
)

// goldenFile is golden rows of zeros, each with the same probability.
func goldenFile(n, f int, p float32) string {
	var ps bytes.Buffer
	for range n {
		_ = binary.Write(&ps, binary.LittleEndian, p)
	}
	data, err := msgpack.Marshal(map[string]any{"n": n, "f": f, "x": make([]byte, 4*n*f), "p": ps.Bytes()})
	if err != nil {
		panic(err) // unreachable: plain values
	}
	return string(data)
}

func TestDamagedVersionsAreRefused(t *testing.T) {
	nothing := func(map[string]any) {}
	f := func(name string, damage func(t *testing.T, dir string), reason models.Reason, wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := dir.New(t.TempDir())
			reg := prometheus.NewRegistry()
			var log lines
			engines := &modelstest.Engines{OnLoad: func(_ context.Context, v engine.Version) error {
				if v.RowLen != modelstest.RowLen {
					return engine.ErrSignature
				}
				return nil
			}}
			m := manage(t, newGroup(t, s, engines, models.GroupOptions{Registerer: reg, Logger: log.logger()}), models.Options{})
			modelstest.Publish(t, s, "ctr", 1, 1)
			serves(t, m, 1)
			path := placeDamaged(t, s, 2, 2, func(dir string) { damage(t, dir) })
			if _, err := models.Promote(t.Context(), s, "ctr", 2); err != nil {
				t.Fatal(err)
			}
			eventually(t, "version 2 is refused", func() bool { r := m.Status().Refused; return len(r) == 1 && r[0].Version == 2 })
			r := m.Status().Refused[0]
			if r.Reason != reason {
				t.Errorf("refused for %q, want %q: %s", r.Reason, reason, r.Error)
			}
			wantError(t, errors.New(r.Error), wants...)
			if v, err := m.Acquire(0); err != nil {
				t.Error(err)
			} else {
				if err := run(v.Engine(), 1); err != nil || v.Version() != 1 {
					t.Errorf("%v: %v", v, err)
				}
				v.Release()
			}
			if metric := "gavel_model_refused_total ctr " + string(reason); metricsOf(t, reg)[metric] != 1 {
				t.Errorf("%s is %v, want 1", metric, metricsOf(t, reg)[metric])
			}

			// The pointer moves to and fro: nothing changed, so nothing is tried again and nothing more is logged.
			_, at, err := s.Pointer(t.Context(), "ctr")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SetPointer(t.Context(), "ctr", models.Pointer{Stable: 2, Previous: 0}, at); err != nil {
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
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			placeDamaged(t, s, 2, 2, func(string) {})
			serves(t, m, 2)
			if r := m.Status().Refused; len(r) != 0 {
				t.Errorf("still refused: %+v", r)
			}
		})
	}
	data := filepath.Join("variables", "variables.data")
	f("one bit flipped", func(t *testing.T, dir string) {
		weights := []byte(modelstest.Contents(2)["variables/variables.data"])
		weights[2] ^= 1
		modelstest.WriteFile(t, filepath.Join(dir, data), string(weights))
	}, "checksum", "variables/variables.data (4 bytes) has sha256")
	f("a file missing", func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, data)) }, "files", "variables/variables.data is missing")
	f("a file too many", func(t *testing.T, dir string) { modelstest.WriteFile(t, filepath.Join(dir, "variables", "extra"), "") },
		"files", "variables/extra is not in the manifest")
	f("a manifest cut off", func(t *testing.T, dir string) {
		if err := os.Truncate(filepath.Join(dir, models.ManifestFile), 200); err != nil {
			t.Fatal(err)
		}
	}, "manifest", "manifest.json: ", "is not JSON near byte")
	f("a SavedModel alone", func(t *testing.T, dir string) { _ = os.RemoveAll(filepath.Join(dir, "assets.extra")) },
		"manifest", "a SavedModel alone is no version", "assets.extra/golden.msgpack", "python -m pytrain", "tried again when its files change")
	f("another version's manifest", func(t *testing.T, dir string) {
		rewrite(t, dir, nil, func(m map[string]any) { m["version"] = 7 })
	}, "name", "its manifest is of ctr version 7, not of ctr version 2")
	f("weights that are none", func(t *testing.T, dir string) {
		rewrite(t, dir, map[string]string{"variables/variables.data": "not weights"}, nothing)
	}, models.ReasonLoad, "the model cannot be read: 11 bytes of weights")
	f("rows of another length", func(t *testing.T, dir string) {
		rewrite(t, dir, map[string]string{models.GoldenFile: goldenFile(16, 9, 0.5)}, func(m map[string]any) { m["row_len"] = 9 })
	}, models.ReasonSignature, "the model is not what its manifest says")
	f("a format that nobody serves", func(t *testing.T, dir string) {
		rewrite(t, dir, nil, func(m map[string]any) { m["format"] = "third" })
	}, models.ReasonFormat, `no loader for the format "third"`)
	f("golden rows of another length", func(t *testing.T, dir string) {
		rewrite(t, dir, map[string]string{models.GoldenFile: goldenFile(16, 9, 0.5)}, nothing)
	}, models.ReasonGolden, "golden.msgpack has rows of 9 indices, the manifest says 4")
	f("probabilities a little off", func(t *testing.T, dir string) {
		p := modelstest.Probability(2, make([]int32, modelstest.RowLen))
		rewrite(t, dir, map[string]string{models.GoldenFile: goldenFile(64, modelstest.RowLen, p+5e-6)}, nothing)
	}, models.ReasonGolden, "64 of 64 golden rows differ by more than 1e-06; row 0 gives")
	f("too few golden rows", func(t *testing.T, dir string) {
		rewrite(t, dir, map[string]string{models.GoldenFile: goldenFile(3, modelstest.RowLen, 0.5)}, nothing)
	}, models.ReasonGolden, "has 3 rows, at least 16 are needed")
}

// What only running shows: a table shorter than the manifest says.
func TestWarmUpRefuses(t *testing.T) {
	path := t.TempDir()
	modelstest.WriteVersion(t, path, "ctr", 1, 1)
	engines := &modelstest.Engines{}
	loaders := engine.Loaders{models.DefaultFormat: func(ctx context.Context, v engine.Version) (engine.Engine, error) {
		v.TableRows /= 2
		return engines.Loaders()[models.DefaultFormat](ctx, v)
	}}
	_, err := models.Load(t.Context(), loaders, path, "ctr", 1, models.LoadOptions{})
	var refusal *models.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != models.ReasonGolden && refusal.Reason != models.ReasonWarm || engines.Open.Load() != 0 {
		t.Errorf("%v; %d left open", err, engines.Open.Load())
	}
	rewrite(t, path, map[string]string{models.GoldenFile: goldenFile(16, modelstest.RowLen, modelstest.Probability(1, make([]int32, modelstest.RowLen)))},
		func(map[string]any) {})
	_, err = models.Load(t.Context(), loaders, path, "ctr", 1, models.LoadOptions{})
	wantError(t, err, "refused (warm)", "a batch of 1 rows: rows of index 99, the table has 100: row 0")
}

// TestHalfCopied copies a version file by file into its place, slower than the manager looks.
func TestHalfCopied(t *testing.T) {
	s, m := one(t, models.Options{})
	modelstest.Publish(t, s, "ctr", 1, 1)
	serves(t, m, 1)
	source := t.TempDir()
	modelstest.WriteVersion(t, source, "ctr", 2, 2)
	copied := func(name string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		modelstest.WriteFile(t, filepath.Join(s.String(), "ctr", "2", name), string(data))
	}
	copied("saved_model.pb")
	if _, err := models.Promote(t.Context(), s, "ctr", 2); err != nil {
		t.Fatal(err)
	}
	attempts := 0
	for _, name := range []string{models.ManifestFile, models.RecipeFile, models.GoldenFile, "variables/variables.data"} {
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
			s := dir.New(t.TempDir())
			modelstest.Publish(t, s, "ctr", 1, 1)
			placeDamaged(t, s, 2, 2, func(dir string) { modelstest.WriteFile(t, filepath.Join(dir, "saved_model.pb"), "") })
			if pointer {
				if _, err := models.Promote(t.Context(), s, "ctr", 2); err != nil {
					t.Fatal(err)
				}
			} else if err := os.Remove(filepath.Join(s.String(), "ctr", dir.PointerFile)); err != nil {
				t.Fatal(err)
			}
			m := manage(t, newGroup(t, s, new(modelstest.Engines), models.GroupOptions{}), models.Options{})
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
	retired := make(chan int64, 4)
	s, m := one(t, models.Options{
		Prepare: func(_ context.Context, s *models.Servable) error {
			if s.Version() == 2 {
				return errors.New("recipe.yaml: line 1: a feature is unknown")
			}
			return nil
		},
		Retire: func(s *models.Servable) { retired <- s.Version() },
	})
	modelstest.Publish(t, s, "ctr", 1, 1)
	serves(t, m, 1)
	modelstest.Publish(t, s, "ctr", 2, 2)
	eventually(t, "version 2 is refused", func() bool { return len(m.Status().Refused) == 1 })
	if r := m.Status().Refused[0]; r.Reason != models.ReasonPrepare || !strings.Contains(r.Error, "a feature is unknown") {
		t.Errorf("refused %+v", r)
	}
	modelstest.Publish(t, s, "ctr", 3, 3)
	serves(t, m, 3)
	if v := <-retired; v != 1 {
		t.Errorf("version %d was retired; 2 was never prepared", v)
	}
}
