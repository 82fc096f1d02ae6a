package plan

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// siblings are random plans that begin alike, and one that shares no more than operators with them.
func siblings(r *rand.Rand, rows int) (plans []*sketch, data map[string]any) {
	p, columns := plannedRandomly(r, rows)
	data = map[string]any{}
	for i, c := range columns {
		data[fmt.Sprint("x", i)] = c
	}
	for range 2 + r.IntN(4) {
		of := &sketch{plan: p.s.plan}
		of.plan.Nodes = slices.Clone(p.s.plan.Nodes)
		q := &randomPlanner{Rand: r, s: of, values: slices.Clone(p.values)}
		for range r.IntN(6) {
			q.step()
		}
		q.finish()
		plans = append(plans, of)
	}
	other, columns := randomPlan(r, rows)
	for i := range other.plan.Inputs {
		other.plan.Inputs[i].Name = fmt.Sprint("other", i)
		data[fmt.Sprint("other", i)] = columns[i]
	}
	return append(plans, other), data
}

// written is what a batch gives: the rows that are refused, and the bits of each output of the others.
type written struct {
	outputs [][]uint64
	refused map[int]bool
}

// scoreNamed scores rows whose columns have names.
func scoreNamed(t testing.TB, e engine.Engine, b engine.Batch, data map[string]any, rows int) *engine.RowErrors {
	t.Helper()
	for i, f := range e.Schema().Inputs {
		switch d := data[f.Name].(type) {
		case []float64:
			copy(b.Inputs()[i].Float64, d[:rows*f.Width])
		case []string:
			copy(b.Inputs()[i].Text, d[:rows])
		default:
			t.Fatalf("no data for %q", f.Name)
		}
	}
	several := &engine.RowErrors{}
	if err := b.Run(rows); err != nil && !errors.As(err, &several) {
		t.Fatal(err)
	}
	return several
}

// ofSpan is what a span of the outputs holds; the zero span is all.
func ofSpan(b engine.Batch, several *engine.RowErrors, span engine.Span, rows int) written {
	w := written{refused: map[int]bool{}}
	for _, r := range several.Rows {
		if r.Outputs == span {
			w.refused[r.Row] = true
		}
	}
	columns := b.Outputs()
	if span != (engine.Span{}) {
		columns = columns[span.From:span.To]
	}
	for _, c := range columns {
		var bits []uint64
		for i, x := range c.Float64[:rows*c.Width] {
			if !w.refused[i/c.Width] {
				bits = append(bits, math.Float64bits(x))
			}
		}
		w.outputs = append(w.outputs, bits)
	}
	return w
}

func batchOf(t testing.TB, e engine.Engine, capacity int) engine.Batch {
	t.Helper()
	b, err := e.NewBatch(capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// membersOf opens the plans with the same objects.
func membersOf(t testing.TB, objects *Objects, plans ...*sketch) []engine.Member {
	t.Helper()
	var members []engine.Member
	for i, s := range plans {
		e, err := load(t, s.plan, objects)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		members = append(members, engine.Member{Name: fmt.Sprint("m", i), Engine: e})
	}
	return members
}

func joined(t testing.TB, members []engine.Member) *Joined {
	t.Helper()
	e, err := engine.Join(members)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e.(*Joined)
}

// Joined plans give, bit for bit, what each gives alone, and refuse the same rows.
func TestJoinedIsAlone(t *testing.T) {
	count := 30
	if testing.Short() {
		count = 10
	}
	alone, together, refusals := 0, 0, 0
	for seed := range count {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			const rows = 70
			plans, data := siblings(rand.New(rand.NewPCG(uint64(seed), 11)), rows)
			objects := NewObjects(t.TempDir())
			members := membersOf(t, objects, plans...)
			j := joined(t, members)
			if err := j.Schema().Check(); err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{rows, 1} {
				b := batchOf(t, j, n)
				for range 2 {
					several := scoreNamed(t, j, b, data, n)
					for i, m := range members {
						e := m.Engine.(*Engine)
						own := batchOf(t, e, n)
						want := ofSpan(own, scoreNamed(t, e, own, data, n), engine.Span{}, n)
						got := ofSpan(b, several, j.Parts()[i].Outputs, n)
						if fmt.Sprint(got) != fmt.Sprint(want) {
							t.Fatalf("%d rows: %s gives\n%v\nalone\n%v", n, m.Name, got, want)
						}
						refusals += len(want.refused)
					}
				}
			}
			for _, m := range members {
				alone += len(m.Engine.(*Engine).program.steps)
			}
			together += len(j.program.steps)
		})
	}
	if refusals == 0 || together > alone*5/6 {
		t.Errorf("%d refusals, %d stages of %d; the plans do not try what joining is for", refusals, together, alone)
	}
}

// A row that one plan refuses holds for the others, whichever stages they share.
func TestJoinedFaults(t *testing.T) {
	strict := func(unknown any, k int) *sketch {
		s := &sketch{}
		x, text := s.input(engine.Float64, 2), s.input(engine.Text, 1)
		known := dictionary("a", "b")
		known["codes"] = plantest.Of([]float64{1, 2})
		code := s.node("lookup", map[string]any{"unknown": unknown}, known, text)
		y := s.node("linear", map[string]any{"finite": k == 3}, model(k, 3), s.node("concat", nil, nil, x, code))
		s.output(y)
		return s
	}
	lenient := &sketch{}
	lenient.output(lenient.node("add", nil, vectorOf(1, 1), lenient.input(engine.Float64, 2)))
	objects := NewObjects(t.TempDir())
	j := joined(t, membersOf(t, objects, strict(0.0, 1), strict(nil, 2), strict(0.0, 3), lenient))
	data := map[string]any{"x0": []float64{1, 2, 3, nan, 5, 6, 7, 8}, "x1": []string{"a", "b", "c", "a\xff"}}
	several := scoreNamed(t, j, batchOf(t, j, 4), data, 4)
	var got []string
	for _, r := range several.Rows {
		got = append(got, fmt.Sprintf("%d %v %s", r.Row, r.Outputs, r.Err.Error()[strings.LastIndex(r.Err.Error(), ":")+2:]))
	}
	want := []string{
		"1 {2 3} a number is NaN or infinite", "2 {1 2} a category is not known",
		"3 {0 1} 2 bytes, at most 65536 are allowed", "3 {1 2} 2 bytes, at most 65536 are allowed", "3 {2 3} 2 bytes, at most 65536 are allowed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if parts := j.Parts(); !slices.Equal(parts[3].Inputs, []int{0}) || j.Schema().Outputs[3].Name != "m3/y1" {
		t.Errorf("%v, %v", parts, j.Schema().Outputs)
	}
}

func TestJoinIsRefused(t *testing.T) {
	of := func(typ engine.Type, width int) *sketch {
		s := &sketch{}
		s.output(s.node("cast", map[string]any{"to": "float64"}, nil, s.input(typ, width)))
		return s
	}
	objects := NewObjects(t.TempDir())
	members := membersOf(t, objects, of(engine.Float64, 2), of(engine.Float32, 2))
	others := membersOf(t, NewObjects(t.TempDir()), of(engine.Float64, 2))
	f := func(want string, members ...engine.Member) {
		t.Helper()
		if _, err := engine.Join(members); !errors.Is(err, engine.ErrJoin) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("there are none")
	f(`input "x0" of m0 is float64 of width 2, that of m1 float32 of width 2`, members...)
	f(`the name "m0" is empty or stands twice`, members[0], others[0])
	f("other is no plan of the same objects", members[0], engine.Member{Name: "other", Engine: others[0].Engine})
	_ = members[1].Engine.Close()
	f("is closed", members[0], engine.Member{Name: "closed", Engine: members[1].Engine})
	_, _ = members[0].Engine.Close(), others[0].Engine.Close()
	if n := objects.live(); n != 0 {
		t.Errorf("%d blocks are left", n)
	}
}

// Stages and objects live as long as anyone uses them: plans that are loaded, joined ones, batches.
func TestSharedStagesLive(t *testing.T) {
	objects := NewObjects(t.TempDir())
	r := rand.New(rand.NewPCG(3, 4))
	plans, data := siblings(r, 70)
	var folders []string
	for _, s := range plans {
		folders = append(folders, t.TempDir())
		s.plan.Write(t, folders[len(folders)-1], objects.dir)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 5 {
				var members []engine.Member
				for i, folder := range folders {
					e, err := Loader(objects, Options{})(t.Context(), engine.Version{Model: "m", Number: int64(i), Dir: folder})
					if err != nil {
						t.Error(err)
						return
					}
					members = append(members, engine.Member{Name: fmt.Sprint(i), Engine: e})
				}
				j, err := engine.Join(members)
				if err != nil {
					t.Error(err)
					return
				}
				for _, m := range members {
					if err := m.Engine.Close(); err != nil {
						t.Error(err)
					}
				}
				b, err := j.NewBatch(70)
				if err != nil {
					t.Error(err)
					return
				}
				if err := j.Close(); err == nil {
					t.Error("an engine with an open batch says that it is freed")
				}
				scoreNamed(t, j, b, data, 70)
				b.Close()
			}
		})
	}
	wait.Wait()
	if n := objects.live(); n != 0 {
		t.Errorf("%d blocks are left", n)
	}
	if stages, _ := objects.stages.count(); stages != 0 {
		t.Errorf("%d stages are left", stages)
	}
}

// Plans that are equal own nothing but their programs.
func TestEqualPlansShareStages(t *testing.T) {
	objects := NewObjects(t.TempDir())
	membersOf(t, objects, adult(10))
	stages, bytes := objects.stages.count()
	members := membersOf(t, objects, adult(10), adult(1))
	if again, same := objects.stages.count(); again != stages+2 || same > bytes+4096 { // the linear model, and its link
		t.Errorf("%d stages of %d bytes, after one plan %d of %d", again, same, stages, bytes)
	}
	if n, m := len(joined(t, members).program.steps), len(members[0].Engine.(*Engine).program.steps); n != m+2 {
		t.Errorf("%d stages are joined, one plan has %d", n, m)
	}
}
