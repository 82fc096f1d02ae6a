// Package tensorflowtest gives tests the SavedModels that testdata/make_versions.py writes.
package tensorflowtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// DirVariable is the environment variable that names a directory of versions. A test that starts its own binary again sets
// it to Versions, so that the child process does not write them a second time.
const DirVariable = "GAVEL_TENSORFLOW_FIXTURES"

// Versions returns the directory of the versions; Versions(t)/NAME is one version. No test may change them. The first call
// in a process starts Python, which takes seconds; TestMain calls Remove afterwards.
func Versions(t testing.TB) (dir string) {
	t.Helper()
	dir, err := versions()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Remove deletes the directory that Versions wrote, if any. TestMain calls it when all tests have run.
func Remove() { _ = os.RemoveAll(written) }

var written string // "": this process has written none

var versions = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(DirVariable); dir != "" {
		return dir, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if written, err = os.MkdirTemp("", "gavel-tensorflow-"); err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(root, ".venv/bin/python"), "internal/engine/tensorflow/testdata/make_versions.py", written)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PYTHONPATH=.") // for pytrain
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot make the models (is the virtual environment set up? make setup): %w\n%s", err, out)
	}
	return written, nil
})

// moduleRoot returns the directory of go.mod. Tests run in their package's directory, somewhere below it.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("cannot find go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}
