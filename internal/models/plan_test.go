package models_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/columns"
	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/engine/plan/plantest"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
)

// double is a plan that gives 2x + 1 and refuses what is not finite. text is there to be carried along.
func double() plantest.Plan {
	return plantest.Plan{
		Inputs: []plantest.Input{{Name: "x", Type: "float64", Width: 1}, {Name: "text", Type: "text", Width: 1}},
		Nodes: []plantest.Node{{Op: "linear", In: []int{0}, Set: map[string]any{"finite": true}, At: "model: LinearRegression",
			Obj: map[string]plantest.Tensor{"coef": plantest.Of([]float64{2}, 1, 1), "intercept": plantest.Of([]float64{1})}}},
		Outputs: []plantest.Output{{Name: "value", Value: 2}},
	}
}

// goldenColumns are 16 rows of double, each output changed.
func goldenColumns(t *testing.T, change func(value float64) float64, tolerance float64) string {
	t.Helper()
	x, y, texts := make([]float64, 16), make([]float64, 16), make([]string, 16)
	for i := range x {
		x[i], texts[i] = float64(i), fmt.Sprint("text ", i)
		y[i] = change(2*x[i] + 1)
	}
	texts[3] = "\xff"
	var inputs, outputs bytes.Buffer
	err := columns.Encode(msgpack.NewEncoder(&inputs),
		[]engine.Field{{Name: "x", Type: engine.Float64, Width: 1}, {Name: "text", Type: engine.Text, Width: 1}},
		[]engine.Column{{Type: engine.Float64, Width: 1, Float64: x}, {Type: engine.Text, Width: 1, Text: texts}}, 16)
	if err != nil {
		t.Fatal(err)
	}
	err = columns.Encode(msgpack.NewEncoder(&outputs), []engine.Field{{Name: "value", Type: engine.Float64, Width: 1}},
		[]engine.Column{{Type: engine.Float64, Width: 1, Float64: y}}, 16)
	if err != nil {
		t.Fatal(err)
	}
	data, err := msgpack.Marshal(map[string]any{
		"inputs": msgpack.RawMessage(inputs.Bytes()), "outputs": msgpack.RawMessage(outputs.Bytes()), "tolerance": tolerance,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// planVersion writes a version of a plan into a store and returns where it is.
func planVersion(t *testing.T, store, golden string) (dir string) {
	t.Helper()
	dir = filepath.Join(store, "m", "1")
	file, objects := double().Encode()
	contents := map[string]string{"plan/plan.msgpack": string(file), models.GoldenFile: golden}
	document := modelstest.Document("m", 1, contents)
	modelstest.SetFormats(document, models.PlanFormat)
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

func TestLoadPlan(t *testing.T) {
	same := func(v float64) float64 { return v }
	f := func(name, golden string, wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			store := t.TempDir()
			dir := planVersion(t, store, golden)
			loaders := engine.Loaders{models.PlanFormat: plan.Loader(plan.NewObjects(filepath.Join(store, models.ObjectsDir)), plan.Options{})}
			s, err := models.Load(t.Context(), loaders, dir, "m", 1, models.LoadOptions{MaxRows: 200})
			if len(wants) > 0 {
				wantError(t, err, wants...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Release()
			if s.Manifest().Indexed() || s.Recipe() != nil {
				t.Error("it has indices or a recipe")
			}
			row := []engine.Column{{Type: engine.Float64, Width: 1, Float64: []float64{-1}}, {Type: engine.Text, Width: 1, Text: []string{""}}}
			s.Engine().(engine.Sampler).Sample(row, 0)
			if x := row[0].Float64[0]; x < 0 || x > 15 || row[1].Text[0] == "" {
				t.Errorf("the engine samples %+v, no golden row", row)
			}
		})
	}
	f("sound", goldenColumns(t, same, 1e-12))
	f("within a relative tolerance", goldenColumns(t, func(v float64) float64 { return v * (1 + 5e-13) }, 1e-12))
	f("another output", goldenColumns(t, func(v float64) float64 { return v + 5e-7 }, 1e-12), "refused (golden)", "16 of 16 golden rows differ by more than 1e-12; row 0 gives 1")
	f("an output of NaN", goldenColumns(t, func(float64) float64 { return math.NaN() }, 1e-6), "refused (golden)", "Python had NaN")
	f("a large tolerance", goldenColumns(t, same, 0.1), "refused (golden)", "has the tolerance 0.1")
	f("rows of indices", goldenFile(16, 4, 0.5), "refused (golden)", "has no columns")
}

// A version whose object is damaged is refused for that, and serves once the object is whole again, although its own files did not
// change.
func TestDamagedObjectIsTriedAgain(t *testing.T) {
	store := t.TempDir()
	dir := planVersion(t, store, goldenColumns(t, func(v float64) float64 { return v }, 1e-12))
	loaders := engine.Loaders{models.PlanFormat: plan.Loader(plan.NewObjects(filepath.Join(store, models.ObjectsDir)), plan.Options{})}
	_, objects := double().Encode()
	sum := slices.Sorted(maps.Keys(objects))[0]
	path := filepath.Join(store, models.ObjectsDir, sum)
	modelstest.WriteFile(t, path, "damaged")
	_, err := models.Load(t.Context(), loaders, dir, "m", 1, models.LoadOptions{})
	wantError(t, err, sum, "port the model again")
	if !errors.Is(err, engine.ErrObject) {
		t.Errorf("%v is no fault of an object", err)
	}
	synctest.Test(t, func(t *testing.T) {
		g, err := models.NewGroup(models.GroupOptions{Store: modelsdir.New(store), Loaders: loaders, Logger: slog.New(slog.DiscardHandler),
			Watch: models.WatchOptions{NoNotify: true}, Nice: -1})
		if err != nil {
			t.Fatal(err)
		}
		m, err := g.Manage(models.Options{Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * time.Second)
		if st := m.Status(); len(st.Refused) != 1 || st.Refused[0].Reason != models.ReasonObject || st.Refused[0].Attempts < 2 {
			t.Errorf("it is not refused for its object: %+v", st.Refused)
		}
		modelstest.WriteFile(t, path, string(objects[sum]))
		<-time.After(time.Minute)
		if !m.Ready() {
			t.Errorf("the object is whole again, and the version does not serve: %+v", m.Status().Refused)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		g.Close()
	})
}
