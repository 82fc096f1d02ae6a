package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
)

// copyVersion puts version 1 into the store again, under another number and with other metrics.
func copyVersion(t *testing.T, store string, version int64) {
	t.Helper()
	dir := filepath.Join(store, "ctr", fmt.Sprint(version))
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(store, "ctr", "1"))); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, models.ManifestFile)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]any
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	manifest["version"], manifest["metrics"] = version, map[string]any{"log_loss": 0.25, "calibration": 1.01}
	if data, err = json.Marshal(manifest); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestModelsCommands takes an operator's way through a night: a bad version serves, and must go.
func TestModelsCommands(t *testing.T) {
	store := newStore(t)
	for v := range int64(3) {
		copyVersion(t, store, v+2)
	}
	copyVersion(t, store, 9)
	if err := os.Truncate(filepath.Join(store, "ctr", "9", "saved_model.pb"), 100); err != nil {
		t.Fatal(err)
	}
	pointer := func() models.Pointer {
		t.Helper()
		p, _, err := modelsdir.New(store).Pointer(t.Context(), "ctr")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	f := func(status int, args string, wants ...string) string {
		t.Helper()
		before := pointer()
		var out bytes.Buffer
		err := run(context.Background(), append([]string{"models", "--store", store}, strings.Fields(args)...), &out, io.Discard)
		text, got := out.String(), 0
		if err != nil {
			text, got = text+err.Error(), exitStatus(err)
		}
		if got != status {
			t.Errorf("models %s: status %d, want %d: %s", args, got, status, text)
		}
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("models %s: no %q in:\n%s", args, want, text)
			}
		}
		if p := pointer(); status != 0 && !p.Equal(before) {
			t.Errorf("models %s failed and changed the pointer from %v to %v", args, before, p)
		}
		return text
	}
	points := func(want models.Pointer) {
		t.Helper()
		p := pointer()
		pinned := p.Pinned != nil
		if p.Pinned = nil; !p.Equal(want) {
			t.Errorf("pointer %v, want %v (pinned: %v)", p, want, pinned)
		}
	}
	f(0, "promote ctr 2", "ctr: version 2 is stable", "the trainer's next export is promoted", "bidder models pin ctr")
	f(0, "promote ctr 3")
	points(models.Pointer{Stable: 3, Previous: 2})
	f(0, "rollback ctr", "version 2 is stable again, instead of 3", "the trainer's next export is promoted")
	points(models.Pointer{Stable: 2, Previous: 3})
	f(0, "pin ctr --reason looking-at-3", "pinned at version 2", "bidder models unpin ctr")
	f(0, "canary ctr 4 --share 0.1", "version 4 serves 10 % of users")
	points(models.Pointer{Stable: 2, Previous: 3, Canary: &models.Canary{Version: 4, Share: 0.1}})
	if p := pointer().Pinned; p == nil || p.Reason != "looking-at-3" {
		t.Errorf("pinned %+v", p)
	}
	table := f(0, "list", "MODEL", "LOG LOSS", "stable", "canary 10 %", "previous", "0.25000", "1.010", "looking-at-3", "MiB")
	if lines := strings.Split(table, "\n"); !strings.HasPrefix(lines[1], "ctr    9 ") {
		t.Errorf("the newest is not first:\n%s", table)
	}
	var listed []models.Listing
	if err := json.Unmarshal([]byte(f(0, "list ctr --json")), &listed); err != nil || len(listed) != 1 || len(listed[0].Versions) != 5 ||
		listed[0].Pointer.Canary.Version != 4 || *listed[0].Versions[1].LogLoss != 0.25 || listed[0].Versions[1].Bytes < 1000 {
		t.Errorf("%v, %+v", err, listed)
	}
	f(0, "canary ctr --off", "there is no canary")
	f(0, "promote ctr 4", "nothing: the pointer is pinned since", "bidder models unpin ctr")
	f(0, "unpin ctr", "not pinned", "the trainer's next export is promoted")
	f(0, "pin ctr 3", "pinned at version 3")
	points(models.Pointer{Stable: 3, Previous: 4})

	f(1, "promote ctr 9", "bidders would refuse ctr version 9, so the pointer stays as it is", "saved_model.pb (100 bytes)")
	f(1, "canary ctr 9 --share 0.5", "so the pointer stays as it is")
	f(1, "pin ctr 9", "so the pointer stays as it is")
	f(1, "promote ctr 77", "no such version", "ctr has versions 1, 2, 3, 4, 9")
	f(1, "list cvr", `holds no model "cvr"; it has ctr`)
	f(1, "unpin cvr", `holds no model "cvr"`)
	f(2, "promote ctr", "version")
	f(2, "promote ctr -- -4", "versions are positive")
	f(2, "promote ../ctr 1", "is not allowed")
	f(2, "canary ctr 4", "--share, above 0 and at most 1")
	f(2, "canary ctr 4 --share 1.5", "--share, above 0 and at most 1")
	f(2, "canary ctr 4 --off", "leave both out")
	f(2, "publish ctr 4", "")

	if err := os.Rename(filepath.Join(store, "ctr", "4"), filepath.Join(store, "4")); err != nil {
		t.Fatal(err)
	}
	f(1, "rollback ctr", "no such version", "ctr has versions 1, 2, 3, 9")
}

// What needs no sound version: a store without models, a damaged pointer, a SavedModel that is no version.
func TestModelsCommandsNameTheRemedy(t *testing.T) {
	store := t.TempDir()
	f := func(status int, args string, wants ...string) {
		t.Helper()
		var out bytes.Buffer
		err := run(context.Background(), append([]string{"models"}, strings.Fields(args)...), &out, io.Discard)
		text, got := out.String(), 0
		if err != nil {
			text, got = text+err.Error(), exitStatus(err)
		}
		if got != status {
			t.Errorf("models %s: status %d, want %d: %s", args, got, status, text)
		}
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("models %s: no %q in:\n%s", args, want, text)
			}
		}
	}
	f(0, "list --store "+store, "holds no model")
	f(1, "pin ctr --store "+store, "is it the store? --store names another")
	f(2, "list --config absent.yaml", "absent.yaml", "--store")
	config := filepath.Join(t.TempDir(), "b.yaml")
	version := filepath.Join(store, "ctr", "1")
	if err := os.MkdirAll(version, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{config: "model_store: " + store + "\n", filepath.Join(version, "saved_model.pb"): ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f(0, "list --config "+config, "ctr", "?", "ctr version 1: ", "manifest.json")
	f(1, "promote ctr 1 --config "+config, "a SavedModel alone is no version", "assets.extra/golden.msgpack", "python -m pytrain")
	f(1, "rollback ctr --store "+store, "no pointer", "name the version (bidder models promote ctr VERSION)")
	f(0, "pin ctr --reason look --store "+store, "pinned at version 1")
	f(0, "list --store "+store, ": look\n")
	if err := os.WriteFile(filepath.Join(store, "ctr", "pointer.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(1, "rollback ctr --store "+store, "damaged pointer", "mend or remove it")
	f(1, "unpin ctr --store "+store, "damaged pointer", "mend or remove it")
	f(0, "list --store "+store, "damaged pointer", "the file ends early")
}
