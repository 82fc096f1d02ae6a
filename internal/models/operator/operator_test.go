package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
	"gavel/internal/models/operator"
)

// recipe makes rows of the shape that versions of modelstest have: 4 indices below 100.
const recipe = `
model: ctr
label: click
architecture: {kind: logreg}
features:
  - {name: a, source: device.os, encoder: hash, buckets: 24}
  - {name: b, source: campaign.id, encoder: hash, buckets: 25}
  - {name: c, source: device.language, encoder: hash, buckets: 25}
  - {name: d, source: device.make, encoder: hash, buckets: 25}
`

// writeVersion writes a sound version of ctr into a directory.
func writeVersion(t *testing.T, dir string, version int64) {
	t.Helper()
	contents := modelstest.Contents(0)
	contents[models.RecipeFile] = recipe
	data, err := json.Marshal(modelstest.Document("ctr", version, contents))
	if err != nil {
		t.Fatal(err)
	}
	contents[models.ManifestFile] = string(data)
	for name, text := range contents {
		modelstest.WriteFile(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
}

// newStore returns an empty store, and the commands on it with what they print.
func newStore(t *testing.T) (root string, c *operator.Commands, out *bytes.Buffer) {
	root, out = t.TempDir(), new(bytes.Buffer)
	return root, &operator.Commands{Store: modelsdir.New(root), Loaders: new(modelstest.Engines).Loaders(), Out: out}, out
}

// results checks the results of commands.
type results struct {
	t   *testing.T
	out *bytes.Buffer
}

// ok checks that a command succeeded, and that it printed each of wants. It returns what was printed.
func (r results) ok(err error, wants ...string) string {
	r.t.Helper()
	if err != nil {
		r.t.Error(err)
	}
	text := r.out.String()
	r.out.Reset()
	r.contains(text, wants)
	return text
}

// fails checks that a command failed, that its error contains each of wants, and that it printed nothing.
func (r results) fails(err error, wants ...string) {
	r.t.Helper()
	if err == nil || r.out.Len() > 0 {
		r.t.Errorf("error %v, printed %q", err, r.out)
		r.out.Reset()
		return
	}
	r.contains(err.Error(), wants)
}

func (r results) contains(text string, wants []string) {
	r.t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			r.t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestCommandsChangeThePointer(t *testing.T) {
	root, c, out := newStore(t)
	for v := range int64(4) {
		writeVersion(t, filepath.Join(root, "ctr", fmt.Sprint(v+1)), v+1)
	}
	ctx, r := t.Context(), results{t, out}
	points := func(want models.Pointer) {
		t.Helper()
		p, _, err := c.Store.Pointer(ctx, "ctr")
		if p.Pinned = nil; err != nil || !p.Equal(want) {
			t.Errorf("pointer %v, %v, want %v", p, err, want)
		}
	}
	r.ok(c.Promote(ctx, "ctr", 2), "ctr: version 2 is stable\n", "the trainer's next export is promoted", "bidder models pin ctr")
	r.ok(c.Promote(ctx, "ctr", 3))
	points(models.Pointer{Stable: 3, Previous: 2})
	r.ok(c.Rollback(ctx, "ctr"), "version 2 is stable again, instead of 3", "the trainer's next export is promoted")
	points(models.Pointer{Stable: 2, Previous: 3})
	r.ok(c.SetCanary(ctx, "ctr", 4, 0.1), "version 4 serves 10 % of users as canary\n  pointer     stable 2, canary 4 (10%), previous 3\n")
	points(models.Pointer{Stable: 2, Previous: 3, Canary: &models.Canary{Version: 4, Share: 0.1}})
	r.ok(c.EndCanary(ctx, "ctr"), "there is no canary")
	points(models.Pointer{Stable: 2, Previous: 3})
	r.ok(c.Pin(ctx, "ctr", 0, ""), "pinned at version 2", "bidder models unpin ctr")
	r.ok(c.Promote(ctx, "ctr", 4), "nothing: the pointer is pinned since", "bidder models unpin ctr")
	r.ok(c.Unpin(ctx, "ctr"), "not pinned", "the trainer's next export is promoted")
	r.ok(c.Pin(ctx, "ctr", 3, ""), "pinned at version 3")
	points(models.Pointer{Stable: 3, Previous: 4})
}

func TestCommandsRefuseBadVersions(t *testing.T) {
	root, c, out := newStore(t)
	for _, v := range []int64{1, 2, 8, 9} {
		writeVersion(t, filepath.Join(root, "ctr", fmt.Sprint(v)), v)
	}
	modelstest.WriteVersion(t, filepath.Join(root, "ctr", "8"), "ctr", 8, 0) // its recipe is not one
	if err := os.Truncate(filepath.Join(root, "ctr", "9", "saved_model.pb"), 2); err != nil {
		t.Fatal(err)
	}
	ctx, r := t.Context(), results{t, out}
	r.ok(c.Promote(ctx, "ctr", 2))
	before, _, err := c.Store.Pointer(ctx, "ctr")
	if err != nil {
		t.Fatal(err)
	}
	r.fails(c.Promote(ctx, "ctr", 8), "bidders would refuse ctr version 8", models.RecipeFile)
	r.fails(c.Promote(ctx, "ctr", 9), "bidders would refuse ctr version 9, so the pointer stays as it is", "saved_model.pb (2 bytes)")
	r.fails(c.SetCanary(ctx, "ctr", 9, 0.5), "so the pointer stays as it is")
	r.fails(c.Pin(ctx, "ctr", 9, ""), "so the pointer stays as it is")
	r.fails(c.Promote(ctx, "ctr", 77), "no such version", "ctr has versions 1, 2, 8, 9")
	r.fails(c.List(ctx, "cvr", false), `holds no model "cvr"; it has ctr`)
	r.fails(c.Unpin(ctx, "cvr"), `holds no model "cvr"`)
	for _, err := range []error{c.Promote(ctx, "ctr", -4), c.Promote(ctx, "../ctr", 1), c.List(ctx, "../ctr", true)} {
		if !errors.Is(err, operator.ErrUsage) {
			t.Errorf("got %v, want ErrUsage", err)
		}
	}
	if p, _, err := c.Store.Pointer(ctx, "ctr"); err != nil || !p.Equal(before) {
		t.Errorf("the pointer changed from %v to %v, %v", before, p, err)
	}
}

func TestRollbackNeedsThePreviousVersion(t *testing.T) {
	root, c, out := newStore(t)
	for v := range int64(2) {
		writeVersion(t, filepath.Join(root, "ctr", fmt.Sprint(v+1)), v+1)
	}
	ctx, r := t.Context(), results{t, out}
	r.fails(c.Rollback(ctx, "ctr"), "no pointer", "name the version (bidder models promote ctr VERSION)")
	r.ok(c.Promote(ctx, "ctr", 2))
	if err := os.Rename(filepath.Join(root, "ctr", "1"), filepath.Join(root, "1")); err != nil {
		t.Fatal(err)
	}
	r.fails(c.Rollback(ctx, "ctr"), "no such version", "ctr has versions 2")
}

func TestList(t *testing.T) {
	root, c, out := newStore(t)
	for v := range int64(4) {
		writeVersion(t, filepath.Join(root, "ctr", fmt.Sprint(v+1)), v+1)
	}
	ctx, r := t.Context(), results{t, out}
	r.ok(c.Promote(ctx, "ctr", 1))
	r.ok(c.Promote(ctx, "ctr", 2))
	r.ok(c.Pin(ctx, "ctr", 0, "looking-at-3"))
	r.ok(c.SetCanary(ctx, "ctr", 3, 0.1))
	table := r.ok(c.List(ctx, "", false), "MODEL", "LOG LOSS", "stable", "canary 10 %", "previous", "0.25000", "1.010", ": looking-at-3\n", "KiB")
	if lines := strings.Split(table, "\n"); !strings.HasPrefix(lines[1], "ctr    4 ") || strings.Count(table, "looking-at-3") != 1 {
		t.Errorf("want the newest version first, and the pin on the stable one alone:\n%s", table)
	}
	var listed []models.Listing
	if err := json.Unmarshal([]byte(r.ok(c.List(ctx, "ctr", true))), &listed); err != nil || len(listed) != 1 || len(listed[0].Versions) != 4 ||
		listed[0].Pointer.Canary.Version != 3 || *listed[0].Versions[1].LogLoss != 0.25 || listed[0].Versions[1].Bytes < 500 {
		t.Errorf("%v, %+v", err, listed)
	}
}

func TestFaultsNameTheRemedy(t *testing.T) {
	root, c, out := newStore(t)
	ctx, r := t.Context(), results{t, out}
	r.ok(c.List(ctx, "", false), root+" holds no model\n")
	r.ok(c.List(ctx, "", true), "[]")
	r.fails(c.Pin(ctx, "ctr", 0, ""), "is it the store? --store names another")
	modelstest.WriteFile(t, filepath.Join(root, "ctr", "1", "saved_model.pb"), "")
	r.ok(c.List(ctx, "", false), "ctr ", "?", "ctr version 1: ", "manifest.json")
	r.fails(c.Promote(ctx, "ctr", 1), "a SavedModel alone is no version", "assets.extra/golden.msgpack", "python -m pytrain")
	r.ok(c.Pin(ctx, "ctr", 0, "look"), "pinned at version 1") // a version that serves already is not checked
	modelstest.WriteFile(t, filepath.Join(root, "ctr", "pointer.json"), "{")
	r.fails(c.Rollback(ctx, "ctr"), "damaged pointer", "correct or remove it")
	r.fails(c.Unpin(ctx, "ctr"), "damaged pointer", "correct or remove it")
	r.ok(c.List(ctx, "", false), "damaged pointer", "the file ends early")
}

// conflicted is a store whose pointer another process changes all the time.
type conflicted struct{ models.Store }

func (conflicted) SetPointer(context.Context, string, models.Pointer, models.Revision) error {
	return models.ErrConflict
}

func TestConflict(t *testing.T) {
	root, c, out := newStore(t)
	writeVersion(t, filepath.Join(root, "ctr", "1"), 1)
	c.Store = conflicted{c.Store}
	results{t, out}.fails(c.Pin(t.Context(), "ctr", 0, ""), "see what it is now (bidder models list ctr)")
}

// Each bidder chooses a format, so the pointer names no version with a format that is not sound.
func TestEveryFormatIsChecked(t *testing.T) {
	root, c, out := newStore(t)
	r := results{t, out}
	both := func(version int64, bias float32) string {
		dir := filepath.Join(root, "ctr", fmt.Sprint(version))
		writeVersion(t, dir, version)
		modelstest.AddFormat(t, dir, bias, models.DefaultFormat, modelstest.OtherFormat)
		return dir
	}
	sound, unsound := both(1, 0), both(2, 1)
	r.ok(operator.Verify(t.Context(), c.Loaders, sound, out), "  savedmodel  golden rows as", "  other       golden rows as")
	r.fails(operator.Verify(t.Context(), c.Loaders, unsound, out), "the other of ctr version 2", "refused (golden)")
	r.ok(c.Promote(t.Context(), "ctr", 1), "version 1 is stable")
	r.fails(c.Promote(t.Context(), "ctr", 2), "bidders would refuse ctr version 2", "the other of ctr version 2")
	r.ok(c.List(t.Context(), "ctr", false), "FORMATS", "savedmodel, other")
	r.ok(c.List(t.Context(), "ctr", true), `"formats": [`)
}

// A version of columns has no recipe. No auction can ask for it, but predictions can, so it may be promoted.
func TestColumnsArePromoted(t *testing.T) {
	dir := doubles(t)
	root := filepath.Dir(filepath.Dir(dir))
	c := &operator.Commands{Store: modelsdir.New(root), Loaders: plans(dir), Out: new(bytes.Buffer)}
	r := results{t, c.Out.(*bytes.Buffer)}
	r.ok(c.Promote(t.Context(), "m", 1), "m: version 1 is stable")
	r.ok(c.List(t.Context(), "", false), "m ", "plan")
	r.ok(operator.Verify(t.Context(), c.Loaders, dir, c.Out), "m version 1: sound", "rows        [", "outputs     [", "  plan        golden rows")
}

func TestVerify(t *testing.T) {
	root, c, out := newStore(t)
	r := results{t, out}
	verify := func(dir string) error { return operator.Verify(t.Context(), c.Loaders, dir, out) }
	version := filepath.Join(root, "ctr", "1")
	writeVersion(t, version, 1)
	r.ok(verify(version), "ctr version 1: sound\n  predicts    click\n  created     2026-01-02T03:04:05Z\n  learnt from 10 rows\n"+
		"  rows        4 indices below 100, from 4 features\n  files       4, each as its sha256 says\n"+
		"  signature   serving_default: rows → probability\n  savedmodel  golden rows as Python computed them, to 1e-06; loaded in ",
		" ms, warm up included\n  auc         0.7\n  calibration 1.01\n  log_loss    0.25\n")
	aside := filepath.Join(root, "aside")
	if err := os.CopyFS(aside, os.DirFS(version)); err != nil {
		t.Fatal(err)
	}
	r.ok(verify(aside), "ctr version 1: sound") // a copy has the name and number of its manifest
	if err := os.Rename(aside, filepath.Join(root, "ctr", "2")); err != nil {
		t.Fatal(err)
	}
	r.fails(verify(filepath.Join(root, "ctr", "2")), "not of ctr version 2")
	r.fails(verify(filepath.Join(root, "absent")), "is not a model version", "no assets.extra/manifest.json")
	if err := os.Truncate(filepath.Join(version, "saved_model.pb"), 2); err != nil {
		t.Fatal(err)
	}
	r.fails(verify(version), "saved_model.pb")
}
