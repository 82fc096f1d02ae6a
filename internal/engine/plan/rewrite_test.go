package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// openAs opens the plan, rewritten or as it is written, and returns the ops of its stages too.
func (s *sketch) openAs(t testing.TB, written bool, capacity int) (*scorer, []string) {
	t.Helper()
	objects, folder := NewObjects(t.TempDir()), t.TempDir()
	s.plan.Write(t, folder, objects.dir)
	loaded, err := Loader(objects, Options{AsWritten: written})(t.Context(), engine.Version{Model: "m", Number: 1, Dir: folder})
	if err != nil {
		t.Fatal(err)
	}
	e := loaded.(*Engine)
	t.Cleanup(func() { _ = e.Close() })
	b, err := e.NewBatch(capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	var ops []string
	for _, s := range e.program.steps {
		ops = append(ops, strings.Fields(s.name)[2])
	}
	return &scorer{t, b}, ops
}

// same scores rows with the plan as it is written and rewritten, and wants the same rows refused and the same outputs. It returns
// the ops of both.
func (s *sketch) same(t *testing.T, data []any, rows int, by float64) (written, rewritten []string) {
	t.Helper()
	a, written := s.openAs(t, true, rows)
	b, rewritten := s.openAs(t, false, rows)
	want, wantRefused := a.score(data, rows)
	got, gotRefused := b.score(data, rows)
	if !slices.Equal(wantRefused, gotRefused) {
		t.Errorf("rows %v are refused, as written %v", gotRefused, wantRefused)
	}
	for i := range want {
		width := len(want[i]) / rows
		for row := range rows {
			if w, g := want[i][row*width:(row+1)*width], got[i][row*width:(row+1)*width]; !slices.Contains(wantRefused, row) && !near(g, w, by) {
				t.Errorf("output %d of row %d: %v, as written %v; ops %v and %v", i, row, g, w, rewritten, written)
			}
		}
	}
	return written, rewritten
}

func columns(c ...int) map[string]any { return map[string]any{"columns": c} }

func vectorOf(v ...float64) tensors { return tensors{"value": plantest.Of(v)} }

func model(k, w int) tensors {
	return tensors{"coef": plantest.Of(drawn(k*w, normal), k, w), "intercept": plantest.Of(drawn(k, normal))}
}

func TestRules(t *testing.T) {
	// f builds a plan of the inputs x, 3 columns, y, 1 column, c and d, numbers from 0 to 2; the last of what it builds is the output.
	f := func(name string, build func(s *sketch, x, y, c, d int), by float64, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := &sketch{}
			x, y, c, d := s.input(engine.Float64, 3), s.input(engine.Float64, 1), s.input(engine.Float64, 1), s.input(engine.Float64, 1)
			build(s, x, y, c, d)
			s.output(len(s.plan.Inputs) + len(s.plan.Nodes) - 1)
			const rows = 70
			r := rand.New(rand.NewPCG(1, 2))
			data := []any{drawn(3*rows, holes), drawn(rows, normal), make([]float64, rows), make([]float64, rows)}
			for i := range rows {
				data[2].([]float64)[i], data[3].([]float64)[i] = float64(r.IntN(5)-1), float64(r.IntN(3))
			}
			if _, got := s.same(t, data, rows, by); !slices.Equal(got, want) {
				t.Errorf("stages %v, want %v", got, want)
			}
		})
	}
	sizes := func(n ...int) map[string]any { return map[string]any{"sizes": n} }

	f("equal nodes are one", func(s *sketch, x, y, c, d int) {
		s.node("mean", nil, nil, s.node("add", nil, vectorOf(1, 2, 3), x), s.node("add", nil, vectorOf(1, 2, 3), x), s.node("add", nil, vectorOf(1, 2, 4), x))
	}, 0, "add", "add", "mean")
	f("a node that equals another after its inputs were merged", func(s *sketch, x, y, c, d int) {
		a, b := s.node("missing", nil, nil, x), s.node("missing", nil, nil, x)
		s.node("mean", nil, nil, s.node("add", nil, vectorOf(1, 2, 3), a), s.node("add", nil, vectorOf(1, 2, 3), b))
	}, 0, "missing", "add", "mean")
	f("concats are joined", func(s *sketch, x, y, c, d int) {
		s.node("concat", nil, nil, s.node("concat", nil, nil, x, y), c, s.node("concat", nil, nil, d))
	}, 0, "concat")
	f("selects are joined", func(s *sketch, x, y, c, d int) {
		s.node("select", columns(1, 0), nil, s.node("select", columns(2, 0), nil, x))
	}, 0, "select")
	f("a select that undoes another leaves nothing", func(s *sketch, x, y, c, d int) {
		s.node("missing", nil, nil, s.node("select", columns(1, 2, 0), nil, s.node("select", columns(2, 0, 1), nil, x)))
	}, 0, "missing")
	f("a select of whole parts", func(s *sketch, x, y, c, d int) {
		s.node("select", columns(4, 0, 1, 2), nil, s.node("concat", nil, nil, x, y, c, d))
	}, 0, "concat")
	f("a select of one part", func(s *sketch, x, y, c, d int) {
		s.node("select", columns(2, 1), nil, s.node("concat", nil, nil, x, y, c, d))
	}, 0, "select")
	f("a select that mixes parts stays", func(s *sketch, x, y, c, d int) {
		s.node("select", columns(0, 3, 1, 3), nil, s.node("concat", nil, nil, x, y))
	}, 0, "concat", "select")
	f("a select that leaves out what may refuse a row stays", func(s *sketch, x, y, c, d int) {
		checked := s.node("missing", nil, nil, s.node("finite", map[string]any{"nan": false}, nil, x))
		s.node("select", columns(3), nil, s.node("concat", nil, nil, checked, y))
	}, 0, "finite", "missing", "concat", "select")
	f("a select that keeps what may refuse a row", func(s *sketch, x, y, c, d int) {
		checked := s.node("missing", nil, nil, s.node("finite", map[string]any{"nan": false}, nil, x))
		s.node("select", columns(3, 1), nil, s.node("concat", nil, nil, checked, y))
	}, 0, "finite", "missing", "select", "concat")
	f("a select that would become dense stays", func(s *sketch, x, y, c, d int) {
		s.node("dense", nil, nil, s.node("select", columns(0, 1, 2), nil, s.node("concat", nil, nil, x, s.node("expand", sizes(2), nil, c))))
	}, 0, "expand", "concat", "select", "dense")

	f("numbers fold into a linear", func(s *sketch, x, y, c, d int) {
		scaled := s.node("div", nil, vectorOf(2, 3, 4), s.node("sub", nil, vectorOf(1, -1, 2), x))
		s.node("linear", nil, model(2, 3), s.node("add", nil, vectorOf(1, 2, 3), s.node("mul", nil, vectorOf(1, -2, 0.5), scaled)))
	}, 1e-12, "linear")
	f("a number that is too large does not fold", func(s *sketch, x, y, c, d int) {
		s.node("linear", nil, model(2, 3), s.node("sub", nil, vectorOf(1, 1e8, 2), x))
	}, 1e-12, "sub", "linear")
	f("numbers that are 0 or infinite do not fold", func(s *sketch, x, y, c, d int) {
		s.node("linear", nil, model(2, 3), s.node("mul", nil, vectorOf(1, 0, 2), s.node("div", nil, vectorOf(1, inf, 2), x)))
	}, 1e-12, "div", "mul", "linear")
	for _, k := range []int{1, 2, 5} {
		f(fmt.Sprintf("one-hot columns become tables, k=%d", k), func(s *sketch, x, y, c, d int) {
			hot := s.node("expand", sizes(3, 3), nil, s.node("concat", nil, nil, c, d))
			s.node("linear", map[string]any{"finite": true}, model(k, 10), s.node("concat", nil, nil, x, hot, y))
		}, 1e-12, "concat", "linear")
		f(fmt.Sprintf("dense one-hot columns become tables, k=%d", k), func(s *sketch, x, y, c, d int) {
			hot := s.node("dense", nil, nil, s.node("expand", sizes(2, 4), nil, s.node("concat", nil, nil, c, d)))
			s.node("link", map[string]any{"kind": "sigmoid"}, nil, s.node("linear", nil, model(k, 6), hot))
		}, 1e-12, "linear", "link")
		f(fmt.Sprintf("sparse parts, k=%d", k), func(s *sketch, x, y, c, d int) {
			hot := s.node("mul", nil, vectorOf(2, 3, 4), s.node("expand", sizes(3), nil, c))
			other := s.node("normalize", map[string]any{"norm": "l2"}, nil, s.node("expand", sizes(2), nil, d))
			s.node("linear", nil, model(k, 6), s.node("concat", nil, nil, hot, y, other))
		}, 1e-12, "expand", "normalize", "linear")
	}
	f("a scaler before and after imputing", func(s *sketch, x, y, c, d int) {
		full := s.node("impute", nil, vectorOf(1, 2, 3), s.node("sub", nil, vectorOf(3, 2, 1), x))
		s.node("linear", nil, model(1, 4), s.node("concat", nil, nil, s.node("div", nil, vectorOf(3, 2, 1), full), y))
	}, 1e-12, "sub", "impute", "concat", "linear")
	f("a projection folds into fewer outputs", func(s *sketch, x, y, c, d int) {
		p := s.node("project", map[string]any{"finite": true}, tensors{"matrix": plantest.Of(drawn(6, normal), 2, 3)}, s.node("sub", nil, vectorOf(1, 2, 3), x))
		s.node("linear", nil, model(1, 2), p)
	}, 1e-12, "linear")
	f("a linear of a linear of tables", func(s *sketch, x, y, c, d int) {
		inner := s.node("linear", nil, model(4, 6), s.node("concat", nil, nil, x, s.node("expand", sizes(3), nil, c)))
		s.node("linear", nil, model(3, 4), inner)
	}, 1e-12, "linear")
	f("a linear of a linear that another reads", func(s *sketch, x, y, c, d int) {
		inner := s.node("linear", nil, model(4, 3), x)
		s.node("concat", nil, nil, s.node("linear", nil, model(3, 4), inner), inner)
	}, 1e-12, "linear", "linear", "concat")
	f("a projection does not fold into more", func(s *sketch, x, y, c, d int) {
		s.node("linear", nil, model(3, 2), s.node("project", nil, tensors{"matrix": plantest.Of(drawn(6, normal), 2, 3)}, x))
	}, 1e-12, "project", "linear")
	f("a linear that is compared stays", func(s *sketch, x, y, c, d int) {
		s.node("binarize", map[string]any{"threshold": 0.5}, nil, s.node("linear", nil, model(2, 3), s.node("sub", nil, vectorOf(1, 2, 3), x)))
	}, 0, "sub", "linear", "binarize")
	f("a linear that is rounded stays", func(s *sketch, x, y, c, d int) {
		s.node("function", map[string]any{"name": "floor"}, nil, s.node("linear", nil, model(2, 3), s.node("sub", nil, vectorOf(1, 2, 3), x)))
	}, 0, "sub", "linear", "function")
	f("a linear of an exact plan stays", func(s *sketch, x, y, c, d int) {
		s.plan.Tolerance = 1e-12
		s.node("linear", nil, model(2, 3), s.node("sub", nil, vectorOf(1, 2, 3), x))
	}, 0, "sub", "linear")
	f("a weight that is not finite", func(s *sketch, x, y, c, d int) {
		s.node("linear", nil, tensors{"coef": plantest.Of([]float64{1, inf, nan}, 1, 3), "intercept": plantest.Of([]float64{0})},
			s.node("dense", nil, nil, s.node("expand", sizes(3), nil, c)))
	}, 0, "expand", "dense", "linear")
}

// Rewriting does not change what random plans give.
func TestRewritingRandomPlans(t *testing.T) {
	count := 150
	if testing.Short() {
		count = 20
	}
	stages, less := 0, 0
	for seed := range count {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 5))
			s, data := randomPlan(r, 70)
			written, rewritten := s.same(t, data, 70, 1e-9)
			stages, less = stages+len(written), less+len(written)-len(rewritten)
		})
	}
	if less < stages/10 {
		t.Errorf("of %d stages only %d are gone; the plans do not try the rules", stages, less)
	}
}

// value is a value of a random plan. Codes are whole numbers from -1 to 3.
type value struct {
	number, width int
	sparse, codes bool
}

type randomPlanner struct {
	*rand.Rand
	s      *sketch
	values []value
}

func randomPlan(r *rand.Rand, rows int) (*sketch, []any) {
	p, data := plannedRandomly(r, rows)
	p.finish()
	return p.s, data
}

// plannedRandomly is a random plan without outputs.
func plannedRandomly(r *rand.Rand, rows int) (*randomPlanner, []any) {
	p := &randomPlanner{Rand: r, s: &sketch{}}
	var data []any
	for range 1 + r.IntN(3) {
		w := 1 + r.IntN(5)
		p.values = append(p.values, value{number: p.s.input(engine.Float64, w), width: w})
		x := make([]float64, rows*w)
		for i := range x {
			if x[i] = r.NormFloat64(); r.IntN(40) == 0 {
				x[i] = nan
			}
		}
		data = append(data, x)
	}
	words := []string{"a", "b", "ein langes Wort", "\xFF", "stranger"}
	for range 1 + r.IntN(3) {
		text := p.s.input(engine.Text, 1)
		column := make([]string, rows)
		for i := range column {
			column[i] = words[r.IntN(len(words))]
		}
		data = append(data, column)
		p.values = append(p.values, value{number: text})
	}
	for i, v := range slices.Clone(p.values) { // texts have width 0 until they are looked up
		if v.width > 0 {
			continue
		}
		obj := dictionary(words[:4]...)
		obj["codes"] = plantest.Of([]float64{0, 1, 2, 3})
		unknown := []any{-1.0, nil}[min(r.IntN(4)/3, 1)]
		p.values[i] = value{p.s.node("lookup", map[string]any{"unknown": unknown}, obj, v.number), 1, false, true}
	}
	for range 5 + r.IntN(25) {
		p.step()
	}
	return p, data
}

// pick is a value; later ones are likelier.
func (p *randomPlanner) pick(ok func(value) bool) (value, bool) {
	for range 20 {
		n := len(p.values)
		v := p.values[n-1-min(p.IntN(n), p.IntN(n))]
		if ok(v) {
			return v, true
		}
	}
	return value{}, false
}

func (p *randomPlanner) numbers(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = (0.5 + p.Float64()) * float64(1-2*p.IntN(2))
	}
	return v
}

func (p *randomPlanner) keep(op string, set map[string]any, obj tensors, width int, sparse, codes bool, in ...int) {
	p.values = append(p.values, value{p.s.node(op, set, obj, in...), width, sparse, codes})
}

func isDense(v value) bool { return !v.sparse }

func (p *randomPlanner) step() {
	switch p.IntN(10) {
	case 0, 1:
		var in []int
		width, sparse, codes := 0, false, true
		for range 1 + p.IntN(4) {
			if v, ok := p.pick(func(v value) bool { return width+v.width <= 60 }); ok {
				in, width, sparse, codes = append(in, v.number), width+v.width, sparse || v.sparse, codes && v.codes
			}
		}
		if len(in) > 0 {
			p.keep("concat", nil, nil, width, sparse, codes, in...)
		}
	case 2:
		v, _ := p.pick(func(value) bool { return true })
		if v.width > 0 {
			c := p.Perm(v.width)[:1+p.IntN(v.width)]
			if p.IntN(3) > 0 {
				slices.Sort(c)
			}
			p.keep("select", columns(c...), nil, len(c), v.sparse, v.codes, v.number)
		}
	case 3, 4:
		op := []string{"add", "sub", "mul", "div"}[p.IntN(4)]
		if v, ok := p.pick(func(v value) bool { return !v.sparse || op == "mul" || op == "div" }); ok {
			p.keep(op, nil, vectorOf(p.numbers(v.width)...), v.width, v.sparse, false, v.number)
		}
	case 5:
		if v, ok := p.pick(isDense); ok {
			switch p.IntN(4) {
			case 0:
				p.keep("impute", nil, vectorOf(p.numbers(v.width)...), v.width, false, false, v.number)
			case 1:
				p.keep("function", map[string]any{"name": []string{"tanh", "floor"}[p.IntN(2)]}, nil, v.width, false, false, v.number)
			case 2:
				p.keep("binarize", map[string]any{"threshold": 0.1}, nil, v.width, false, false, v.number)
			case 3:
				p.keep("clip", map[string]any{"low": -1.0, "high": 1.5}, nil, v.width, false, false, v.number)
			}
		}
	case 6, 7:
		if v, ok := p.pick(func(v value) bool { return v.codes && v.width < 8 }); ok {
			sizes := make([]int, v.width)
			width := 0
			for j := range sizes {
				sizes[j] = 1 + p.IntN(4)
				width += sizes[j]
			}
			p.keep("expand", map[string]any{"sizes": sizes}, nil, width, true, false, v.number)
		}
	case 8:
		if v, ok := p.pick(func(v value) bool { return v.sparse }); ok {
			p.keep("dense", nil, nil, v.width, false, false, v.number)
		}
	case 9:
		v, _ := p.pick(func(v value) bool { return v.width > 1 })
		if v.width > 0 {
			p.model(v)
		}
	}
}

func (p *randomPlanner) model(v value) {
	k := 1 + p.IntN(5)
	set := map[string]any{"finite": p.IntN(4) == 0}
	matrix := p.numbers(k * v.width)
	for i := range matrix {
		matrix[i] /= float64(v.width)
	}
	m := plantest.Of(matrix, k, v.width)
	if k == 1 && v.sparse && p.IntN(2) == 0 {
		for i := range matrix {
			matrix[i] *= float64(p.IntN(2))
		}
		p.keep("linear", set, listing(matrix, 0.25), 1, false, false, v.number)
		return
	}
	if p.IntN(2) == 0 {
		p.keep("project", set, tensors{"matrix": m}, k, false, false, v.number)
	} else {
		p.keep("linear", set, tensors{"coef": m, "intercept": plantest.Of(p.numbers(k))}, k, false, false, v.number)
	}
}

// finish adds models of the last values, and outputs.
func (p *randomPlanner) finish() {
	for range 1 + p.IntN(3) {
		v, ok := p.pick(func(v value) bool { return v.width > 0 })
		if !ok {
			v = p.values[0]
		}
		p.model(v)
		p.s.output(p.values[len(p.values)-1].number)
	}
	if v, ok := p.pick(isDense); ok && !slices.ContainsFunc(p.s.plan.Outputs, func(o plantest.Output) bool { return o.Value == v.number }) {
		p.s.output(v.number)
	}
}

// A value may be read by no more than maxInputs others, so parts that would be too many stay together.
func TestRewritingKeepsToMaxInputs(t *testing.T) {
	s := &sketch{}
	x := s.input(engine.Float64, 1)
	var both []int
	for i := range 2 {
		var parts []int
		for j := range 700 {
			parts = append(parts, s.node("add", nil, vectorOf(float64(i*1000+j)/1e6), x))
		}
		both = append(both, s.node("concat", nil, nil, parts...))
	}
	s.output(s.node("linear", nil, model(3, 1400), s.node("concat", nil, nil, both...)))
	s.same(t, []any{drawn(10, normal)}, 10, 1e-11)
}

func TestWithoutARule(t *testing.T) {
	s := &sketch{}
	x := s.input(engine.Float64, 3)
	a, b := s.node("sub", nil, vectorOf(1, 2, 3), x), s.node("sub", nil, vectorOf(1, 2, 3), x)
	s.output(s.node("concat", nil, nil, a, b))
	for _, rule := range append([]string{""}, Rules()...) {
		objects, folder := NewObjects(t.TempDir()), t.TempDir()
		s.plan.Write(t, folder, objects.dir)
		loaded, err := Loader(objects, Options{Without: rule})(t.Context(), engine.Version{Model: "m", Number: 1, Dir: folder})
		if err != nil {
			t.Fatal(err)
		}
		for _, fired := range loaded.(*Engine).Describe().Rules {
			if fired.Rule == rule {
				t.Errorf("%q was tried", rule)
			}
		}
		if stages := len(loaded.(*Engine).program.steps); (stages == 3) != (rule == "merge equal") {
			t.Errorf("without %q there are %d stages", rule, stages)
		}
		if err := loaded.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
