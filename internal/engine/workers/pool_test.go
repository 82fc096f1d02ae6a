package workers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// One pool serves the three tests, because processes take their time to start.
func TestPool(t *testing.T) {
	t.Parallel()
	h := start(t, nil)
	t.Run("exact", func(t *testing.T) { testExact(t, h) })
	t.Run("refused", func(t *testing.T) { testRefused(t, h) })
	t.Run("memory", func(t *testing.T) { testMemory(t, h) })
}

// Every probability is predict_proba's of that row alone, bit by bit, also where rows share a batch and a call.
func testExact(t *testing.T, h *harness) {
	t.Run("one-hot", func(t *testing.T) {
		b := NewBag(1, 0)
		var want []float64
		for _, name := range linear("narrow", "bayes", "forest", "Printer") {
			c, f := h.prepare(name, 1), fixtures[name]
			for i := range f.Rows {
				b.Add(c, f.row(i))
				want = append(want, f.P[i][1])
			}
		}
		compare(t, h.run(b), want)
	})
	t.Run("all classes", func(t *testing.T) {
		c, f := h.prepare("three", -1), fixtures["three"]
		if c.Outputs() != 3 || !slices.Equal(c.Labels(), f.Labels) {
			t.Errorf("%d outputs, labels %q; want 3, %q", c.Outputs(), c.Labels(), f.Labels)
		}
		b := NewBag(3, 0)
		var want []float64
		for i := range f.Rows {
			b.Add(c, f.row(i))
			want = append(want, f.P[i]...)
		}
		compare(t, h.run(b), want)
	})
	t.Run("tables", func(t *testing.T) {
		c, f := h.prepare("pipeline", 1), fixtures["pipeline"]
		b := NewBag(1, 0)
		var want []float64
		for i := range f.Rows {
			b.AddTable(c, f.table(i))
			want = append(want, f.P[i][1])
		}
		compare(t, h.run(b), want)
	})
	t.Run("values", func(t *testing.T) {
		c, f := h.prepare("linear0", 1), fixtures["linear0"]
		b := NewBag(1, 0)
		b.AddSparse(c, f.row(0), slices.Repeat([]float64{1}, len(f.row(0))))
		b.AddSparse(c, f.row(0), slices.Repeat([]float64{2}, len(f.row(0))))
		h.run(b)
		if b.Probability(0, 0) != f.P[0][1] || b.Probability(1, 0) == f.P[0][1] || b.Outcome(1) != Scored {
			t.Errorf("%v and %v; want %v and another", b.Probability(0, 0), b.Probability(1, 0), f.P[0][1])
		}
	})
	t.Run("rows that do not fit fail alone", func(t *testing.T) {
		c, p := h.prepare("linear0", 1), h.prepare("pipeline", 1)
		b := NewBag(1, 0)
		for _, columns := range [][]int32{{120}, {-1}, {5, 5}, {7, 3}} {
			b.Add(c, columns)
		}
		b.AddTable(p, []any{"DE"})
		b.AddTable(p, []any{1.5, 1.5})
		b.AddTable(c, []any{"DE", 1.5})
		b.Add(c, fixtures["linear0"].row(0))
		h.run(b)
		for i := range b.Len() - 1 {
			if b.Outcome(i) != Failed || b.Faults()[i] == "" {
				t.Errorf("task %d: %v", i, b.Outcome(i))
			}
		}
		if last := b.Len() - 1; b.Outcome(last) != Scored || b.Probability(last, 0) != fixtures["linear0"].P[0][1] {
			t.Errorf("the good task: %v, %q", b.Outcome(last), b.Faults()[last])
		}
	})
	if s := h.Stats(); s.Batches >= s.Tasks || s.Deaths > 0 || s.Bytes == 0 {
		t.Errorf("%+v", s)
	}
}

func linear(others ...string) (names []string) {
	for i := range 24 {
		names = append(names, fmt.Sprintf("linear%d", i))
	}
	return append(names, others...)
}

func compare(t *testing.T, b *Bag, want []float64) {
	t.Helper()
	for i := range want {
		if got := b.Probability(i/b.outputs, i%b.outputs); got != want[i] {
			t.Fatalf("probability %d is %v (%s), want %v", i, got, b.Faults()[i/b.outputs], want[i])
		}
	}
}

// What cannot serve is refused, by name.
func testRefused(t *testing.T, h *harness) {
	before := h.Stats().Prepared
	good := fixtures["linear0"].source(1)
	f := func(name string, change func(*Source), words string) {
		t.Helper()
		s := good
		change(&s)
		if _, err := h.Prepare(t.Context(), s); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v; want %q", name, err, words)
		}
	}
	write := func(name, data string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const emptySum = "\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24\x27\xae\x41\xe4\x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55"
	f("another checksum", func(s *Source) { s.SHA256[0]++ }, "SHA-256")
	f("corrupt", func(s *Source) { s.Path = write("a.skops", ""); copy(s.SHA256[:], emptySum) }, "no whole skops file")
	f("absent", func(s *Source) { s.Path = "/nowhere/a.skops" }, "cannot be read")
	f("another width", func(s *Source) { s.Width = 7 }, "takes 120 columns, described are 7")
	f("a class too many", func(s *Source) { s.Positive = 2 }, "the positive one was to be number 2")
	f("no width", func(s *Source) { s.Width = 0 }, "width is 0")
	f("no rows", func(s *Source) { s.Rows = "" }, "rows is")
	f("no such type", func(s *Source) { s.DType = "int8" }, "dtype")
	pickled := fixtures["Raiser"].source(1)
	f("a pickle", func(s *Source) { *s = pickled; s.Trusted = false }, "is not trusted")
	dir := t.TempDir()
	data, err := os.ReadFile(pickled.Path)
	if err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "a.joblib")
	if err := os.WriteFile(open, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o770, 0o707} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		f("a pickle where others may write", func(s *Source) { *s = pickled; s.Path = open }, "others than its owner can write")
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(open, 0o666)); err != nil {
		t.Fatal(err)
	}
	f("a pickle that others may write", func(s *Source) { *s = pickled; s.Path = open }, "others than its owner can write")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	pickled.Path = open
	if _, err := h.Prepare(t.Context(), pickled); err != nil {
		t.Errorf("a pickle in a trusted directory: %v", err)
	}
	if s := h.Stats(); s.Deaths > 0 || s.Prepared != before+1 {
		t.Errorf("%+v", s)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *Options) { o.AnswerTimeout, o.ProcessMemory = time.Second, 6<<30 })
	good, want := h.prepare("linear0", 1), fixtures["linear0"].P[0][1]
	goodRow := fixtures["linear0"].row(0)
	others := func(b *Bag, bad int) {
		t.Helper()
		for i := range b.Len() {
			if i == bad {
				continue
			}
			if b.Outcome(i) != Scored || b.Probability(i, 0) != want {
				t.Errorf("task %d beside the bad one: %v, %q", i, b.Outcome(i), b.Faults()[i])
			}
		}
	}
	beside := func(bad *Classifier, columns ...int32) *Bag {
		b := NewBag(1, 0)
		for i := range 21 {
			if i == 10 {
				b.Add(bad, columns)
			} else {
				b.Add(good, goodRow)
			}
		}
		return b
	}
	t.Run("an estimator that raises for a row fails that row", func(t *testing.T) {
		c := h.prepare("Raiser", 1)
		b := NewBag(1, 0)
		b.Add(c, []int32{1})
		b.Add(c, []int32{0})
		b.Add(c, []int32{2})
		h.run(b)
		if b.Outcome(1) != Failed || b.Faults()[1] != "Raiser: ValueError: column 0 is set" || b.Probability(0, 0) != 0.25 || b.Probability(2, 0) != 0.25 {
			t.Errorf("%v, %v", b.outcomes, b.Faults())
		}
	})
	t.Run("a worker that hangs is killed, the request has its answer in time", func(t *testing.T) {
		c := h.prepare("Hanger", 1)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		b := NewBag(1, 0)
		b.Add(c, []int32{0})
		began := time.Now()
		if err := h.Run(ctx, b); err != nil || b.Outcome(0) != Pending {
			t.Errorf("%v, %v", err, b.Outcome(0))
		}
		if took := time.Since(began); took > 600*time.Millisecond {
			t.Errorf("the answer came after %v", took)
		}
		others(h.run(beside(good, goodRow...)), -1) // the other worker goes on
		eventually(t, "the worker's end", func() bool { return h.logged("gave no scored within 1s") })
	})
	t.Run("a task that kills two workers is named, the rest hold", func(t *testing.T) {
		c := h.prepare("Killer", 1)
		before := h.Stats().Deaths
		b := h.run(beside(c, 0))
		others(b, 10)
		if b.Outcome(10) != Failed || !strings.Contains(b.Faults()[10], "Killer: two workers died") {
			t.Errorf("%v, %v", b.Outcome(10), b.Faults())
		}
		eventually(t, "two deaths", func() bool { return h.Stats().Deaths == before+2 })
		if b := h.one(c, 0); b.Outcome(0) != Failed || h.Stats().Deaths != before+2 {
			t.Errorf("it is not refused afterwards: %v, %v", b.Outcome(0), b.Faults())
		}
		c.refused.Store(time.Now().UnixNano())
		eventually(t, "the end of its refusal", func() bool { return h.one(c, 1).Outcome(0) == Scored })
	})
	t.Run("a worker killed in a batch costs a retry", func(t *testing.T) {
		before := h.Stats()
		b := NewBag(1, 0)
		for range 20_000 {
			b.Add(good, goodRow)
		}
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			for h.Stats().Batches == before.Batches {
				time.Sleep(time.Millisecond)
			}
			for _, w := range h.Stats().ByWorker {
				if w.Up {
					kill(t, w.PID)
					break
				}
			}
		}()
		h.run(b)
		<-killed
		others(b, -1)
		eventually(t, "the death", func() bool { return h.Stats().Deaths == before.Deaths+1 })
	})
	t.Run("all workers killed", func(t *testing.T) {
		eventually(t, "both workers", func() bool { return h.Stats().Up == 2 })
		for _, w := range h.Stats().ByWorker {
			kill(t, w.PID)
		}
		others(h.run(beside(good, goodRow...)), -1)
	})
	t.Run("the preparer killed", func(t *testing.T) {
		eventually(t, "the preparer", func() bool { return h.readers[0].process.pid() != 0 })
		kill(t, h.readers[0].process.pid())
		eventually(t, "another preparer", func() bool {
			_, err := h.Prepare(t.Context(), fixtures["linear1"].source(1))
			return err == nil
		})
	})
	t.Run("an estimator that wants more memory than its process may have fails alone", func(t *testing.T) {
		if _, err := h.Prepare(t.Context(), fixtures["Greedy"].source(1)); err == nil || !strings.Contains(err.Error(), "Greedy") ||
			!strings.Contains(err.Error(), "MemoryError") {
			t.Errorf("%v, want MemoryError", err)
		}
		h.prepare("linear2", 1)
	})
	t.Run("too many tasks at once", func(t *testing.T) {
		b := NewBag(1, 0)
		for range 100_001 {
			b.Add(good, nil)
		}
		if err := h.Run(t.Context(), b); !errors.Is(err, ErrFull) {
			t.Errorf("%v, want ErrFull", err)
		}
	})
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if pid == 0 {
		t.Error("there is no process to kill")
		return
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// With room for a third of the classifiers, those that are asked for stay, the others are missed, and removing some under load
// harms nobody.
func testMemory(t *testing.T, h *harness) {
	h.Pool.mu.Lock()
	all := slices.Collect(maps.Values(h.classifiers))
	h.Pool.mu.Unlock()
	for _, c := range all {
		h.Remove(c)
	}
	var bytes int64
	const room = 8 * 4096
	h.Pool.mu.Lock()
	h.memory.policy.SetBound(room)
	h.Pool.mu.Unlock()
	all = nil
	for _, name := range linear() {
		c := h.prepare(name, 1)
		bytes += c.Bytes()
		all = append(all, c)
	}
	bag := func(which []*Classifier) *Bag {
		b := NewBag(1, 0)
		for _, c := range which {
			b.Add(c, fixtures[c.Name()].row(0))
		}
		return h.run(b)
	}
	check := func(b *Bag) (scored, missed int) {
		t.Helper()
		for i, c := range b.classifiers {
			switch b.Outcome(i) {
			case Scored:
				scored++
				if b.Probability(i, 0) != fixtures[c.Name()].P[0][1] {
					t.Errorf("%s is wrong", c.Name())
				}
			case Missed:
				missed++
			default:
				t.Errorf("%s: %v, %q", c.Name(), b.Outcome(i), b.Faults()[i])
			}
		}
		return scored, missed
	}
	scored, missed := check(bag(all))
	if scored == 0 || missed < 8 {
		t.Errorf("of 24 classifiers of %d bytes, %d were scored and %d missed", bytes, scored, missed)
	}
	often := all[20:]
	eventually(t, "room for what is asked for often", func() bool {
		scored, _ := check(bag(often))
		return scored == len(often)
	})
	if s := h.Stats(); s.Bytes > room+4096 || s.Evicted == 0 || s.Loads == 0 {
		t.Errorf("%+v", s)
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					check(bag(all))
				}
			}
		})
	}
	for _, c := range all[:20] {
		h.Remove(c)
		bag(often)
	}
	close(stop)
	load.Wait()
	if s := h.Stats(); s.Prepared != 4 || s.Deaths > 0 || s.Failed > 0 {
		t.Errorf("%+v", s)
	}
}

func TestStartNamesTheFault(t *testing.T) {
	_, err := Start(t.Context(), Options{Python: "/no/such/python"})
	if err == nil || !strings.Contains(err.Error(), "setting python") {
		t.Errorf("%v", err)
	}
	_, err = Start(t.Context(), Options{Python: python, Dir: "/"})
	if err == nil || !strings.Contains(err.Error(), "ended before its hello") {
		t.Errorf("%v", err)
	}
	_, err = Start(t.Context(), Options{Workers: -1, BatchTime: -1, Memory: -1})
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("%v, want three faults", err)
	}
}
