package trainer

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"gavel/internal/models"
	"gavel/internal/stream/memory"
)

// TestRealChild runs pytrain itself, kills it in the midst of its work, and compares the rows it has learnt in the end
// with the stream's. It publishes versions that the store accepts.
func TestRealChild(t *testing.T) {
	if testing.Short() {
		t.Skip("starts TensorFlow three times")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(root, ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Skipf("needs %s: run make setup", python)
	}
	s := memory.New(nil)
	rng := rand.New(rand.NewPCG(7, 7))
	o := testOptions(t, s, "")
	o.Python, o.Dir = []string{python, "-m", "pytrain"}, root
	o.HelloTimeout, o.StopTimeout = 2*time.Minute, time.Minute
	p, stop := start(t, o)
	within := func(what string, condition func() bool) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("timed out: %s; status %+v", what, p.Status())
			}
		}
	}
	for round := range 2 {
		story(s, rng, round*6000, 1500)
		within("learning", func() bool { return p.Status().State == "learning" })
		version := p.Status().Version
		within("a version", func() bool { return p.Status().Version > version })
		story(s, rng, round*6000+3000, 1500)
		if err := syscall.Kill(childOf(t, o.StateDir), syscall.SIGKILL); err != nil {
			t.Fatalf("kill: %v", err)
		}
		within("a restart", func() bool { return p.Status().Restarts == round+1 })
	}
	want := expected(t, s, o.Recipe)
	within("all learnt", func() bool { return p.Status().State == "learning" && p.Status().Rows == int64(len(want)) })
	if err := stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	archived := readArchive(t, o)
	ids := make([]string, 0, len(archived))
	for i := range archived {
		ids = append(ids, archived[i].ID)
	}
	slices.Sort(ids)
	if len(ids) != len(want) || len(slices.Compact(ids)) != len(want) {
		t.Errorf("archived %d examples, want %d, each once", len(archived), len(want))
	}
	versions, err := o.Store.Versions(t.Context(), "m")
	if err != nil || len(versions) < 2 {
		t.Fatalf("versions %v, %v; want two or more", versions, err)
	}
	for _, v := range versions {
		version, err := o.Store.Fetch(t.Context(), "m", v)
		if err != nil {
			t.Fatal(err)
		}
		defer version.Release()
		m, err := models.VerifyVersion(version.Dir, "m", v)
		if err != nil {
			t.Fatal(err)
		}
		if m.RowLen != o.Recipe.Encoder().RowLen() || m.TableRows != o.Recipe.Encoder().TableRows() || m.Training.Rows == 0 {
			t.Errorf("version %d: %+v", v, m)
		}
	}
	t.Logf("%d examples learnt, %d children killed, versions %v", len(want), p.Status().Restarts, versions)
}
