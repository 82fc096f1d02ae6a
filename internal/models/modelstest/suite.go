package modelstest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gavel/internal/models"
)

// Suite tests what models.Store promises. open returns an empty store, another each time.
func Suite(t *testing.T, open func(t *testing.T) models.Store) {
	f := func(name string, test func(t *testing.T, s models.Store)) {
		t.Helper()
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
	f("an empty store", testEmpty)
	f("a version is put whole and fetched as it was", testPut)
	f("a version is never replaced", testPutTwice)
	f("the pointer is compared and swapped", testCompareAndSwap)
	f("one of many wins a swap", testRace)
	f("versions are removed at a revision", testRemove)
	f("names cannot leave the store", testNames)
}

func testEmpty(t *testing.T, s models.Store) {
	ctx := t.Context()
	if names, err := s.Models(ctx); len(names) != 0 || err != nil {
		t.Errorf("models %v, %v", names, err)
	}
	if versions, err := s.Versions(ctx, "ctr"); len(versions) != 0 || err != nil {
		t.Errorf("versions %v, %v", versions, err)
	}
	if _, _, err := s.Pointer(ctx, "ctr"); !errors.Is(err, models.ErrNoPointer) {
		t.Errorf("pointer: %v", err)
	}
	if _, err := s.Files(ctx, "ctr", 1); !errors.Is(err, models.ErrNoVersion) {
		t.Errorf("files: %v", err)
	}
	if _, err := s.Fetch(ctx, "ctr", 1); !errors.Is(err, models.ErrNoVersion) {
		t.Errorf("fetch: %v", err)
	}
	if _, err := s.Read(ctx, "ctr", 1, models.ManifestFile, 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	if s.String() == "" {
		t.Error("the store does not say where it is")
	}
}

func testPut(t *testing.T, s models.Store) {
	ctx := t.Context()
	staged := Stage(t, s, "ctr", 3, 0.5)
	if versions, err := s.Versions(ctx, "ctr"); len(versions) != 0 || err != nil {
		t.Errorf("a staged version is one already: %v, %v", versions, err)
	}
	if err := s.Put(ctx, "ctr", 3, staged); err != nil {
		t.Fatal(err)
	}
	Place(t, s, "ctr", 12, 0)
	if versions, err := s.Versions(ctx, "ctr"); !slices.Equal(versions, []int64{3, 12}) || err != nil {
		t.Errorf("versions %v, %v; want 3 and 12", versions, err)
	}
	if names, err := s.Models(ctx); !slices.Equal(names, []string{"ctr"}) || err != nil {
		t.Errorf("models %v, %v", names, err)
	}
	if _, err := os.Stat(staged); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the staged directory is still there: %v", err)
	}
	fetched, err := s.Fetch(ctx, "ctr", 3)
	if err != nil {
		t.Fatal(err)
	}
	defer fetched.Release()
	if _, err := models.VerifyVersion(fetched.Dir, "ctr", 3); err != nil {
		t.Error(err)
	}
	files, err := s.Files(ctx, "ctr", 3)
	if err != nil {
		t.Fatal(err)
	}
	contents := Contents(0.5)
	if len(files) != len(contents)+1 || !slices.IsSortedFunc(files, func(a, b models.File) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("files %v", files)
	}
	for _, file := range files {
		want, ok := contents[file.Name]
		if !ok && file.Name != models.ManifestFile || ok && file.Size != int64(len(want)) || file.Tag == "" {
			t.Errorf("file %+v", file)
		}
		data, err := s.Read(ctx, "ctr", 3, file.Name, 1<<20)
		if err != nil || ok && string(data) != want {
			t.Errorf("%s: %q, %v", file.Name, data, err)
		}
	}
	if _, err := s.Read(ctx, "ctr", 3, models.ManifestFile, 10); err == nil || !strings.Contains(err.Error(), "larger than 10 bytes") {
		t.Errorf("a file beyond the limit: %v", err)
	}
	if _, err := s.Read(ctx, "ctr", 3, "absent", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

func testPutTwice(t *testing.T, s models.Store) {
	ctx := t.Context()
	Place(t, s, "ctr", 1, 0.5)
	was, err := s.Files(ctx, "ctr", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, "ctr", 1, Stage(t, s, "ctr", 1, 7)); !errors.Is(err, models.ErrExists) {
		t.Errorf("put twice: %v", err)
	}
	if now, err := s.Files(ctx, "ctr", 1); !slices.Equal(now, was) || err != nil {
		t.Errorf("files %v, were %v; %v", now, was, err)
	}
	staging, err := s.Staging(ctx, "ctr")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, "ctr", 2, filepath.Join(staging, "absent")); err == nil {
		t.Error("what is not there was put")
	}
	if versions, _ := s.Versions(ctx, "ctr"); !slices.Equal(versions, []int64{1}) {
		t.Errorf("versions %v", versions)
	}
}

func testCompareAndSwap(t *testing.T, s models.Store) {
	ctx := t.Context()
	for v := range int64(3) {
		Place(t, s, "ctr", v+1, 0)
	}
	_, none, err := s.Pointer(ctx, "ctr")
	if !errors.Is(err, models.ErrNoPointer) {
		t.Fatal(err)
	}
	set := func(p models.Pointer, read models.Revision) error { return s.SetPointer(ctx, "ctr", p, read) }
	first := models.Pointer{Stable: 1}
	if err := set(first, none); err != nil {
		t.Fatal(err)
	}
	if err := set(models.Pointer{Stable: 2}, none); !errors.Is(err, models.ErrConflict) {
		t.Errorf("a pointer that was made meanwhile: %v", err)
	}
	p, one, err := s.Pointer(ctx, "ctr")
	if err != nil || !p.Equal(first) {
		t.Fatalf("pointer %v, %v", p, err)
	}
	full := models.Pointer{Stable: 2, Previous: 1, Canary: &models.Canary{Version: 3, Share: 0.25}}
	if err := set(full, one); err != nil {
		t.Fatal(err)
	}
	if err := set(first, one); !errors.Is(err, models.ErrConflict) {
		t.Errorf("a pointer that was changed meanwhile: %v", err)
	}
	p, two, err := s.Pointer(ctx, "ctr")
	if err != nil || !p.Equal(full) || two == one {
		t.Errorf("pointer %v at %q, %v", p, two, err)
	}
	for what, p := range map[string]models.Pointer{"stable": {Stable: 9}, "canary": {Stable: 1, Canary: &models.Canary{Version: 9, Share: 1}}} {
		if err := set(p, two); !errors.Is(err, models.ErrNoVersion) {
			t.Errorf("%s that is not there: %v", what, err)
		}
	}
	if err := set(models.Pointer{}, two); err == nil || !strings.Contains(err.Error(), "stable: is 0") {
		t.Errorf("an invalid pointer: %v", err)
	}
	if p, now, err := s.Pointer(ctx, "ctr"); err != nil || !p.Equal(full) || now != two {
		t.Errorf("after what was refused: %v, %v", p, err)
	}
}

func testRace(t *testing.T, s models.Store) {
	const racers, rounds = 8, 10
	Place(t, s, "ctr", 1, 0)
	Place(t, s, "ctr", 2, 0)
	for range rounds {
		_, read, err := s.Pointer(t.Context(), "ctr")
		if err != nil && !errors.Is(err, models.ErrNoPointer) {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		won := make(chan float64, racers) // one each
		for i := range racers {
			share := float64(i+1) / racers
			wg.Go(func() {
				err := s.SetPointer(context.Background(), "ctr", models.Pointer{Stable: 1, Canary: &models.Canary{Version: 2, Share: share}}, read)
				switch {
				case err == nil:
					won <- share
				case !errors.Is(err, models.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(won)
		shares := []float64{}
		for share := range won {
			shares = append(shares, share)
		}
		p, _, err := s.Pointer(t.Context(), "ctr")
		// A racer whose pointer is what was there already changes nothing, and may win beside another.
		if err != nil || len(shares) == 0 || !slices.Contains(shares, p.Canary.Share) || len(shares) > 2 {
			t.Fatalf("%v won; the pointer is %v, %v", shares, p, err)
		}
	}
}

func testRemove(t *testing.T, s models.Store) {
	ctx := t.Context()
	for v := range int64(4) {
		Publish(t, s, "ctr", v+1, 0)
	}
	_, at, err := s.Pointer(ctx, "ctr")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(ctx, "ctr", []int64{1, 9}, at); err != nil {
		t.Errorf("one that is there and one that is not: %v", err)
	}
	if _, err := models.Promote(ctx, s, "ctr", 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(ctx, "ctr", []int64{2}, at); !errors.Is(err, models.ErrConflict) {
		t.Errorf("the pointer has moved meanwhile: %v", err)
	}
	if versions, err := s.Versions(ctx, "ctr"); !slices.Equal(versions, []int64{2, 3, 4}) || err != nil {
		t.Errorf("versions %v, %v", versions, err)
	}
}

func testNames(t *testing.T, s models.Store) {
	ctx := t.Context()
	for _, name := range []string{"", ".", "..", "../ctr", "a/b", "A", "1a", "a-b", "a\x00", ".staging", strings.Repeat("a", 64)} {
		_, versions := s.Versions(ctx, name)
		_, files := s.Files(ctx, name, 1)
		_, read := s.Read(ctx, name, 1, "x", 1)
		_, fetch := s.Fetch(ctx, name, 1)
		_, staging := s.Staging(ctx, name)
		_, _, pointer := s.Pointer(ctx, name)
		for what, err := range map[string]error{"Versions": versions, "Files": files, "Read": read, "Fetch": fetch, "Staging": staging,
			"Pointer": pointer, "Put": s.Put(ctx, name, 1, t.TempDir()), "Remove": s.Remove(ctx, name, nil, ""),
			"SetPointer": s.SetPointer(ctx, name, models.Pointer{Stable: 1}, "")} {
			if err == nil || !strings.Contains(err.Error(), "is not allowed") {
				t.Errorf("%s(%q): %v", what, name, err)
			}
		}
	}
	if err := s.Put(ctx, "ctr", 0, t.TempDir()); err == nil || !strings.Contains(err.Error(), "versions are positive") {
		t.Errorf("version 0: %v", err)
	}
	Place(t, s, "ctr", 1, 0)
	for _, name := range []string{"../1/saved_model.pb", "/etc/hostname", ".."} {
		if data, err := s.Read(ctx, "ctr", 1, name, 1000); err == nil {
			t.Errorf("read %q: %q", name, data)
		}
	}
}
