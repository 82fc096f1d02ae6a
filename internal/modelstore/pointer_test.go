package modelstore

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestPointerMoves(t *testing.T) {
	s := New(t.TempDir())
	for v := range int64(4) {
		if err := s.Place("ctr", staged(t, s, v+1), v+1); err != nil {
			t.Fatal(err)
		}
	}
	if st := s.State("ctr"); st.FromFile || st.Pointer.Stable != 4 {
		t.Errorf("without a pointer the highest version serves, not %+v", st)
	}
	step := func(what string, err error, want Pointer) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if p := pointer(t, s); !p.Equal(want) {
			t.Errorf("%s: pointer is %v, want %v", what, p, want)
		}
	}
	step("a canary where nothing was pointed at", s.SetCanary("ctr", 4, 0.1), Pointer{Stable: 3, Canary: &Canary{4, 0.1}})
	step("another stable version", s.Promote("ctr", 2), Pointer{Stable: 2, Previous: 3, Canary: &Canary{4, 0.1}})
	step("the canary made stable", s.Promote("ctr", 4), Pointer{Stable: 4, Previous: 2})
	step("the same again", s.Promote("ctr", 4), Pointer{Stable: 4, Previous: 2})
	_, err := s.Rollback("ctr")
	step("back", err, Pointer{Stable: 2, Previous: 4})
	_, err = s.Rollback("ctr")
	step("and forth", err, Pointer{Stable: 4, Previous: 2})
	step("a canary", s.SetCanary("ctr", 1, 1), Pointer{Stable: 4, Previous: 2, Canary: &Canary{1, 1}})
	step("no canary", s.SetCanary("ctr", 1, 0), Pointer{Stable: 4, Previous: 2})

	last := pointer(t, s)
	for what, err := range map[string]error{
		"promote an absent version": s.Promote("ctr", 9),
		"an absent canary":          s.SetCanary("ctr", 9, 0.5),
		"a pointer to nowhere":      s.SetPointer("ctr", Pointer{Stable: 9}),
	} {
		if !errors.Is(err, ErrNoVersion) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantError(t, s.SetCanary("ctr", 1, 1.5), "canary.share: is 1.5, must be above 0 and at most 1")
	wantError(t, s.SetCanary("ctr", 4, 0.5), "canary.version: is 4, the stable version too")
	step("after all that was refused", nil, last)

	if err := s.SetPointer("ctr", Pointer{Stable: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rollback("ctr"); !errors.Is(err, ErrNoVersion) {
		t.Errorf("rolled back to nothing: %v", err)
	}
	if got := (Pointer{Stable: 3, Previous: 2, Canary: &Canary{4, 0.1}}).String(); got != "stable 3, canary 4 (10%), previous 2" {
		t.Errorf("String is %q", got)
	}
}

func TestPointerIsReadStrictly(t *testing.T) {
	s := New(t.TempDir())
	publish(t, s, 1)
	name := filepath.Join(s.Root(), "ctr", PointerFile)
	f := func(text string, wants ...string) {
		t.Helper()
		put(t, name, text)
		p, err := s.Pointer("ctr")
		if len(wants) == 0 {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			return
		}
		if err == nil {
			t.Errorf("%s was read as %v", text, p)
			return
		}
		wantError(t, err, append(wants, name)...)
	}
	f(`{"stable": 3, "canary": {"version": 4, "share": 0.1}, "previous": 2}`)
	f(`{"stable": 3, "canary": null, "previous": 0}`)
	f(``, "the file ends early")
	f(`{"stable": 3`, "the file ends early")
	f(`{"stable": 3} {}`, "has more behind its end")
	f(`{"stable": 3, "canari": null}`, `unknown field "canari"`)
	f(`{"stable": "3"}`, "stable")
	f(`{"stable": 0, "previous": -1, "canary": {"version": 0, "share": 0}}`, "stable: is 0", "previous: is -1",
		"canary.version: is 0, must be a version", "canary.share: is 0")
	f(`{"stable": 3, "x": "`+string(make([]byte, maxPointerBytes))+`"}`, "is larger than")

	// A damaged pointer is mended by setting it, not by moving it.
	f(`{`, "the file ends early")
	wantError(t, s.Promote("ctr", 1), "the file ends early")
	if err := s.SetPointer("ctr", Pointer{Stable: 1}); err != nil {
		t.Fatal(err)
	}
	if p := pointer(t, s); p.Stable != 1 {
		t.Errorf("pointer is %v", p)
	}
}
