package recipe

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const minimal = `
model: m
label: click
architecture: {kind: logreg}
features:
  - {name: os, source: device.os, encoder: hash, buckets: 16}
`

func TestDecode(t *testing.T) {
	r, err := Decode("r.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if r.Encoder().RowLen() != 1 || r.Encoder().TableRows() != 17 {
		t.Errorf("row_len %d, table_rows %d; want 1, 17", r.Encoder().RowLen(), r.Encoder().TableRows())
	}
	if r.Optimizer.Kind != "lazy_adam" || r.Training.BatchRows != 256 || r.Training.CheckpointEvery() != 15*time.Second ||
		r.Join.BidWait() != time.Minute {
		t.Errorf("defaults: %+v %+v %+v", r.Optimizer, r.Training, r.Join)
	}
	if !slices.Equal(r.Export, []string{"savedmodel"}) {
		t.Errorf("exports %q by default", r.Export)
	}
}

func TestExport(t *testing.T) {
	f := func(list string, want ...string) {
		t.Helper()
		r, err := Decode("r.yaml", []byte(minimal+"export: "+list))
		if err != nil || !slices.Equal(r.Export, want) {
			t.Errorf("%s: %v, %v; want %q", list, r, err, want)
		}
	}
	f("[savedmodel]", "savedmodel")
	f("[plan]", "plan")
	f("[savedmodel, plan]", "savedmodel", "plan")
	f("[plan, savedmodel]", "plan", "savedmodel")
}

func TestOptimizerDefaults(t *testing.T) {
	f := func(text string, want Optimizer) {
		t.Helper()
		r, err := Decode("r.yaml", []byte(minimal+text))
		if err != nil {
			t.Fatal(err)
		}
		if r.Optimizer != want {
			t.Errorf("%q: got %+v, want %+v", text, r.Optimizer, want)
		}
	}
	f("", Optimizer{Kind: "lazy_adam", LearningRate: 0.001, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-7})
	f("optimizer: {kind: adam, beta_1: 0}", Optimizer{Kind: "adam", LearningRate: 0.001, Beta2: 0.999, Epsilon: 1e-7})
	f("optimizer: {kind: ftrl}", Optimizer{Kind: "ftrl", LearningRate: 0.1, Beta: 1, L2: 1})
	f("optimizer: {kind: ftrl, learning_rate: 0.05, beta: 2, l1: 0.5, l2: 0}", Optimizer{Kind: "ftrl", LearningRate: 0.05, Beta: 2, L1: 0.5})
}

func TestFaults(t *testing.T) {
	f := func(name, old, new string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(minimal, old) {
				t.Fatalf("%q is not in the minimal recipe", old)
			}
			_, err := Decode("r.yaml", []byte(strings.Replace(minimal, old, new, 1)))
			if err == nil {
				t.Fatal("expected an error")
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error lacks %q:\n%v", w, err)
				}
			}
		})
	}
	f("model", "model: m", "model: M-1", `r.yaml: model: "M-1"`)
	f("label", "label: click", "label: clicks", `r.yaml: label: "clicks" is unknown`)
	f("unknown key with its line", "label: click", "label: click\ncolour: red", "r.yaml: line 4: field colour not found")
	f("embeddings of a logreg", "{kind: logreg}", "{kind: logreg, embedding_dim: 8}", "architecture.embedding_dim: logreg has no embeddings")
	f("fm without embeddings", "{kind: logreg}", "{kind: fm}", "architecture.embedding_dim: 0 is not in [1, 1025)")
	f("deepfm without layers", "{kind: logreg}", "{kind: deepfm, embedding_dim: 8}", "architecture.hidden")
	f("kind", "{kind: logreg}", "{kind: forest}", `architecture.kind: "forest" is unknown`)
	f("many at once", "label: click",
		"label: click\noptimizer: {learning_rate: 0, beta_1: 1, kind: sgd}\ntraining: {batch_rows: 0, base_rate: 1, export_min_rows: -1}\njoin: {bid_wait_seconds: -1}",
		"optimizer.learning_rate", "optimizer.beta_1", "optimizer.kind", "training.batch_rows", "training.base_rate",
		"training.export_min_rows", "join.bid_wait_seconds")
	f("ftrl for another architecture", "{kind: logreg}", "{kind: fm, embedding_dim: 8}\noptimizer: {kind: ftrl}", "optimizer.kind: ftrl learns a logreg, not a fm")
	f("a setting of another optimizer", "label: click", "label: click\noptimizer: {kind: ftrl, beta_1: 0.9}", "optimizer.beta_1: ftrl has no such setting")
	f("and the other way round", "label: click", "label: click\noptimizer: {l2: 1}", "optimizer.l2: lazy_adam has no such setting")
	f("ftrl's bounds", "label: click", "label: click\noptimizer: {kind: ftrl, beta: 0, l1: -1}", "optimizer.beta: 0 is not above 0", "optimizer.l1: -1 is not in")
	f("no format", "label: click", "label: click\nexport: []", "r.yaml: export: is empty; leave it out")
	f("an unknown format and one twice", "label: click", "label: click\nexport: [onnx, plan, plan]",
		`r.yaml: export[0]: "onnx" is unknown; use savedmodel or plan`, "r.yaml: export[2]: plan stands twice; remove one")
	f("a table that no plan holds", "{kind: logreg}\nfeatures:\n  - {name: os, source: device.os, encoder: hash, buckets: 16}",
		"{kind: fm, embedding_dim: 31}\nexport: [plan]\nfeatures:\n  - {name: os, source: device.os, encoder: hash, buckets: 16777215}",
		"r.yaml: export: a table of 16777216 × 32 floats is over the 2 GiB of a plan's parameter; leave plan out")
	f("formats that are no list", "label: click", "label: click\nexport: {plan: true}", "r.yaml: line 4: cannot unmarshal")
	f("a feature's source", "device.os", "device.oss", `r.yaml: features[0] "os": source: "device.oss" is unknown, did you mean device.os?`)
	f("a number in a vocabulary", "encoder: hash, buckets: 16", "encoder: vocabulary, values: [1]", "put it in quotes")
	f("not a number", "buckets: 16}", "buckets: 16}\ntraining: {base_rate: .nan}", "training.base_rate")
}

// TestShippedRecipes loads what models/ ships, and holds Python to the same row length, table and bounds.
func TestShippedRecipes(t *testing.T) {
	recipes, err := LoadAll("../../models")
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(recipes)); !slices.Equal(got, []string{"ctr", "cvr"}) {
		t.Fatalf("recipes %v, want ctr and cvr", got)
	}
	if recipes["ctr"].Label != Click || recipes["cvr"].Label != Conversion {
		t.Errorf("labels: ctr %s, cvr %s", recipes["ctr"].Label, recipes["cvr"].Label)
	}
	python, err := filepath.Abs(filepath.Join("..", "..", ".venv", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skipf("the Python half needs %s: run make setup", python)
	}
	for model, r := range recipes {
		script := `import sys, pathlib
from pytrain.recipe import load_recipe
s = load_recipe(pathlib.Path(sys.argv[1])).space
print(s.row_len, s.table_rows, *[f"{c.feature}:{c.low}:{c.high}" for c in s.columns])`
		cmd := exec.Command(python, "-c", script, filepath.Join("models", model, "recipe.yaml"))
		cmd.Dir = filepath.Join("..", "..")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s in Python: %v", model, err)
		}
		want := []string{itoa(r.Encoder().RowLen()), itoa(r.Encoder().TableRows())}
		for _, c := range r.Encoder().Columns() {
			want = append(want, c.Feature+":"+itoa(int(c.Low))+":"+itoa(int(c.High)))
		}
		if got := strings.Fields(string(out)); !slices.Equal(got, want) {
			t.Errorf("%s: Python has\n%v, Go\n%v", model, got, want)
		}
	}
}

func TestLoadAllFaults(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadAll(dir); err == nil || !strings.Contains(err.Error(), "recipe.yaml") {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "other"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "other", "recipe.yaml"), []byte(minimal), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAll(dir); err == nil || !strings.Contains(err.Error(), `"m" in the directory of "other"`) {
		t.Errorf("a recipe under another name: %v", err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
