package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestModelsCommand checks flags and exit statuses. internal/models/operator tests what the subcommands do.
func TestModelsCommand(t *testing.T) {
	store := newStore(t)
	config := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(config, []byte("model_store: "+store+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(store, "ctr", "9"), os.DirFS(filepath.Join(store, "ctr", "1"))); err != nil {
		t.Fatal(err)
	}
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
	at := " --store " + store
	f(0, "promote ctr 1"+at, "ctr: version 1 is stable")
	f(0, "pin ctr --reason calibration"+at, "pinned at version 1")
	f(0, "list --config "+config, "MODEL", "ctr ", "stable", ": calibration\n")
	f(0, "list ctr --json"+at, `"model": "ctr"`, `"reason": "calibration"`)
	f(0, "unpin ctr"+at, "not pinned")
	f(0, "canary ctr --off"+at, "there is no canary")
	f(1, "canary ctr 9 --share 0.5"+at, "bidders would refuse ctr version 9")

	f(1, "remove ctr 1"+at, "the pointer names it (stable 1")
	f(1, "remove ctr 3"+at, "ctr has versions 1, 9")
	f(0, "remove ctr 9"+at, "version 9 is removed")
	f(0, "sweep"+at, "removed 0 objects")

	f(1, "rollback ctr"+at, "no such version")
	f(1, "promote cvr 1"+at, `holds no model "cvr"; it has ctr`)

	f(2, "promote ctr"+at, "version")
	f(2, "promote ctr"+at+" -- -4", "versions are positive")
	f(2, "promote ../ctr 1"+at, "is not allowed")
	f(2, "canary ctr 9"+at, "--share, above 0 and at most 1")
	f(2, "canary ctr 9 --share 1.5"+at, "--share, above 0 and at most 1")
	f(2, "canary ctr --share 0.5"+at, "a canary takes a version")
	f(2, "canary ctr 9 --off"+at, "leave both out")
	f(2, "publish ctr 9"+at, "publish")
	f(2, "list --config absent.yaml", "absent.yaml", "--store")
}
