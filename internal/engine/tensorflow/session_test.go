package tensorflow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"gavel/internal/engine"
)

func TestVersionIsTheWheels(t *testing.T) {
	if !strings.HasPrefix(LibraryVersion(), "2.") {
		t.Errorf("TensorFlow %q", LibraryVersion())
	}
}

func TestRunAgreesWithPython(t *testing.T) {
	f := func(name string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s, g := opened(t, name)
			for _, size := range []int{1, 3, 8, g.n} { // the answer must not depend on who shares the batch
				b := newBatch(t, s, size)
				defer b.Close()
				worst := 0.0
				for from := 0; from < g.n; from += size {
					n := min(size, g.n-from)
					copy(rowsOf(b), g.x[from*g.f:(from+n)*g.f])
					if err := b.Run(n); err != nil {
						t.Fatal(err)
					}
					for i, p := range probabilitiesOf(b)[:n] {
						worst = max(worst, math.Abs(float64(p)-float64(g.p[from+i])))
					}
				}
				t.Logf("batches of %d: largest difference %.2g", size, worst)
				if !(worst <= tolerance) {
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

func TestBatchMemory(t *testing.T) {
	s, _ := opened(t, "a")
	b := newBatch(t, s, 7)
	if len(rowsOf(b)) != 7*s.rowLen || len(probabilitiesOf(b)) != 7 {
		t.Errorf("rows %d, probabilities %d", len(rowsOf(b)), len(probabilitiesOf(b)))
	}
	if at := uintptr(unsafe.Pointer(&rowsOf(b)[0])); at%64 != 0 {
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
	s, _ := opened(t, "a")
	b := newBatch(t, s, 4)
	defer b.Close()
	for _, bad := range []int32{1000, -1, math.MaxInt32, math.MinInt32} {
		row := rowsOf(b)[2*8 : 3*8]
		row[5] = bad
		if err := s.Validate(b.Inputs(), 2); err == nil || !strings.Contains(err.Error(), "index 5 of the row is") {
			t.Errorf("Validate of index %d: %v", bad, err)
		}
		var re *RunError
		if err := b.Run(4); !errors.As(err, &re) || re.Code != 3 || !strings.Contains(re.Message, "indices[2,5] = ") ||
			!strings.Contains(re.Message, "is not in [0, 1000)") {
			t.Errorf("run with index %d: %v", bad, err)
		}
		row[5] = 999
		if err := errors.Join(s.Validate(b.Inputs(), 2), b.Run(4)); err != nil {
			t.Errorf("after the bad row was mended: %v", err)
		}
	}
}

func TestNaNNamesItsRow(t *testing.T) {
	s, _ := opened(t, "nan")
	b := newBatch(t, s, 2)
	defer b.Close()
	var re *engine.RowError
	if err := b.Run(2); !errors.As(err, &re) || re.Row != 0 || !strings.Contains(err.Error(), "NaN is not a probability") {
		t.Errorf("a model of NaN: %v", err)
	}
}

func TestCloseWaitsForBatches(t *testing.T) {
	s, err := open(fixture(t, "a"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := newBatch(t, s, 1)
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

func TestLoaderRefuses(t *testing.T) {
	f := func(name, fixtureName string, edit func(v *engine.Version), reason error, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			v := fixture(t, fixtureName)
			if edit != nil {
				edit(&v)
			}
			s, err := Loader(Options{})(t.Context(), v)
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			if s != nil {
				t.Errorf("an engine came with the error: %v", s)
			}
			if !errors.Is(err, reason) {
				t.Errorf("not %q: %v", reason, err)
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error lacks %q:\n%v", w, err)
				}
			}
		})
	}
	f("a row length that is not the graph's", "a", func(v *engine.Version) { v.RowLen = 9 }, engine.ErrSignature,
		`input "rows" is int32[?, 8], by the manifest it is int32[?, 9]`)
	f("another output type", "float64", nil, engine.ErrSignature, `output "probability" is float64[?], by the manifest it is float32[?]`)
	f("a signature that is not there", "a", func(v *engine.Version) { v.Signature.Name = "score" }, engine.ErrSignature,
		`no signature "score", it has ["__saved_model_init_op" "serving_default"]`)
	f("names that differ", "a", func(v *engine.Version) { v.Signature.Input = "x"; v.Signature.OutputTensor = "y:0" }, engine.ErrSignature,
		`has the inputs ["rows"], the manifest says "x" alone`, `is tensor "StatefulPartitionedCall:0", the manifest says "y:0"`)
	f("rows that are not of indices", "a", func(v *engine.Version) { v.RowLen, v.TableRows = 0, 0 }, engine.ErrSignature, "row_len 0 and table_rows 0")
	empty := t.TempDir()
	f("an empty directory", "a", func(v *engine.Version) { v.Dir = empty }, engine.ErrLoad, "TensorFlow cannot load it")
	if _, err := Loader(Options{Threading: "fibre"})(t.Context(), fixture(t, "a")); err == nil || !strings.Contains(err.Error(), `threading "fibre" is unknown`) {
		t.Errorf("an unknown threading: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Loader(Options{})(ctx, fixture(t, "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("a load that was cancelled: %v", err)
	}
}

// A session that was closed leaves memory with the allocator, which trim gives back.
func TestTrim(t *testing.T) {
	s, err := open(fixture(t, "deepfm"), Options{Threading: benchThreading})
	if err != nil {
		t.Fatal(err)
	}
	b := newBatch(t, s, 128)
	run := b.Run(128)
	b.Close()
	s.closed = true
	if err := errors.Join(run, s.free()); err != nil {
		t.Fatal(err)
	}
	before := residentBytes(t)
	trim()
	given := float64(before-residentBytes(t)) / (1 << 20)
	t.Logf("%.1f MB given back", given)
	if given < 0.5 {
		t.Errorf("trim gave %.1f MB back", given)
	}
}

// residentBytes is the process's resident memory.
func residentBytes(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(fmt.Errorf("statm: %w", err))
	}
	return pages * int64(os.Getpagesize())
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
