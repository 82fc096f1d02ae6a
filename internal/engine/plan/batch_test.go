package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// words is a plan that gives the number of a text: 1 to 3, 0 where it is unknown.
func words() plantest.Plan {
	s := &sketch{}
	s.input(engine.Text, 1)
	other := s.input(engine.Text, 1)
	known := dictionary("eins", "zwei", missing)
	known["codes"] = plantest.Of([]float64{1, 2, 3})
	s.output(s.node("lookup", map[string]any{"unknown": 0.0}, known, other))
	return s.plan
}

func TestTexts(t *testing.T) {
	objects := NewObjects(t.TempDir())
	folder := t.TempDir()
	words().Write(t, folder, objects.dir)
	loaded, err := Loader(objects, Options{MaxText: 100})(t.Context(), engine.Version{Model: "m", Number: 1, Dir: folder})
	if err != nil {
		t.Fatal(err)
	}
	e := loaded.(*Engine)
	defer e.Close()
	b, err := e.NewBatch(70)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	first, texts := b.Inputs()[0].Text, b.Inputs()[1].Text
	for i := range texts {
		texts[i] = []string{"eins", "zwei", missing, strings.Repeat("ä", 50), ""}[i%5]
	}
	first[7], texts[20], texts[69] = strings.Repeat("x", 101), "zwei\xff", strings.Repeat("ä", 51)
	for round := range 2 {
		err = b.Run(70)
		var several *engine.RowErrors
		if !errors.As(err, &several) || len(several.Rows) != 3 {
			t.Fatal(err)
		}
		for k, want := range []engine.RowError{
			{Row: 7, Err: errors.New(`input "x0": the text is too long: 101 bytes, at most 100 are allowed`)},
			{Row: 20, Err: errors.New(`input "x1": the text is not UTF-8: 5 bytes`)},
			{Row: 69, Err: errors.New(`input "x1": the text is too long: 102 bytes`)},
		} {
			got := several.Rows[k]
			if got.Row != want.Row || !strings.Contains(got.Error(), want.Err.Error()) || e.Validate(b.Inputs(), got.Row) == nil {
				t.Errorf("round %d: %v, want %v", round, &got, &want)
			}
		}
		for i, got := range b.Outputs()[0].Float64[:69] {
			if want := float64([]int{1, 2, 3, 0, 0}[i%5]); i != 7 && i != 20 && got != want {
				t.Errorf("round %d: row %d gives %v, want %v", round, i, got, want)
			}
		}
	}
	first[7], texts[20], texts[69] = "", "zwei", "eins"
	if err := errors.Join(b.Run(70), e.Validate(b.Inputs(), 20)); err != nil || b.Outputs()[0].Float64[69] != 1 {
		t.Errorf("mended rows: %v", err)
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	for _, p := range []plantest.Plan{logistic(), everything(), words()} {
		e, _ := opened(t, p)
		b, err := e.NewBatch(128)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		for _, c := range b.Inputs() {
			for i := range c.Text {
				c.Text[i] = "Abc ein längerer Text"
			}
		}
		if n := testing.AllocsPerRun(50, func() {
			if err := b.Run(128); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations a run", n)
		}
	}
}

func TestBatchLimits(t *testing.T) {
	e, _ := opened(t, logistic())
	f := func(capacity int, want string) {
		t.Helper()
		if _, err := e.NewBatch(capacity); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a batch of %d rows: %v", capacity, err)
		}
	}
	f(0, "use 1 to")
	f(1<<30, "use 1 to")
	b, err := e.NewBatch(2)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Run(0) == nil || b.Run(3) == nil {
		t.Error("a run of no row, or of more than there are")
	}
}

func TestSamplesAreGoldenRows(t *testing.T) {
	e, _ := opened(t, words())
	row := []engine.Column{{Type: engine.Text, Width: 1, Text: []string{"before"}}, {Type: engine.Text, Width: 1, Text: []string{"before"}}}
	if e.Sample(row, 0); row[1].Text[0] != "before" {
		t.Error("an engine that was given no rows made one up")
	}
	e.TakeSamples(engine.Samples{Columns: []engine.Column{{Type: engine.Text, Width: 1, Text: []string{"a", "b"}}, {Type: engine.Text, Width: 1, Text: []string{"c", "d"}}}, Rows: 2})
	for range 20 {
		if e.Sample(row, 0); !slices.Contains([]string{"ac", "bd"}, row[0].Text[0]+row[1].Text[0]) {
			t.Error(row)
		}
	}
}

// Values that are needed at the same time have places of their own, others share.
func TestLayout(t *testing.T) {
	steps := func(reads ...[]int) *checked {
		g := &checked{inputs: []engine.Field{{Name: "x", Type: engine.Float64, Width: 1}}, gives: []int{len(reads)}}
		for _, from := range reads {
			g.steps = append(g.steps, step{reads: from, kind: dense(2)})
		}
		return g
	}
	const size = 8 * 2 * tile
	f := func(name string, g *checked, want ...int64) {
		t.Helper()
		offsets, total, err := g.layout(nil)
		if err != nil || !slices.Equal(offsets, want) || total != slices.Max(want)+size {
			t.Errorf("%s: %v of %d, %v; want %v", name, offsets, total, err, want)
		}
	}
	f("a chain", steps([]int{0}, []int{1}, []int{2}, []int{3}), 0, size, 0, size)
	f("a value that is needed later", steps([]int{0}, []int{1}, []int{2}, []int{1, 3}), 0, size, 2*size, size)
	f("read twice by one", steps([]int{0}, []int{1, 1}, []int{2}), 0, size, 0)
	wide := steps([]int{0})
	wide.steps[0].kind = dense(maxWidth)
	if _, _, err := wide.layout(nil); err == nil || !strings.Contains(err.Error(), "does not fit into the 256 MiB") {
		t.Error(err)
	}
}
