package onnx

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"gavel/internal/engine"
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	_ = os.RemoveAll(written)
	if models, batches := Live(); code == 0 && models+batches != 0 {
		fmt.Fprintf(os.Stderr, "left behind: %d models, %d batches\n", models, batches)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var written string // the directory of the models

// models writes those of testdata/make_models.py, once.
var models = sync.OnceValues(func() (string, error) {
	var err error
	if written, err = os.MkdirTemp("", "gavel-onnx-"); err != nil {
		return "", err
	}
	cmd := exec.Command("../../../.venv/bin/python", "testdata/make_models.py", written)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot make the models (is the virtual environment set up? make setup): %w\n%s", err, out)
	}
	return written, nil
})

// folder is that of a model.
func folder(t testing.TB, name string) string {
	t.Helper()
	dir, err := models()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// version is a model as a loader is given it. Rows of "indices" are what its name says.
func version(t testing.TB, name string) engine.Version {
	t.Helper()
	v := engine.Version{Model: "m", Number: 1, Dir: folder(t, name)}
	if name == "indices" || name == "external" {
		v.RowLen, v.TableRows = 8, 100
	}
	return v
}

// opened is a model's engine, closed when the test ends.
func opened(t testing.TB, name string) *Engine {
	t.Helper()
	e, err := Loader(Options{})(t.Context(), version(t, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e.(*Engine)
}

func newBatch(t testing.TB, e *Engine, capacity int) engine.Batch {
	t.Helper()
	b, err := e.NewBatch(capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// golden is rows of "indices" and what onnxruntime answered in Python.
func golden(t testing.TB) (x [][]int32, p []float32) {
	t.Helper()
	var rows struct {
		X [][]int32
		P []float32
	}
	data, err := os.ReadFile(folder(t, "golden.json"))
	if err == nil {
		err = json.Unmarshal(data, &rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	return rows.X, rows.P
}
