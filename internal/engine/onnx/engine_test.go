package onnx

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gavel/internal/engine"
)

func TestVersionIsTheWheels(t *testing.T) {
	version, err := LibraryVersion()
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile("../../../requirements.lock")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(lock), "\nonnxruntime=="+version+" ") {
		t.Errorf("onnxruntime %s was loaded, requirements.lock pins another", version)
	}
}

func TestSchema(t *testing.T) {
	want := engine.Schema{
		Inputs: []engine.Field{
			{Name: "a", Type: engine.Float32, Width: 3}, {Name: "b", Type: engine.Float64, Width: 1}, {Name: "c", Type: engine.Int32, Width: 2},
			{Name: "d", Type: engine.Text, Width: 1}, {Name: "e", Type: engine.Int32, Width: 1},
		},
		Outputs: []engine.Field{
			{Name: "sum", Type: engine.Float32, Width: 1}, {Name: "more", Type: engine.Float64, Width: 2}, {Name: "e_too", Type: engine.Float32, Width: 1},
		},
	}
	if got := opened(t, "mixed").Schema(); !slices.Equal(got.Inputs, want.Inputs) || !slices.Equal(got.Outputs, want.Outputs) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLabels(t *testing.T) {
	f := func(name string, want ...any) {
		t.Helper()
		e := opened(t, name)
		if !slices.Equal(e.Labels(), want) {
			t.Errorf("%s: %v, want %v", name, e.Labels(), want)
		}
		if out := e.Schema().Outputs; len(out) != 1 || out[0].Name != "probability" {
			t.Errorf("%s gives %v", name, out)
		}
		b := newBatch(t, e, 2)
		copy(b.Inputs()[0].Float32, []float32{0, 0, 1, 2})
		if err := b.Run(2); err != nil {
			t.Fatal(err)
		}
		want0 := 1 / (2 + math.Exp(0.5)) // scores 0, 0 and 0.5
		if got := float64(b.Outputs()[0].Float32[1]); math.Abs(got-want0) > tolerance {
			t.Errorf("%s: %v, want %v", name, got, want0)
		}
	}
	f("classifier", "a", "b", "c")
	f("numbered", int64(7), int64(8), int64(9))
	if labels := opened(t, "mixed").Labels(); labels != nil {
		t.Errorf("labels %v of no classifier", labels)
	}
}

func TestLoaderRefuses(t *testing.T) {
	f := func(name string, edit func(v *engine.Version), reason error, wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			v := engine.Version{Model: "m", Number: 1, Dir: folder(t, name)}
			if edit != nil {
				edit(&v)
			}
			e, err := Loader(Options{})(t.Context(), v)
			if err == nil {
				_ = e.Close()
				t.Fatal("it was opened")
			}
			if e != nil || !errors.Is(err, reason) {
				t.Errorf("engine %v, error not %q: %v", e, reason, err)
			}
			for _, want := range wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
		})
	}
	f("zipmap", nil, engine.ErrSignature, `output "maps" is a sequence or a map`, "zipmap=False")
	f("labels_alone", nil, engine.ErrSignature, "gives labels alone")
	f("more_labels", nil, engine.ErrSignature, "labels of 4 classes, but 0 of its outputs")
	f("fixed", nil, engine.ErrSignature, `input "x" has 4 rows, always`, "dynamic first dimension", `output "y" has 4 rows`)
	f("scalar", nil, engine.ErrSignature, `input "x" is a single value`)
	f("cube", nil, engine.ErrSignature, `input "x" has 3 dimensions`)
	f("any_width", nil, engine.ErrSignature, `input "x" has no fixed number of columns`)
	f("bytes", nil, engine.ErrSignature, `input "x" is of uint8`)
	f("counts", nil, engine.ErrSignature, `output "y" is of int64, and is not the labels`)
	f("texts", nil, engine.ErrSignature, `input "x" has 2 columns of strings`)
	f("unknown_operator", nil, engine.ErrLoad, "onnxruntime 1.", "NoSuch")
	f("escapes", nil, engine.ErrLoad, `"../external/table.bin", which is not within the folder`)
	f("lacks_data", nil, engine.ErrLoad, `"other.bin" of a tensor`)
	f("linked", nil, engine.ErrLoad, `"link.bin" of a tensor is not a regular file`)
	f("indices", func(v *engine.Version) { v.RowLen, v.TableRows = 9, 100 }, engine.ErrSignature, "by the manifest it takes int32[?, 9]")
	f("absent", nil, engine.ErrLoad, "no such file")

	damaged := func(name string, edit func([]byte) []byte) func(*engine.Version) {
		return func(v *engine.Version) {
			data, err := os.ReadFile(filepath.Join(folder(t, "indices"), modelFile))
			if err != nil {
				t.Fatal(err)
			}
			v.Dir = t.TempDir()
			if err := os.WriteFile(filepath.Join(v.Dir, modelFile), edit(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	f("empty", damaged("empty", func([]byte) []byte { return nil }), engine.ErrLoad, "is empty")
	f("truncated", damaged("truncated", func(d []byte) []byte { return d[:len(d)/2] }), engine.ErrLoad, "cut off")
	f("garbage", damaged("garbage", func([]byte) []byte { return []byte("{\"not\": \"a model\"}") }), engine.ErrLoad, "is no ONNX model")
	f("two models", damaged("twice", func(d []byte) []byte { return slices.Concat(d, d) }), engine.ErrLoad, "it has 2 graphs")
}

func TestMissingLibrary(t *testing.T) {
	v := version(t, "indices")
	e, err := Loader(Options{Library: "libonnxruntime-none.so.1"})(t.Context(), v)
	if e != nil || !errors.Is(err, engine.ErrFormat) {
		t.Errorf("%v, %v", e, err)
	}
	for _, want := range []string{"libonnxruntime-none.so.1", "install onnxruntime 1.17 or later", "make setup"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if _, err := Loader(Options{Library: "libm.so.6"})(t.Context(), v); err == nil || !strings.Contains(err.Error(), "it lacks OrtGetApiBase") {
		t.Errorf("another library: %v", err)
	}
}

func TestLoadEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Loader(Options{})(ctx, engine.Version{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestExternalData(t *testing.T) {
	x, p := golden(t)
	b := newBatch(t, opened(t, "external"), 1)
	copy(b.Inputs()[0].Int32, x[0])
	if err := b.Run(1); err != nil || math.Abs(float64(b.Outputs()[0].Float32[0]-p[0])) > tolerance {
		t.Errorf("%v, %v; want %v", b.Outputs()[0].Float32, err, p[0])
	}
}

func TestBatchBounds(t *testing.T) {
	e := opened(t, "indices")
	for _, capacity := range []int{0, -1, math.MaxInt} {
		if _, err := e.NewBatch(capacity); err == nil {
			t.Errorf("a batch of %d rows was made", capacity)
		}
	}
	b := newBatch(t, e, 7)
	for _, n := range []int{0, 8, -1} {
		if err := b.Run(n); err == nil {
			t.Errorf("Run(%d) of a batch for 7 succeeded", n)
		}
	}
	b.Close()
	b.Close()
	if err := b.Run(1); err == nil {
		t.Error("a closed batch ran")
	}
}

// Rows beyond ONNX_CHUNK run in further calls of onnxruntime, with the same outputs.
func TestManyRows(t *testing.T) {
	const n = 2*256 + 5
	x, p := golden(t)
	b := newBatch(t, opened(t, "indices"), n)
	for i := range n {
		copy(b.Inputs()[0].Int32[8*i:], x[i%len(x)])
	}
	if err := b.Run(n); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if got, want := b.Outputs()[0].Float32[i], p[i%len(x)]; math.Abs(float64(got-want)) > tolerance {
			t.Fatalf("row %d: %v, want %v", i, got, want)
		}
	}
	wide := newBatch(t, opened(t, "mixed"), n)
	for i := range n {
		wide.Inputs()[2].Int32[2*i+1] = int32(i)
		wide.Inputs()[3].Text[i] = []string{"x", "y", ""}[i%3]
	}
	if err := wide.Run(n); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if got, want := wide.Outputs()[1].Float64[2*i+1], float64(i)+[]float64{10, 20, 0}[i%3]; got != want {
			t.Fatalf("row %d: %v, want %v", i, got, want)
		}
	}
}

// What a run needs beside its rows is bounded, however many rows there are, and is given back.
func TestMemoryOfManyRows(t *testing.T) {
	const n, most = 24 << 10, 100 << 20 // at once they would need 400 MB
	e, err := Loader(Options{})(t.Context(), version(t, "wide"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.NewBatch(n)
	if err != nil {
		t.Fatal(err)
	}
	before := status(t, "VmRSS")
	run := b.Run(n)
	if peak := status(t, "VmHWM"); peak > before+most {
		t.Errorf("%d rows took %d MB", n, (peak-before)>>20)
	}
	b.Close()
	if err := errors.Join(run, e.Close()); err != nil {
		t.Fatal(err)
	}
	if after := status(t, "VmRSS"); after > before+32<<20 {
		t.Errorf("%d MB were not given back", (after-before)>>20)
	}
}

// status is a number of bytes in /proc/self/status.
func status(t *testing.T, key string) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if words := strings.Fields(line); words[0] == key+":" {
			kilobytes, err := strconv.Atoi(words[1])
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Skip("the kernel tells no " + key)
	return 0
}

// onnxruntime fails a whole run; the engine names the rows.
func TestRowsAtFault(t *testing.T) {
	v := version(t, "indices")
	v.RowLen, v.TableRows = 0, 0 // so that nothing but onnxruntime checks indices
	loaded, err := Loader(Options{})(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = loaded.Close() }()
	e := loaded.(*Engine)
	x, p := golden(t)
	b, err := e.NewBatch(5)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range 5 {
		copy(b.Inputs()[0].Int32[8*i:], x[i])
	}
	b.Inputs()[0].Int32[8*1+3], b.Inputs()[0].Int32[8*4] = 100, math.MinInt32
	var several *engine.RowErrors
	if err := b.Run(5); !errors.As(err, &several) || len(several.Rows) != 2 || several.Rows[0].Row != 1 || several.Rows[1].Row != 4 {
		t.Fatal(err)
	}
	if message := several.Rows[0].Error(); !strings.Contains(message, "look_up") || !strings.Contains(message, "100") {
		t.Errorf("the error lacks node or index: %s", message)
	}
	for _, i := range []int{0, 2, 3} {
		if got := b.Outputs()[0].Float32[i]; math.Abs(float64(got-p[i])) > tolerance {
			t.Errorf("row %d beside others at fault: %v, want %v", i, got, p[i])
		}
	}
}

func TestOutputsThatAreNoRows(t *testing.T) {
	b := newBatch(t, opened(t, "no_rows"), 2)
	copy(b.Inputs()[0].Float32, []float32{1, 2, 3, 4})
	if err := b.Run(2); err == nil || !strings.Contains(err.Error(), "shape") {
		t.Errorf("a model that gives four values of two rows: %v", err)
	}
}

func TestTextsAtFault(t *testing.T) {
	e := opened(t, "mixed")
	b := newBatch(t, e, 4)
	copy(b.Inputs()[3].Text, []string{"x", missing, "y", strings.Repeat("é", 1<<15+1)})
	for i, want := range []string{"", "the text is missing", "", "65538 bytes"} {
		err := e.Validate(b.Inputs(), i)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("row %d: %v, want %q", i, err, want)
		}
	}
	var several *engine.RowErrors
	if err := b.Run(4); !errors.As(err, &several) || len(several.Rows) != 2 || several.Rows[0].Row != 1 || several.Rows[1].Row != 3 {
		t.Fatal(err)
	}
	if got := b.Outputs()[1].Float64; got[0] != 10 || got[4] != 20 {
		t.Errorf("rows beside those: %v", got)
	}
}

func TestProbabilities(t *testing.T) {
	b := newBatch(t, opened(t, "nan"), 3)
	copy(b.Inputs()[0].Float32, []float32{1, -1, 0})
	if err := b.Run(3); err != nil || !math.IsNaN(float64(b.Outputs()[0].Float32[1])) {
		t.Errorf("a number may be anything: %v %v", err, b.Outputs()[0].Float32)
	}
	b.(*Batch).engine.tableRows = 1 // as of a model of indices
	defer func() { b.(*Batch).engine.tableRows = 0 }()
	var several *engine.RowErrors
	err := b.(*Batch).checkProbabilities(3)
	if !errors.As(err, &several) || len(several.Rows) != 2 || several.Rows[0].Row != 1 || !strings.Contains(err.Error(), "NaN is not a probability") {
		t.Errorf("a probability may not: %v", err)
	}
}

func TestSamples(t *testing.T) {
	e := opened(t, "numbered")
	b := newBatch(t, e, 1)
	e.Sample(b.Inputs(), 0) // without samples, a row stays
	e.TakeSamples(engine.Samples{Columns: []engine.Column{{Type: engine.Float32, Width: 2, Float32: []float32{3, 4}}}, Rows: 1})
	e.Sample(b.Inputs(), 0)
	if got := b.Inputs()[0].Float32; got[0] != 3 || got[1] != 4 {
		t.Error(got)
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x3a\x02\x0a\x00"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseFile(data) })
}
