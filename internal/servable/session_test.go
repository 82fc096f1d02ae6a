package servable

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"gavel/internal/batcher"
	"gavel/internal/modelstore"
)

func TestVersionIsTheWheels(t *testing.T) {
	if !strings.HasPrefix(TensorFlowVersion(), "2.") {
		t.Errorf("TensorFlow %q", TensorFlowVersion())
	}
}

func TestRunAgreesWithPython(t *testing.T) {
	f := func(name string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s, g := open(t, name)
			for _, size := range []int{1, 3, 8, g.n} { // the answer must not depend on who shares the batch
				b, err := s.NewBatch(size)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				worst := 0.0
				for from := 0; from < g.n; from += size {
					n := min(size, g.n-from)
					copy(b.Rows(), g.x[from*g.f:(from+n)*g.f])
					if err := b.Run(n); err != nil {
						t.Fatal(err)
					}
					for i, p := range b.Probabilities()[:n] {
						worst = max(worst, math.Abs(float64(p)-float64(g.p[from+i])))
					}
				}
				t.Logf("batches of %d: largest difference %.2g", size, worst)
				if !(worst <= goldenTolerance) {
					t.Errorf("batches of %d differ by %g", size, worst)
				}
			}
		})
	}
	f("a")
	f("logreg")
	f("deepfm")
	for _, kind := range []string{"logreg", "fm", "deepfm"} { // learnt and exported by pytrain; golden rows by Keras
		f("pytrain_" + kind)
	}
}

func TestLoadsWhatPytrainExports(t *testing.T) {
	for _, kind := range []string{"logreg", "fm", "deepfm"} {
		s, err := Load(context.Background(), fixture(t, "pytrain_"+kind), "ctr", 1, LoadOptions{})
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if m := s.Manifest(); m.RowLen != 6 || m.TableRows != 1+500+4+64+2000 || m.Training.Rows != 30*256 || s.Session().RowLen() != 6 {
			t.Errorf("%s: manifest %+v", kind, m)
		}
		s.Release()
	}
}

func TestBatchMemory(t *testing.T) {
	s, _ := open(t, "a")
	b, err := s.NewBatch(7)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Rows()) != 7*s.RowLen() || len(b.Probabilities()) != 7 {
		t.Errorf("rows %d, probabilities %d", len(b.Rows()), len(b.Probabilities()))
	}
	if at := uintptr(unsafe.Pointer(&b.Rows()[0])); at%64 != 0 {
		t.Errorf("rows at %#x are not aligned to 64 bytes: TensorFlow would copy them", at)
	}
	for _, n := range []int{0, 8, -1} {
		if err := b.Run(n); err == nil {
			t.Errorf("Run(%d) of a batch for 7 succeeded", n)
		}
	}
	_, batches, memories := Live()
	b.Close()
	b.Close()
	if _, nowBatches, nowMemories := Live(); nowBatches != batches-1 || nowMemories != memories-1 {
		t.Errorf("closing freed %d batches and %d memories", batches-nowBatches, memories-nowMemories)
	}
	if err := b.Run(1); err == nil {
		t.Error("a closed batch ran")
	}
	for _, capacity := range []int{0, -3, math.MaxInt} {
		if _, err := s.NewBatch(capacity); err == nil {
			t.Errorf("NewBatch(%d) succeeded", capacity)
		}
	}
}

func TestBadRow(t *testing.T) {
	s, _ := open(t, "a")
	b, err := s.NewBatch(4)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, bad := range []int32{1000, -1, math.MaxInt32, math.MinInt32} {
		row := b.Rows()[2*8 : 3*8]
		row[5] = bad
		if err := s.Validate(row); err == nil || !strings.Contains(err.Error(), "index 5 of the row is") {
			t.Errorf("Validate of index %d: %v", bad, err)
		}
		var re *RunError
		if err := b.Run(4); !errors.As(err, &re) || re.Code != 3 || !strings.Contains(re.Message, "indices[2,5] = ") ||
			!strings.Contains(re.Message, "is not in [0, 1000)") {
			t.Errorf("run with index %d: %v", bad, err)
		}
		row[5] = 999
		if err := errors.Join(s.Validate(row), b.Run(4)); err != nil {
			t.Errorf("after the bad row was mended: %v", err)
		}
	}
	if err := s.Validate(make([]int32, 7)); err == nil {
		t.Error("a row that is too short was accepted")
	}
}

func TestNaNNamesItsRow(t *testing.T) {
	s, _ := open(t, "nan")
	b, err := s.NewBatch(2)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var re *batcher.RowError
	if err := b.Run(2); !errors.As(err, &re) || re.Row != 0 || !strings.Contains(err.Error(), "NaN is not a probability") {
		t.Errorf("a model of NaN: %v", err)
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	s, _ := open(t, "a")
	b, err := s.NewBatch(32)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	row := b.Rows()[:8]
	if n := testing.AllocsPerRun(200, func() {
		if s.Validate(row) != nil || b.Run(32) != nil {
			t.Fail()
		}
	}); n != 0 {
		t.Errorf("%v allocations a run", n)
	}
}

// TestRunConcurrently has each goroutine write rows of its own and find its own results, batch after batch.
func TestRunConcurrently(t *testing.T) {
	s, g := open(t, "a")
	var wg sync.WaitGroup
	for seed := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(seed), 1))
			b, err := s.NewBatch(16)
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			var which [16]int
			for range 200 {
				n := 1 + rng.IntN(16)
				for i := range n {
					which[i] = rng.IntN(g.n)
					copy(b.Rows()[i*g.f:], g.x[which[i]*g.f:(which[i]+1)*g.f])
				}
				if err := b.Run(n); err != nil {
					t.Error(err)
					return
				}
				for i, p := range b.Probabilities()[:n] {
					if math.Abs(float64(p-g.p[which[i]])) > goldenTolerance {
						t.Errorf("row %d of %d: got %v, want %v", i, n, p, g.p[which[i]])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestCloseWaitsForBatches(t *testing.T) {
	dir := fixture(t, "a")
	s, err := OpenSession(dir, manifestOf(t, dir), CallerThread)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.NewBatch(1)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := Live()
	if err := s.Close(); !errors.Is(err, errOpenBatches) {
		t.Errorf("closing with an open batch: %v", err)
	}
	if _, err := s.NewBatch(1); err == nil {
		t.Error("a closed session made a batch")
	}
	if err := b.Run(1); err != nil {
		t.Errorf("the open batch no longer runs: %v", err)
	}
	b.Close()
	if after, _, _ := Live(); after != before-1 {
		t.Error("the session outlived its last batch")
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	f := func(name, fixtureName string, edit func(m *modelstore.Manifest), reason Reason, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			dir := fixture(t, fixtureName)
			m := manifestOf(t, dir)
			if edit != nil {
				edit(m)
			}
			s, err := OpenSession(dir, m, CallerThread)
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			if r := asRefusal(err); r.Reason != reason {
				t.Errorf("reason %q, want %q", r.Reason, reason)
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error lacks %q:\n%v", w, err)
				}
			}
		})
	}
	f("a row length that is not the graph's", "a", func(m *modelstore.Manifest) { m.RowLen = 9 }, ReasonSignature,
		`input "rows" is int32[?, 8], by the manifest it is int32[?, 9]`)
	f("another output type", "float64", nil, ReasonSignature, `output "probability" is float64[?], by the manifest it is float32[?]`)
	f("a signature that is not there", "a", func(m *modelstore.Manifest) { m.Signature.Name = "score" }, ReasonSignature,
		`no signature "score", it has ["__saved_model_init_op" "serving_default"]`)
	f("names that differ", "a", func(m *modelstore.Manifest) { m.Signature.Input = "x"; m.Signature.OutputTensor = "y:0" }, ReasonSignature,
		`has the inputs ["rows"], the manifest says "x" alone`, `is tensor "StatefulPartitionedCall:0", the manifest says "y:0"`)
	if _, err := OpenSession(os.TempDir(), &modelstore.Manifest{}, "fibre"); err == nil || !strings.Contains(err.Error(), `threading "fibre" is unknown`) {
		t.Errorf("an unknown threading: %v", err)
	}
	_, err := OpenSession(t.TempDir(), manifestOf(t, fixture(t, "a")), CallerThread)
	if r := asRefusal(err); r.Reason != ReasonLoad || !strings.Contains(err.Error(), "TensorFlow cannot load it") {
		t.Errorf("an empty directory: %v", err)
	}
}

func FuzzParseSignatures(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x2a\x06\n\x01a\x12\x01\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := parseSignatures(data); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
