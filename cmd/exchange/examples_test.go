package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExamplesFiles(t *testing.T) {
	recipes := filepath.Join("..", "..", "models")
	f := func(model string) {
		t.Helper()
		dir := t.TempDir()
		args := []string{"examples", "--recipe", filepath.Join(recipes, model, "recipe.yaml"), "--rows", "200", "--rate", "800",
			"--campaigns", filepath.Join("..", "..", "configs", "campaigns.yaml"), "--out", dir}
		var out, logs bytes.Buffer
		if err := run(context.Background(), args, &out, &logs); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), `"examples":200`) {
			t.Errorf("%s: %s", model, out.String())
		}
		for name, want := range map[string]string{"x": "'<i4', 'fortran_order': False, 'shape': (200, ", "label": "'<f4'", "truth": "'<f8'", "time_ms": "'<i8'"} {
			text, err := os.ReadFile(filepath.Join(dir, name+".npy"))
			if err != nil {
				t.Fatal(err)
			}
			if head := string(text[:npyHeader]); !strings.HasPrefix(head, "\x93NUMPY\x01\x00\x76\x00") || !strings.Contains(head, want) || !strings.HasSuffix(head, " \n") {
				t.Errorf("%s of %s: header %q lacks %q", name, model, head, want)
			}
		}
	}
	f("ctr")
	f("cvr")
}

func TestExamplesFaults(t *testing.T) {
	err := run(context.Background(), []string{"examples", "--recipe", filepath.Join("..", "..", "models", "ctr", "recipe.yaml"), "--rows", "0",
		"--campaigns", filepath.Join("..", "..", "configs", "campaigns.yaml"), "--out", t.TempDir()}, new(bytes.Buffer), new(bytes.Buffer))
	if !errors.As(err, new(badConfig)) || !strings.Contains(err.Error(), "--rows: 0 is below 1") {
		t.Errorf("got %v", err)
	}
}
