package workers

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
)

// version writes the files of a version with the pipeline of the fixtures.
func version(t *testing.T, change func(map[string]any)) engine.Version {
	t.Helper()
	f := fixtures["pipeline"]
	v := engine.Version{Model: "pipeline", Number: 3, Dir: t.TempDir()}
	data, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	columns := []map[string]string{}
	for _, c := range f.Columns {
		columns = append(columns, map[string]string{"name": c[0], "type": c[1]})
	}
	d := map[string]any{"format": 1, "estimator": "model.skops", "sha256": f.SHA256, "columns": columns}
	if change != nil {
		change(d)
	}
	text, err := json.Marshal(d)
	if err := errors.Join(err, os.WriteFile(filepath.Join(v.Dir, "model.skops"), data, 0o644),
		os.WriteFile(filepath.Join(v.Dir, EstimatorFile), text, 0o644)); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEngine(t *testing.T) {
	t.Parallel()
	h, f := start(t, nil), fixtures["pipeline"]
	load := Loader(h.Pool, EngineOptions{Timeout: 5 * 60e9})
	v := version(t, nil)
	subject := enginetest.Subject{
		Open: func() (engine.Engine, error) { return load(t.Context(), v) },
		Sample: func(in []engine.Column, i int) {
			in[0].Text[i] = []string{"DE", "PL", "", "XX"}[rand.IntN(4)]
			in[1].Float64[i] = 40 + 9*rand.NormFloat64()
		},
		Spoil:     func(in []engine.Column, i int) { in[0].Text[i] = "\xfe" },
		Tolerance: 1e-12, // rows of a batch share a call, which sums in another order
		Live:      func() int64 { return int64(h.Stats().Prepared) },
	}
	for i := range f.Rows {
		row := f.table(i)
		subject.Golden = append(subject.Golden, enginetest.Golden{
			Write: func(in []engine.Column, j int) { in[0].Text[j], in[1].Float64[j] = row[0].(string), row[1].(float64) },
			Want:  f.P[i],
		})
	}
	enginetest.Run(t, subject)

	t.Run("a row that the estimator refuses is named", func(t *testing.T) {
		e, err := load(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		b, err := e.NewBatch(3)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		b.Inputs()[0].Text[1] = "\xfe" // as where nobody asked Validate
		var named *engine.RowErrors
		if err := b.Run(3); !errors.As(err, &named) || len(named.Rows) != 1 || named.Rows[0].Row != 1 || !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("%v", err)
		}
		if p := b.Outputs()[0].Float64; !(p[0] > 0) || p[0] != p[4] {
			t.Errorf("the other rows have %v", p)
		}
	})
	refused := func(words string, change func(map[string]any)) {
		t.Helper()
		if _, err := load(t.Context(), version(t, change)); !errors.Is(err, engine.ErrLoad) || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
	}
	refused("format is 2", func(d map[string]any) { d["format"] = 2 })
	refused("beside it", func(d map[string]any) { d["estimator"] = "../model.skops" })
	refused("64 hex digits", func(d map[string]any) { d["sha256"] = "" })
	refused("unknown field", func(d map[string]any) { d["more"] = 1 })
	refused("takes the columns", func(d map[string]any) {
		d["columns"] = []map[string]string{{"name": "age", "type": "float64"}, {"name": "country", "type": "text"}}
	})
	if n := h.Stats().Prepared; n != 0 {
		t.Errorf("%d estimators are left in the pool", n)
	}
}
