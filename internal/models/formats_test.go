package models_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
)

const other = modelstest.OtherFormat

func TestLoadChoosesAFormat(t *testing.T) {
	f := func(name, format string, formats []string, otherBias float32, wantFormat string, wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			engines := new(modelstest.Engines)
			version := filepath.Join(t.TempDir(), "1")
			modelstest.WriteVersion(t, version, "ctr", 1, 1)
			modelstest.AddFormat(t, version, otherBias, formats...)
			s, err := models.Load(t.Context(), engines.Loaders(), version, "ctr", 1, models.LoadOptions{Format: format})
			if len(wants) > 0 {
				wantError(t, err, wants...)
			} else if err != nil {
				t.Error(err)
			} else {
				if s.Format() != wantFormat {
					t.Errorf("%s is loaded, want %s", s.Format(), wantFormat)
				}
				if err := run(s.Engine(), 1); err != nil {
					t.Error(err)
				}
				s.Release()
			}
			if n := engines.Open.Load(); n != 0 {
				t.Errorf("%d engines and batches are open", n)
			}
		})
	}
	both, turned := []string{models.DefaultFormat, other}, []string{other, models.DefaultFormat}
	f("none: the first", "", both, 1, models.DefaultFormat)
	f("none: the first, whichever that is", "", turned, 1, other)
	f("one of them", other, both, 1, other)
	f("one that misses its golden rows", other, both, 2, "", "refused (golden)")
	f("one beside another that misses its golden rows", models.DefaultFormat, both, 2, models.DefaultFormat)
	f("one that the version lacks", models.PlanFormat, both, 1, "", "refused (format): it has no plan, only savedmodel, other",
		"models.ctr.engine", "--engine", "list plan under export in the model's recipe")
	f("one without an engine", "third", []string{"third", models.DefaultFormat}, 1, "", `engine: no loader for the format "third"`)
}

func TestLoadEach(t *testing.T) {
	f := func(name string, otherBias float32, do func(*models.Servable) error, wantLoads int64, wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			engines := new(modelstest.Engines)
			version := filepath.Join(t.TempDir(), "1")
			modelstest.WriteVersion(t, version, "ctr", 1, 1)
			modelstest.AddFormat(t, version, otherBias, models.DefaultFormat, other)
			var loaded []string
			err := models.LoadEach(t.Context(), engines.Loaders(), version, "ctr", 1, models.LoadOptions{WarmRows: []int{1}}, func(s *models.Servable) error {
				loaded = append(loaded, s.Format())
				return do(s)
			})
			if len(wants) > 0 {
				wantError(t, err, wants...)
			} else if err != nil || !slices.Equal(loaded, []string{models.DefaultFormat, other}) {
				t.Errorf("loaded %q, %v", loaded, err)
			}
			if n := engines.Loads.Load(); n != wantLoads {
				t.Errorf("%d loads, want %d", n, wantLoads)
			}
			if n := engines.Open.Load(); n != 0 {
				t.Errorf("%d engines and batches are open", n)
			}
		})
	}
	nothing := func(*models.Servable) error { return nil }
	f("sound", 1, nothing, 2)
	f("the second misses its golden rows", 2, nothing, 2, "the other of ctr version 1", "refused (golden)")
	f("the caller refuses the first", 1, func(s *models.Servable) error { return errors.New("no " + s.Format()) }, 1, "the savedmodel of ctr version 1: no savedmodel")
}

// A manager loads the format that its options name. A version without it is refused, and the one before serves on; a fault of a format
// that is not loaded refuses nothing.
func TestAManagerLoadsItsFormat(t *testing.T) {
	s := dir.New(t.TempDir())
	engines := new(modelstest.Engines)
	var opened []string
	engines.OnLoad = func(_ context.Context, v engine.Version) error {
		opened = append(opened, filepath.Base(v.Dir))
		return nil
	}
	m := manage(t, newGroup(t, s, engines, models.GroupOptions{}), models.Options{Load: models.LoadOptions{Format: other}})
	publish := func(version int64, change func(staged string)) {
		t.Helper()
		staged := modelstest.Stage(t, s, "ctr", version, 1)
		change(staged)
		if _, err := models.Publish(t.Context(), s, "ctr", version, staged); err != nil {
			t.Fatal(err)
		}
	}
	publish(1, func(staged string) { modelstest.AddFormat(t, staged, 1, models.DefaultFormat, other) })
	serves(t, m, 1)
	if got := m.Status().Stable.Format; got != other {
		t.Errorf("the status says %q", got)
	}
	publish(2, func(string) {})
	eventually(t, "version 2 is refused", func() bool { return len(m.Status().Refused) == 1 })
	if r := m.Status().Refused[0]; r.Reason != models.ReasonFormat {
		t.Errorf("refused: %+v", r)
	}
	publish(3, func(staged string) {
		modelstest.AddFormat(t, staged, 1, models.DefaultFormat, other)
		contents := modelstest.Contents(2)["variables/variables.data"]
		rewrite(t, staged, map[string]string{"variables/variables.data": contents}, func(map[string]any) {})
	})
	serves(t, m, 3)
	if !slices.Equal(opened, []string{other, other}) {
		t.Errorf("loaded from %q", opened)
	}
}
