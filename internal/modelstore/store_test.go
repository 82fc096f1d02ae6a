package modelstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// contents are the files of a version, but its manifest.
var contents = map[string]string{
	"saved_model.pb": "graph", "variables/variables.index": "index", "variables/variables.data-00000-of-00001": "weights",
	RecipeFile: "model: ctr\n", GoldenFile: "rows",
}

// document is a sound manifest as JSON would hold it.
func document(version int64) map[string]any {
	files := map[string]any{}
	for name, text := range contents {
		sum := sha256.Sum256([]byte(text))
		files[name] = hex.EncodeToString(sum[:])
	}
	return map[string]any{
		"schema": 1, "model": "ctr", "version": version, "label": "click", "created": "2026-01-02T03:04:05.678Z",
		"row_len": 8, "table_rows": 100, "files": files,
		"signature": map[string]any{"name": "serving_default", "input": "rows", "output": "probability",
			"input_tensor": "in:0", "output_tensor": "out:0"},
		"training": map[string]any{"rows": 10, "from_ms": 1, "to_ms": 2, "position": map[string]any{"sequence": 5}},
		"metrics":  map[string]any{"auc": 0.7, "log_loss": nil},
	}
}

// makeVersion writes a version's files under dir.
func makeVersion(t testing.TB, dir string, version int64) {
	t.Helper()
	for name, text := range contents {
		put(t, filepath.Join(dir, name), text)
	}
	data, err := json.Marshal(document(version))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, ManifestFile), string(data))
}

func put(t testing.TB, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// staged makes a version in the store's staging.
func staged(t testing.TB, s *Store, version int64) string {
	t.Helper()
	dir, err := s.StagingDir("ctr")
	if err != nil {
		t.Fatal(err)
	}
	makeVersion(t, dir, version)
	return dir
}

func publish(t testing.TB, s *Store, version int64) {
	t.Helper()
	if err := s.Publish("ctr", staged(t, s, version), version); err != nil {
		t.Fatal(err)
	}
}

func pointer(t testing.TB, s *Store) Pointer {
	t.Helper()
	p, err := s.Pointer("ctr")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantError(t testing.TB, err error, wants ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one of %q", wants)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestPublish(t *testing.T) {
	s := New(t.TempDir())
	if next, err := s.NextVersion("ctr"); next != 1 || err != nil {
		t.Fatalf("next version of a new model is %d, %v", next, err)
	}
	if versions, err := s.Versions("ctr"); len(versions) != 0 || err != nil {
		t.Fatalf("a new model has versions %v, %v", versions, err)
	}
	if _, err := s.Pointer("ctr"); !errors.Is(err, ErrNoPointer) {
		t.Fatalf("pointer of a new model: %v", err)
	}
	publish(t, s, 1)
	publish(t, s, 3)
	if p := pointer(t, s); !p.Equal(Pointer{Stable: 3, Previous: 1}) {
		t.Errorf("pointer is %v", p)
	}
	dir, err := s.VersionDir("ctr", 3)
	if err != nil {
		t.Fatal(err)
	}
	m, err := VerifyVersion(dir, "ctr", 3)
	if err != nil {
		t.Fatal(err)
	}
	if auc, ok := m.Metric("auc"); auc != 0.7 || !ok {
		t.Errorf("auc %v, %v", auc, ok)
	}
	if _, ok := m.Metric("log_loss"); ok {
		t.Error("an undefined metric has a value")
	}
	if string(m.Training.Position) != `{"sequence":5}` || m.RowLen != 8 || m.Created.UnixMilli() != 1767323045678 {
		t.Errorf("manifest %+v", m)
	}

	// Neither staging nor other names are versions.
	if _, err := s.StagingDir("ctr"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"04", "+5", "6x", "0", "-7", "99999999999999999999"} {
		if err := os.Mkdir(filepath.Join(s.Root(), "ctr", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(s.Root(), "ctr", "8"), "a file")
	if versions, err := s.Versions("ctr"); !slices.Equal(versions, []int64{1, 3}) || err != nil {
		t.Errorf("versions %v, %v", versions, err)
	}
	if next, err := s.NextVersion("ctr"); next != 4 || err != nil {
		t.Errorf("next version %d, %v", next, err)
	}
}

func TestPublishRefuses(t *testing.T) {
	s := New(t.TempDir())
	publish(t, s, 2)
	f := func(name string, do func() error, wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			wantError(t, do(), wants...)
			if p := pointer(t, s); !p.Equal(Pointer{Stable: 2}) {
				t.Errorf("pointer is %v", p)
			}
			if versions, _ := s.Versions("ctr"); !slices.Equal(versions, []int64{2}) {
				t.Errorf("versions %v", versions)
			}
		})
	}
	f("an existing version", func() error {
		err := s.Publish("ctr", staged(t, s, 2), 2)
		if !errors.Is(err, ErrExists) {
			t.Errorf("not ErrExists: %v", err)
		}
		return err
	}, "cannot publish ctr version 2", "take NextVersion")
	f("a damaged one", func() error {
		dir := staged(t, s, 3)
		put(t, filepath.Join(dir, "saved_model.pb"), "grapf")
		return s.Publish("ctr", dir, 3)
	}, "saved_model.pb (5 bytes) has sha256", "(checksum)")
	f("a half-written one", func() error {
		dir := staged(t, s, 3)
		if err := os.RemoveAll(filepath.Join(dir, "variables")); err != nil {
			t.Fatal(err)
		}
		return s.Publish("ctr", dir, 3)
	}, "variables/variables.index is missing", "variables/variables.data-00000-of-00001 is missing")
	f("a number that is not the manifest's", func() error { return s.Publish("ctr", staged(t, s, 3), 4) },
		"its manifest is of ctr version 3, not of ctr version 4")
	f("another model's", func() error { return s.Publish("cvr", staged(t, s, 3), 3) }, "not of cvr version 3")
	f("a link out of the version", func() error {
		dir := staged(t, s, 3)
		if err := os.Symlink("/etc/hostname", filepath.Join(dir, "variables", "link")); err != nil {
			t.Fatal(err)
		}
		return s.Publish("ctr", dir, 3)
	}, "variables/link is not a regular file")
	f("no directory", func() error { return s.Publish("ctr", filepath.Join(s.Root(), "absent"), 3) }, "has no assets.extra/manifest.json")
	f("version 0", func() error { return s.Publish("ctr", staged(t, s, 3), 0) }, "versions are positive")
}

func TestNamesCannotLeaveTheStore(t *testing.T) {
	s := New(t.TempDir())
	for _, name := range []string{"", ".", "..", "../ctr", "a/b", "A", "1a", "a-b", "a\x00", ".staging", strings.Repeat("a", 64)} {
		_, dirErr := s.ModelDir(name)
		_, versionsErr := s.Versions(name)
		_, stagingErr := s.StagingDir(name)
		_, retainErr := s.Retain(name, 1)
		for what, err := range map[string]error{"ModelDir": dirErr, "Versions": versionsErr, "StagingDir": stagingErr,
			"Retain": retainErr, "Promote": s.Promote(name, 1), "Publish": s.Publish(name, s.Root(), 1)} {
			if err == nil || !strings.Contains(err.Error(), "is not allowed") {
				t.Errorf("%s(%q): %v", what, name, err)
			}
		}
	}
	if entries, err := os.ReadDir(s.Root()); len(entries) != 0 || err != nil {
		t.Errorf("something was written: %v, %v", entries, err)
	}
	for _, name := range []string{"a", "ctr", "cvr_2", strings.Repeat("a", 63)} {
		if err := CheckModel(name); err != nil {
			t.Error(err)
		}
	}
}

// TestPublishersDoNotCollide has several publish at once, each sure of its number until it is told otherwise.
func TestPublishersDoNotCollide(t *testing.T) {
	s := New(t.TempDir())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				for {
					v, err := s.NextVersion("ctr")
					if err == nil {
						err = s.Publish("ctr", staged(t, s, v), v)
					}
					if err == nil {
						break
					}
					if !errors.Is(err, ErrExists) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	versions, err := s.Versions("ctr")
	if err != nil || len(versions) != 40 || versions[39] != 40 {
		t.Errorf("versions %v, %v", versions, err)
	}
	p := pointer(t, s)
	if p.Stable == p.Previous || p.Stable < 1 || p.Stable > 40 {
		t.Errorf("pointer %v", p)
	}
}

func ExampleStore_Publish() {
	store := New("var/models")
	staged, err := store.StagingDir("ctr")
	if err != nil {
		log.Fatal(err)
	}
	version, err := store.NextVersion("ctr")
	if err != nil {
		log.Fatal(err)
	}
	// … the exporter fills the staged directory …
	if err := store.Publish("ctr", staged, version); err != nil {
		log.Fatal(err)
	}
	if _, err := store.Retain("ctr", 5); err != nil {
		log.Fatal(err)
	}
}
