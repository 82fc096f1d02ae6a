package models_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"gavel/internal/models"
	"gavel/internal/models/modelstest"
)

// filled is a store with versions 1 to n of ctr, and no pointer.
func filled(t *testing.T, n int64) *modelstest.Memory {
	t.Helper()
	s := modelstest.NewMemory(t.TempDir())
	for v := range n {
		modelstest.Place(t, s, "ctr", v+1, float32(v))
	}
	return s
}

func pointer(t testing.TB, s models.Store) models.Pointer {
	t.Helper()
	p, _, err := s.Pointer(t.Context(), "ctr")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rollback rolls back from what the pointer is.
func rollback(t testing.TB, s models.Store) (models.Pointer, error) {
	t.Helper()
	p, at, err := s.Pointer(t.Context(), "ctr")
	if err != nil {
		t.Fatal(err)
	}
	return models.Rollback(t.Context(), s, "ctr", p, at)
}

func TestPointerMoves(t *testing.T) {
	ctx, s := t.Context(), filled(t, 4)
	if st := models.ReadState(ctx, s, "ctr", models.State{}); st.Set || st.Pointer.Stable != 4 || st.Stamps[4] == 0 {
		t.Errorf("without a pointer the highest version serves, not %+v", st)
	}
	if p, err := models.Unpin(ctx, s, "ctr"); err != nil || p.Stable != 4 {
		t.Errorf("there is nothing to unpin: %v, %v", p, err)
	}
	if _, _, err := s.Pointer(ctx, "ctr"); !errors.Is(err, models.ErrNoPointer) {
		t.Errorf("what changed nothing made a pointer: %v", err)
	}
	step := func(what string, got models.Pointer, err error, want models.Pointer) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if p := pointer(t, s); !p.Equal(want) || !got.Equal(want) {
			t.Errorf("%s: pointer is %v, and said to be %v; want %v", what, p, got, want)
		}
	}
	canary := func(v int64, share float64) *models.Canary { return &models.Canary{Version: v, Share: share} }
	p, err := models.SetCanary(ctx, s, "ctr", 4, 0.1)
	step("a canary where nothing was pointed at", p, err, models.Pointer{Stable: 3, Canary: canary(4, 0.1)})
	p, err = models.Promote(ctx, s, "ctr", 2)
	step("another stable version", p, err, models.Pointer{Stable: 2, Previous: 3, Canary: canary(4, 0.1)})
	p, err = models.Promote(ctx, s, "ctr", 4)
	step("the canary made stable", p, err, models.Pointer{Stable: 4, Previous: 2})
	p, err = models.Promote(ctx, s, "ctr", 4)
	step("the same again", p, err, models.Pointer{Stable: 4, Previous: 2})
	p, err = rollback(t, s)
	step("back", p, err, models.Pointer{Stable: 2, Previous: 4})
	p, err = rollback(t, s)
	step("and forth", p, err, models.Pointer{Stable: 4, Previous: 2})
	p, err = models.SetCanary(ctx, s, "ctr", 1, 1)
	step("a canary", p, err, models.Pointer{Stable: 4, Previous: 2, Canary: canary(1, 1)})
	p, err = models.EndCanary(ctx, s, "ctr")
	step("no canary", p, err, models.Pointer{Stable: 4, Previous: 2})

	for what, do := range map[string]func() (models.Pointer, error){
		"promote an absent version": func() (models.Pointer, error) { return models.Promote(ctx, s, "ctr", 9) },
		"an absent canary":          func() (models.Pointer, error) { return models.SetCanary(ctx, s, "ctr", 9, 0.5) },
		"pin an absent version":     func() (models.Pointer, error) { return models.SetPin(ctx, s, "ctr", 9, "") },
	} {
		if _, err := do(); !errors.Is(err, models.ErrNoVersion) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = models.SetCanary(ctx, s, "ctr", 1, 1.5)
	wantError(t, err, "canary.share: is 1.5, must be above 0 and at most 1")
	_, err = models.SetCanary(ctx, s, "ctr", 4, 0.5)
	wantError(t, err, "canary.version: is 4, the stable version too")
	step("after all that was refused", p, nil, models.Pointer{Stable: 4, Previous: 2})
	if got := (models.Pointer{Stable: 3, Previous: 2, Canary: canary(4, 0.1), Pinned: &models.Pin{}}).String(); got != "stable 3, canary 4 (10%), previous 2, pinned" {
		t.Errorf("String is %q", got)
	}
}

func TestRollbackMeansThePointerThatWasRead(t *testing.T) {
	ctx, s := t.Context(), filled(t, 3)
	if _, err := models.Promote(ctx, s, "ctr", 2); err != nil {
		t.Fatal(err)
	}
	read, at, err := s.Pointer(ctx, "ctr")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := models.Promote(ctx, s, "ctr", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := models.Rollback(ctx, s, "ctr", read, at); !errors.Is(err, models.ErrConflict) {
		t.Errorf("another promoted between reading and rolling back: %v", err)
	}
	if p := pointer(t, s); p.Stable != 1 {
		t.Errorf("pointer %v", p)
	}
	_, err = models.Rollback(ctx, s, "ctr", models.Pointer{Stable: 1}, at)
	if !errors.Is(err, models.ErrNoVersion) {
		t.Errorf("rolled back to nothing: %v", err)
	}
}

// A pinned pointer keeps its version through exports, and can be moved by a person.
func TestPin(t *testing.T) {
	ctx, s := t.Context(), filled(t, 1)
	modelstest.Publish(t, s, "ctr", 2, 0)
	before := time.Now().Add(-time.Second)
	p, err := models.SetPin(ctx, s, "ctr", 0, "2 is being looked at")
	if err != nil || p.Stable != 2 || p.Pinned == nil || p.Pinned.Reason != "2 is being looked at" || p.Pinned.Since.Before(before) {
		t.Fatalf("pinned: %v (%+v), %v", p, p.Pinned, err)
	}
	p, err = models.Publish(ctx, s, "ctr", 3, modelstest.Stage(t, s, "ctr", 3, 0))
	if err != nil || p.Stable != 2 || p.Pinned == nil {
		t.Errorf("an export while it is pinned: %v, %v", p, err)
	}
	if versions, _ := s.Versions(ctx, "ctr"); !slices.Equal(versions, []int64{1, 2, 3}) {
		t.Errorf("versions %v; the export is to be in the store", versions)
	}
	p, err = rollback(t, s)
	if err != nil || p.Stable != 1 || p.Pinned == nil {
		t.Errorf("rolled back while it is pinned: %v, %v", p, err)
	}
	if p, err = models.SetPin(ctx, s, "ctr", 3, ""); err != nil || p.Stable != 3 || p.Previous != 1 || p.Pinned.Reason != "" {
		t.Errorf("pinned at another version: %v, %v", p, err)
	}
	if p, err = models.Unpin(ctx, s, "ctr"); err != nil || p.Stable != 3 || p.Pinned != nil {
		t.Errorf("unpinned: %v, %v", p, err)
	}
	if modelstest.Publish(t, s, "ctr", 4, 0); pointer(t, s).Stable != 4 {
		t.Errorf("an export after it was unpinned: %v", pointer(t, s))
	}
}

// TestPublishersDoNotCollide has several publish at once, each sure of its number until it is told otherwise.
func TestPublishersDoNotCollide(t *testing.T) {
	s := modelstest.NewMemory(t.TempDir())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				for {
					v, err := models.NextVersion(context.Background(), s, "ctr")
					if err == nil {
						_, err = models.Publish(context.Background(), s, "ctr", v, modelstest.Stage(t, s, "ctr", v, 0))
					}
					if err == nil {
						break
					}
					if !errors.Is(err, models.ErrExists) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	versions, err := s.Versions(t.Context(), "ctr")
	if err != nil || len(versions) != 20 || versions[19] != 20 {
		t.Errorf("versions %v, %v", versions, err)
	}
}

func TestPlaceRefuses(t *testing.T) {
	s := filled(t, 2)
	f := func(name string, version int64, damage func(dir string), wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			staged := modelstest.Stage(t, s, "ctr", 3, 0)
			damage(staged)
			wantError(t, models.Place(t.Context(), s, "ctr", version, staged), wants...)
			if versions, _ := s.Versions(t.Context(), "ctr"); !slices.Equal(versions, []int64{1, 2}) {
				t.Errorf("versions %v", versions)
			}
		})
	}
	f("a damaged one", 3, func(dir string) { modelstest.WriteFile(t, filepath.Join(dir, "saved_model.pb"), "grapf") },
		"cannot publish ctr version 3", "saved_model.pb (5 bytes) has sha256", "(checksum)")
	f("a half-written one", 3, func(dir string) { _ = os.RemoveAll(filepath.Join(dir, "variables")) }, "variables/variables.data is missing", "(files)")
	f("a file too many", 3, func(dir string) { modelstest.WriteFile(t, filepath.Join(dir, "more"), "") }, "more is not in the manifest")
	f("a number that is not the manifest's", 4, func(string) {}, "its manifest is of ctr version 3, not of ctr version 4", "(name)")
	f("a link out of the version", 3, func(dir string) { _ = os.Symlink("/etc/hostname", filepath.Join(dir, "link")) }, "link is not a regular file")
	f("a SavedModel alone", 3, func(dir string) { _ = os.RemoveAll(filepath.Join(dir, "assets.extra")) },
		"a SavedModel alone is no version", "assets.extra/recipe.yaml", "assets.extra/golden.msgpack", "python -m pytrain", "still being copied")
	f("nothing", 3, func(dir string) { _ = os.RemoveAll(dir) }, "has no assets.extra/manifest.json; it is no version yet")
	f("version 0", 0, func(string) {}, "versions are positive")
}

func TestRetain(t *testing.T) {
	f := func(name string, p models.Pointer, n int, wantRemoved ...int64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			ctx, s := t.Context(), filled(t, 6)
			if p.Stable != 0 {
				_, at, _ := s.Pointer(ctx, "ctr")
				if err := s.SetPointer(ctx, "ctr", p, at); err != nil {
					t.Fatal(err)
				}
			}
			removed, err := models.Retain(ctx, s, "ctr", n)
			if err != nil || !slices.Equal(removed, wantRemoved) {
				t.Errorf("removed %v, want %v; %v", removed, wantRemoved, err)
			}
			left, err := s.Versions(ctx, "ctr")
			want := slices.DeleteFunc([]int64{1, 2, 3, 4, 5, 6}, func(v int64) bool { return slices.Contains(wantRemoved, v) })
			if err != nil || !slices.Equal(left, want) {
				t.Errorf("left %v, want %v; %v", left, want, err)
			}
		})
	}
	pin := &models.Pin{Since: time.Unix(1, 0)}
	f("the oldest go", models.Pointer{Stable: 6, Previous: 5}, 3, 1, 2, 3)
	f("what the pointer names stays", models.Pointer{Stable: 5, Previous: 1, Canary: &models.Canary{Version: 2, Share: 0.1}}, 2, 3, 4)
	f("what may be about to serve stays", models.Pointer{Stable: 2}, 1, 1)
	f("while it is pinned, what is not promoted goes too", models.Pointer{Stable: 2, Pinned: pin}, 2, 1, 3, 4, 5)
	f("without a pointer the highest stays", models.Pointer{}, 0, 1, 2, 3, 4, 5)
	f("enough room", models.Pointer{Stable: 6}, 6)
}

func TestPointerIsReadStrictly(t *testing.T) {
	f := func(text string, wants ...string) {
		t.Helper()
		p, err := models.DecodePointer("ctr/pointer.json", []byte(text))
		if len(wants) > 0 {
			wantError(t, err, append(wants, "ctr/pointer.json")...)
			if !errors.Is(err, models.ErrBadPointer) {
				t.Errorf("not ErrBadPointer: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		data, err := p.Encode()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again, err := models.DecodePointer("again", data); err != nil || !again.Equal(p) {
			t.Errorf("%s was written as %s, which is %v, %v", text, data, again, err)
		}
	}
	f(`{"stable": 3, "canary": {"version": 4, "share": 0.1}, "previous": 2}`)
	f(`{"stable": 3, "canary": null, "previous": 0}`)
	f(`{"stable": 3, "canary": null, "previous": 0, "pinned": {"since": "2026-01-02T03:04:05Z", "reason": "a look"}}`)
	f(``, "the file ends early")
	f(`{"stable": 3`, "the file ends early")
	f(`{"stable": 3} {}`, "has text after its end")
	f(`{"stable": 3, "canari": null}`, `unknown field "canari"`)
	f(`{"stable": 3, "pinned": true}`, "pinned")
	f(`{"stable": 3, "pinned": {"reason": "x"}}`, "pinned.since: is missing")
	f(`{"stable": "3"}`, "stable")
	f(`{"stable": 0, "previous": -1, "canary": {"version": 0, "share": 0}}`, "stable: is 0", "previous: is -1",
		"canary.version: is 0, must be a version", "canary.share: is 0")
	f(`{"stable": 3, "x": "`+string(make([]byte, models.MaxPointerBytes))+`"}`, "is larger than")
	if data, err := (models.Pointer{Stable: 3}).Encode(); err != nil || string(data) != `{"stable":3,"canary":null,"previous":0}`+"\n" {
		t.Errorf("a pointer without a pin is %s, %v; bidders from before pins read it", data, err)
	}
}
