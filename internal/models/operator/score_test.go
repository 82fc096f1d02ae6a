package operator_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/columns"
	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/engine/plan/plantest"
	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
	"gavel/internal/models/operator"
)

// doubles is a version of a plan that gives 2x + 1 and refuses what is not finite.
func doubles(t *testing.T) (dir string) {
	t.Helper()
	p := plantest.Plan{
		Inputs: []plantest.Input{{Name: "x", Type: "float64", Width: 1}, {Name: "note", Type: "text", Width: 1}},
		Nodes: []plantest.Node{{Op: "linear", In: []int{0}, Set: map[string]any{"finite": true}, At: "model",
			Obj: map[string]plantest.Tensor{"coef": plantest.Of([]float64{2}, 1, 1), "intercept": plantest.Of([]float64{1})}}},
		Outputs: []plantest.Output{{Name: "value", Value: 2}},
	}
	file, objects := p.Encode()
	inputs := table(t, make([]float64, 16), make([]string, 16))
	ones := engine.Column{Type: engine.Float64, Width: 1, Float64: make([]float64, 16)}
	for i := range ones.Float64 {
		ones.Float64[i] = 1
	}
	var outputs bytes.Buffer
	if err := columns.Encode(msgpack.NewEncoder(&outputs), []engine.Field{{Name: "value", Type: engine.Float64, Width: 1}}, []engine.Column{ones}, 16); err != nil {
		t.Fatal(err)
	}
	golden, err := msgpack.Marshal(map[string]any{"inputs": inputs, "outputs": msgpack.RawMessage(outputs.Bytes()), "tolerance": 1e-12})
	if err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	dir = filepath.Join(store, "m", "1")
	contents := map[string]string{"plan/plan.msgpack": string(file), models.GoldenFile: string(golden)}
	document := modelstest.Document("m", 1, contents)
	modelstest.SetFormats(document, models.PlanFormat)
	named := map[string]any{}
	for sum, object := range objects {
		named[sum] = len(object)
	}
	document["objects"] = named
	for _, key := range []string{"row_len", "table_rows", "signature"} {
		delete(document, key)
	}
	manifest, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	contents[models.ManifestFile] = string(manifest)
	for name, text := range contents {
		modelstest.WriteFile(t, filepath.Join(dir, name), text)
	}
	for name, object := range objects {
		modelstest.WriteFile(t, filepath.Join(store, models.ObjectsDir, name), string(object))
	}
	return dir
}

// plans loads plans of the store that the version is in.
func plans(dir string) engine.Loaders {
	return engine.Loaders{models.PlanFormat: plan.Loader(plan.NewObjects(filepath.Join(dir, "..", "..", models.ObjectsDir)), plan.Options{})}
}

// table is rows of doubles.
func table(t *testing.T, x []float64, notes []string) msgpack.RawMessage {
	t.Helper()
	var b bytes.Buffer
	err := columns.Encode(msgpack.NewEncoder(&b),
		[]engine.Field{{Name: "x", Type: engine.Float64, Width: 1}, {Name: "note", Type: engine.Text, Width: 1}},
		[]engine.Column{{Type: engine.Float64, Width: 1, Float64: x}, {Type: engine.Text, Width: 1, Text: notes}}, len(x))
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestScore(t *testing.T) {
	dir := doubles(t)
	for _, batch := range []int{1, 2, 128} {
		var in, out bytes.Buffer
		e := msgpack.NewEncoder(&in)
		frames := []msgpack.RawMessage{
			table(t, []float64{1, math.Inf(1), 3, 4, 5}, []string{"", "", "\xff", "not UTF-8: \xfe", "é"}),
			table(t, []float64{7}, []string{""}),
		}
		for _, f := range frames {
			if err := e.Encode(map[string]any{"columns": f}); err != nil {
				t.Fatal(err)
			}
		}
		if err := operator.Score(t.Context(), plans(dir), dir, "", batch, &in, &out); err != nil {
			t.Fatal(err)
		}
		d := msgpack.NewDecoder(&out)
		d.DisallowUnknownFields(true)
		for i, want := range [][]float64{{3, math.NaN(), 7, math.NaN(), 11}, {15}} {
			var frame struct {
				Outputs msgpack.RawMessage `msgpack:"outputs"`
				Faults  [][]any            `msgpack:"faults"`
			}
			if err := d.Decode(&frame); err != nil {
				t.Fatal(err)
			}
			got, err := columns.Decode(frame.Outputs)
			if err != nil || len(got.Columns) != 1 || got.Rows != len(want) {
				t.Fatalf("%+v, %v", got, err)
			}
			faults := 0
			for row, w := range want {
				if v := got.Columns[0].Float64[row]; v != w && !(math.IsNaN(v) && math.IsNaN(w)) {
					t.Errorf("batches of %d, frame %d: row %d gives %v, want %v", batch, i, row, v, w)
				}
				if math.IsNaN(w) {
					faults++
				}
			}
			if len(frame.Faults) != faults {
				t.Errorf("faults %v, want %d", frame.Faults, faults)
			}
			if i == 0 && !strings.Contains(frame.Faults[0][1].(string), "node 0 linear (model): a number is NaN or infinite") {
				t.Error(frame.Faults[0])
			}
		}
	}
	f := func(in, want string) {
		t.Helper()
		err := operator.Score(t.Context(), plans(dir), dir, models.PlanFormat, 1, strings.NewReader(in), &bytes.Buffer{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
	f("", "")
	f("\x81\xa7columns", "cannot read a frame")
	f("\x81\xa7columns\x90", "there are none")
	f("\x81\xa4rows\x90", "cannot read a frame")
	err := operator.Score(t.Context(), plans(dir), dir, models.DefaultFormat, 1, strings.NewReader(""), &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "it has no savedmodel, only plan") {
		t.Errorf("another format: %v", err)
	}
}

func TestVerifyStore(t *testing.T) {
	version := doubles(t)
	store := filepath.Join(version, "..", "..")
	if err := os.CopyFS(filepath.Join(store, "n", "1"), os.DirFS(version)); err != nil {
		t.Fatal(err)
	}
	modelstest.EditManifest(t, filepath.Join(store, "n", "1"), func(m map[string]any) { m["model"] = "n" })
	verify := func() (string, error) {
		var out bytes.Buffer
		err := operator.Verify(t.Context(), nil, store, &out)
		return out.String(), err
	}
	text, err := verify()
	if err != nil || !strings.Contains(text, "2 models, 2 versions, 2 objects (0.1 KiB)\n  every file and object is as its sha256 says\n") {
		t.Errorf("%v: %s", err, text)
	}
	orphan := strings.Repeat("0", 64)
	modelstest.WriteFile(t, filepath.Join(store, models.ObjectsDir, orphan), "x")
	if err := os.Remove(filepath.Join(store, "n", "1", models.PlanFile)); err != nil {
		t.Fatal(err)
	}
	all, err := dir.New(store).ListObjects(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	damaged := all[1].Sum
	modelstest.WriteFile(t, filepath.Join(store, models.ObjectsDir, damaged), "y")
	text, err = verify()
	if !strings.Contains(text, "no version names 1 objects (0.0 KiB): bidder models sweep") || err == nil {
		t.Errorf("%v: %s", err, text)
	}
	for _, want := range []string{"has 3 faults", "plan/plan.msgpack is missing", "object " + damaged + " is damaged", "refused for it: m version 1, n version 1; port",
		"object " + orphan + " is damaged", "remove it"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if err := operator.Score(t.Context(), plans(version), version, "", 1, strings.NewReader(""), &bytes.Buffer{}); err == nil ||
		!strings.Contains(err.Error(), damaged) || !strings.Contains(err.Error(), "port the model again") {
		t.Errorf("a version with a damaged object: %v", err)
	}
}
