package plan

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// live counts what plans hold outside Go's heap: objects, C memory, plans, runs.
func (s *Objects) live() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs.mu.Lock()
	defer s.runs.mu.Unlock()
	return int64(len(s.open)+len(s.runs.idle)+s.runs.plans) + liveBlocks.Load()
}

// logistic is two columns of three, one of text's length is none: select, join with others, and classify.
func logistic() plantest.Plan {
	return plantest.Plan{
		Inputs: []plantest.Input{{Name: "x", Type: "float64", Width: 3}, {Name: "y", Type: "float64", Width: 1}},
		Nodes: []plantest.Node{
			{Op: "select", In: []int{0}, Set: map[string]any{"columns": []int{2, 0}}, At: "columns"},
			{Op: "select", In: []int{1}, Set: map[string]any{"columns": []int{0}}, At: "nobody needs it"},
			{Op: "concat", In: []int{2, 1}, At: "join"},
			{Op: "linear", In: []int{4}, Set: map[string]any{"finite": true}, At: "steps[1] classifier: LogisticRegression",
				Obj: map[string]plantest.Tensor{"coef": plantest.Of([]float64{1, -2, 0.5}, 1, 3), "intercept": plantest.Of([]float64{0.25})}},
			{Op: "link", In: []int{5}, Set: map[string]any{"kind": "binary"}, At: "steps[1] classifier: LogisticRegression"},
		},
		Outputs: []plantest.Output{{Name: "probability", Value: 6}, {Name: "margin", Value: 5}},
		Labels:  []any{"no", "yes"},
		Source:  "a test",
	}
}

// opened writes a plan and opens it.
func opened(t testing.TB, p plantest.Plan) (*Engine, *Objects) {
	t.Helper()
	objects := NewObjects(t.TempDir())
	e, err := load(t, p, objects)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e, objects
}

func load(t testing.TB, p plantest.Plan, objects *Objects) (*Engine, error) {
	t.Helper()
	return loadAs(t, p, objects, "m")
}

func loadAs(t testing.TB, p plantest.Plan, objects *Objects, model string) (*Engine, error) {
	t.Helper()
	folder := t.TempDir()
	p.Write(t, folder, objects.dir)
	e, err := Loader(objects, Options{})(t.Context(), engine.Version{Model: model, Number: 1, Dir: folder})
	if err != nil {
		return nil, err
	}
	return e.(*Engine), nil
}

func TestScores(t *testing.T) {
	e, _ := opened(t, logistic())
	b, err := e.NewBatch(200)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range 200 {
		copy(b.Inputs()[0].Float64[3*i:], []float64{float64(i), 7, 1})
		b.Inputs()[1].Float64[i] = 2
	}
	if err := b.Run(150); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		margin, p := 0.0, 0.0
		if i < 150 {
			margin = 1 - 2*float64(i) + 1 + 0.25
			p = 1 / (1 + math.Exp(-margin))
		}
		if got := b.Outputs()[1].Float64[i]; got != margin {
			t.Errorf("row %d: margin %v, want %v", i, got, margin)
		}
		if got := b.Outputs()[0].Float64[2*i+1]; math.Abs(got-p) > 1e-15 {
			t.Errorf("row %d: probability %v, want %v", i, got, p)
		}
	}
}

func TestRowErrors(t *testing.T) {
	e, _ := opened(t, logistic())
	b, err := e.NewBatch(130)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.Inputs()[1].Float64[3] = math.NaN()
	b.Inputs()[1].Float64[129] = math.Inf(1)
	var several *engine.RowErrors
	if err := b.Run(130); !errors.As(err, &several) {
		t.Fatal(err)
	}
	if len(several.Rows) != 2 || several.Rows[0].Row != 3 || several.Rows[1].Row != 129 {
		t.Error(several.Rows)
	}
	if want := "node 3 linear (steps[1] classifier: LogisticRegression): a number is NaN or infinite"; !strings.Contains(several.Rows[0].Error(), want) {
		t.Errorf("%v lacks %q", several.Rows[0].Error(), want)
	}
	if got := b.Outputs()[1].Float64[128]; got != 0.25 {
		t.Errorf("a row beside one at fault gives %v", got)
	}
	b.Inputs()[1].Float64[3] = 0
	if err := b.Run(129); err != nil {
		t.Error(err)
	}
}

func TestUnusedNodesAreDropped(t *testing.T) {
	e, _ := opened(t, logistic())
	if n := len(e.program.steps); n != 4 {
		t.Errorf("%d stages, want 4", n)
	}
}

func TestLoaderEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Loader(NewObjects(""), Options{})(ctx, engine.Version{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
