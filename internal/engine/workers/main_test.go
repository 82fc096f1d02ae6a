package workers

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// fixture is an estimator that testdata/make.py wrote, with rows and the probabilities that it gives.
type fixture struct {
	Name    string
	Path    string
	SHA256  string
	Width   int
	DType   string
	Columns [][2]string
	Rows    []json.RawMessage
	P       [][]float64
	Labels  []string
}

var (
	root     string // of the repository
	python   string
	fixtures = map[string]*fixture{}
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if root, err = filepath.Abs("../../.."); err != nil {
		panic(err)
	}
	python = filepath.Join(root, ".venv/bin/python")
	testdata := filepath.Join(root, "internal/engine/workers/testdata")
	os.Setenv("PYTHONPATH", testdata)
	os.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	dir, err := os.MkdirTemp("", "workers-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	var out, said bytes.Buffer
	cmd := exec.Command(python, filepath.Join(testdata, "make.py"), dir)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, said.String()))
	}
	var all []*fixture
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		panic(err)
	}
	for _, f := range all {
		fixtures[f.Name] = f
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// source is what a pool is told of the fixture.
func (f *fixture) source(positive int) Source {
	s := Source{Name: f.Name, Path: f.Path, Trusted: true, Rows: OneHot, Width: f.Width, DType: f.DType, Positive: positive}
	sum, err := hex.DecodeString(f.SHA256)
	if err != nil {
		panic(err)
	}
	copy(s.SHA256[:], sum)
	for _, c := range f.Columns {
		s.Rows = Table
		s.Columns = append(s.Columns, TableColumn{c[0], ColumnType(c[1])})
	}
	return s
}

// row is row i of one-hot columns.
func (f *fixture) row(i int) (columns []int32) {
	if err := json.Unmarshal(f.Rows[i], &columns); err != nil {
		panic(err)
	}
	return columns
}

// table is row i of named columns.
func (f *fixture) table(i int) (row []any) {
	if err := json.Unmarshal(f.Rows[i], &row); err != nil {
		panic(err)
	}
	return row
}

// harness is a pool of two workers with its log.
type harness struct {
	*Pool
	t   *testing.T
	mu  sync.Mutex
	log bytes.Buffer
}

func (h *harness) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

func (h *harness) logged(words string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(h.log.String(), words)
}

func start(t *testing.T, change func(*Options)) *harness {
	t.Helper()
	h := &harness{t: t}
	o := Options{Python: python, Dir: root, Workers: 2, Log: slog.New(slog.NewTextHandler(h, nil)),
		HelloTimeout: 5 * time.Minute, PrepareTimeout: 5 * time.Minute} // on a busy machine, an import may take a minute
	if change != nil {
		change(&o)
	}
	var err error
	if h.Pool, err = Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(h.dir); !os.IsNotExist(err) {
			t.Errorf("prepared files are left: %v", err)
		}
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	return h
}

func (h *harness) prepare(name string, positive int) *Classifier {
	h.t.Helper()
	c, err := h.Prepare(h.t.Context(), fixtures[name].source(positive))
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// run runs a bag that has time.
func (h *harness) run(b *Bag) *Bag {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Minute)
	defer cancel()
	if err := h.Run(ctx, b); err != nil {
		h.t.Fatal(err)
	}
	return b
}

// one runs a single task.
func (h *harness) one(c *Classifier, columns ...int32) *Bag {
	h.t.Helper()
	b := NewBag(c.Outputs(), 1)
	b.Add(c, columns)
	return h.run(b)
}

// eventually waits for what another goroutine or process does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("%s has not come", what)
}
