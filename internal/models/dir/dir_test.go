package dir_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	modelstest.Suite(t, func(t *testing.T) models.Store { return dir.New(filepath.Join(t.TempDir(), "store")) })
}

func TestWhatIsNoVersion(t *testing.T) {
	s := dir.New(t.TempDir())
	modelstest.Publish(t, s, "ctr", 3, 0)
	modelstest.Stage(t, s, "ctr", 5, 0)
	for _, name := range []string{"04", "+5", "6x", "0", "-7", "99999999999999999999"} {
		if err := os.Mkdir(filepath.Join(s.String(), "ctr", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	modelstest.WriteFile(t, filepath.Join(s.String(), "ctr", "8"), "a file")
	if versions, err := s.Versions(t.Context(), "ctr"); !slices.Equal(versions, []int64{3}) || err != nil {
		t.Errorf("versions %v, %v", versions, err)
	}
	if next, err := models.NextVersion(t.Context(), s, "ctr"); next != 4 || err != nil {
		t.Errorf("next version %d, %v", next, err)
	}
	modelstest.WriteFile(t, filepath.Join(s.String(), "cvr", "saved_model.pb"), "")
	if _, err := s.Versions(t.Context(), "cvr"); err == nil || !strings.Contains(err.Error(), "holds a SavedModel where versions belong; move it to") {
		t.Errorf("a model that is its own version: %v", err)
	}
	if names, err := s.Models(t.Context()); !slices.Equal(names, []string{"ctr"}) || err != nil {
		t.Errorf("models %v, %v", names, err)
	}
	link := filepath.Join(s.String(), "ctr", "3", "link")
	if err := os.Symlink("/etc/hostname", link); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Files(t.Context(), "ctr", 3); err == nil || !strings.Contains(err.Error(), "link is not a regular file") {
		t.Errorf("a link: %v", err)
	}
}

// A pointer that a person damaged can be replaced by who has read that it is damaged.
func TestDamagedPointer(t *testing.T) {
	s := dir.New(t.TempDir())
	modelstest.Publish(t, s, "ctr", 1, 0)
	modelstest.WriteFile(t, filepath.Join(s.String(), "ctr", dir.PointerFile), "{")
	if _, err := models.Promote(t.Context(), s, "ctr", 1); err == nil || !strings.Contains(err.Error(), "the file ends early") {
		t.Errorf("promoting over a damaged pointer: %v", err)
	}
	if _, err := models.Retain(t.Context(), s, "ctr", 0); err != nil { // one version: nothing to prune
		if !strings.Contains(err.Error(), "cannot prune ctr without knowing what serves") {
			t.Error(err)
		}
	}
	_, at, err := s.Pointer(t.Context(), "ctr")
	if err == nil || at == "" {
		t.Fatalf("a damaged pointer at %q: %v", at, err)
	}
	if err := s.SetPointer(t.Context(), "ctr", models.Pointer{Stable: 1}, at); err != nil {
		t.Error(err)
	}
	if p, _, err := s.Pointer(t.Context(), "ctr"); err != nil || p.Stable != 1 {
		t.Errorf("pointer %v, %v", p, err)
	}
	if entries, err := os.ReadDir(filepath.Join(s.String(), "ctr")); err != nil || len(entries) != 4 { // 1, .lock, pointer.json, .staging
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A version's files get other tags when somebody writes there.
func TestTagsFollowWrites(t *testing.T) {
	s := dir.New(t.TempDir())
	modelstest.Place(t, s, "ctr", 1, 0)
	was, err := s.Files(t.Context(), "ctr", 1)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(s.String(), "ctr", "1", "saved_model.pb")
	if err := os.Chtimes(name, time.Time{}, time.Unix(2_000_000_000, 5)); err != nil {
		t.Fatal(err)
	}
	now, err := s.Files(t.Context(), "ctr", 1)
	if err != nil || slices.Equal(was, now) {
		t.Errorf("files %v, %v", now, err)
	}
}

// Changes are found by the kernel's notices, by polling, and where the store is not there at first.
func TestChangesAreFound(t *testing.T) {
	f := func(name string, opts models.WatchOptions, early bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := dir.New(filepath.Join(t.TempDir(), "store"))
			if early {
				modelstest.Place(t, s, "ctr", 1, 0)
			}
			opts.Settle = time.Millisecond
			g, err := models.NewGroup(models.GroupOptions{Store: s, Loaders: new(modelstest.Engines).Loaders(), Watch: opts, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			m, err := g.Manage(models.Options{Model: "ctr"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := m.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			serves := func(version int64) {
				t.Helper()
				for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
					if st := m.Status(); st.Stable != nil && st.Stable.Version == version {
						return
					}
					if time.Now().After(deadline) {
						t.Fatalf("version %d does not serve: %+v", version, m.Status())
					}
				}
			}
			if early {
				serves(1)
			}
			modelstest.Publish(t, s, "ctr", 2, 0)
			serves(2)
			modelstest.Publish(t, s, "ctr", 3, 0)
			serves(3)
			// Renamed into place by hand, as an editor or a script does.
			aside := filepath.Join(s.String(), "aside.json")
			modelstest.WriteFile(t, aside, `{"stable": 2, "canary": null, "previous": 3}`)
			if err := os.Rename(aside, filepath.Join(s.String(), "ctr", dir.PointerFile)); err != nil {
				t.Fatal(err)
			}
			serves(2)
		})
	}
	f("by notices", models.WatchOptions{Poll: time.Hour}, true)
	f("by polling", models.WatchOptions{Poll: 10 * time.Millisecond, NoNotify: true}, true)
	f("where there was no store", models.WatchOptions{Poll: 10 * time.Millisecond}, false)
}

// Watches end with the model's directory, and are asked for again when it comes back.
func TestNoticesOfADirectoryThatComesAndGoes(t *testing.T) {
	s := dir.New(t.TempDir())
	n, err := s.Notices()
	if err != nil {
		t.Fatal(err)
	}
	told := func(what string) {
		t.Helper()
		select {
		case model := <-n.C():
			if model != "ctr" {
				t.Errorf("%s: told of %q", what, model)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s was not told", what)
		}
	}
	n.Add("ctr") // not there yet
	for range 2 {
		modelstest.Place(t, s, "ctr", 1, 0)
		n.Add("ctr")
		n.Add("ctr")
		modelstest.WriteFile(t, filepath.Join(s.String(), "ctr", dir.PointerFile), "{}")
		told("a pointer")
		if err := os.RemoveAll(filepath.Join(s.String(), "ctr")); err != nil {
			t.Fatal(err)
		}
		for quiet := false; !quiet; { // through all the notices of its end
			select {
			case <-n.C():
			case <-time.After(50 * time.Millisecond):
				quiet = true
			}
		}
	}
	n.Remove("ctr")
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, open := <-n.C(); open {
		t.Error("told of something after the end")
	}
	if _, err := s.Fetch(t.Context(), "ctr", 1); !errors.Is(err, models.ErrNoVersion) {
		t.Errorf("%v", err)
	}
}
