package modelstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestRetain(t *testing.T) {
	f := func(name string, p Pointer, n int, wantRemoved ...int64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := New(t.TempDir())
			var all []int64
			for v := range int64(6) {
				if err := s.Place("ctr", staged(t, s, v+1), v+1); err != nil {
					t.Fatal(err)
				}
				all = append(all, v+1)
			}
			if p.Stable != 0 {
				if err := s.SetPointer("ctr", p); err != nil {
					t.Fatal(err)
				}
			}
			removed, err := s.Retain("ctr", n)
			if err != nil || !slices.Equal(removed, wantRemoved) {
				t.Errorf("removed %v, want %v; %v", removed, wantRemoved, err)
			}
			left, err := s.Versions("ctr")
			want := slices.DeleteFunc(all, func(v int64) bool { return slices.Contains(wantRemoved, v) })
			if err != nil || !slices.Equal(left, want) {
				t.Errorf("left %v, want %v; %v", left, want, err)
			}
			if trash, err := os.ReadDir(filepath.Join(s.Root(), "ctr", stagingDir)); err != nil || len(trash) != 0 {
				t.Errorf("staging holds %v; %v", trash, err)
			}
		})
	}
	f("the oldest go", Pointer{Stable: 6, Previous: 5}, 3, 1, 2, 3)
	f("what the pointer names stays", Pointer{Stable: 5, Previous: 1, Canary: &Canary{2, 0.1}}, 2, 3, 4)
	f("what may be about to serve stays", Pointer{Stable: 2}, 1, 1)
	f("without a pointer the highest stays", Pointer{}, 0, 1, 2, 3, 4, 5)
	f("enough room", Pointer{Stable: 6}, 6)
	t.Run("not without knowing what serves", func(t *testing.T) {
		s := New(t.TempDir())
		publish(t, s, 1)
		put(t, filepath.Join(s.Root(), "ctr", PointerFile), "{")
		_, err := s.Retain("ctr", 0)
		wantError(t, err, "cannot prune ctr without knowing what serves")
	})
}

func TestCleanStaging(t *testing.T) {
	s := New(t.TempDir())
	old, fresh := staged(t, s, 1), staged(t, s, 2)
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	if err := s.CleanStaging("ctr", time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the remains of a killed export stay: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("an export under way was removed: %v", err)
	}
	if err := s.CleanStaging("cvr", 0); err != nil {
		t.Errorf("a model without staging: %v", err)
	}
}

func TestStampChangesWithTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "1")
	if Stamp(dir) != 0 {
		t.Error("a directory that is not there has a stamp")
	}
	makeVersion(t, dir, 1)
	seen := map[uint64]string{0: "absence"}
	step := func(what string, do func()) {
		t.Helper()
		do()
		stamp := Stamp(dir)
		if was, ok := seen[stamp]; ok {
			t.Errorf("%s has the stamp of %s", what, was)
		}
		seen[stamp] = what
		if Stamp(dir) != stamp {
			t.Errorf("%s: the stamp is not stable", what)
		}
	}
	data := filepath.Join(dir, "variables", "variables.index")
	step("the beginning", func() {})
	step("a new file", func() { put(t, filepath.Join(dir, "more"), "") })
	step("a longer file", func() { put(t, data, "longer index") })
	step("a later time", func() {
		if err := os.Chtimes(data, time.Time{}, time.Unix(2_000_000_000, 5)); err != nil {
			t.Fatal(err)
		}
	})
	step("a file less", func() {
		if err := os.Remove(data); err != nil {
			t.Fatal(err)
		}
	})
}
