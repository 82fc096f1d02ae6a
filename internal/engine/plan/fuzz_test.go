package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

func sumOf(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// everything is a plan with operators of every group whose objects hold what C follows: dictionaries, tables, trees.
func everything() plantest.Plan {
	s := &sketch{}
	text, x, rows := s.input(engine.Text, 1), s.input(engine.Float64, 2), s.input(engine.Int32, 3)
	grams := s.node("ngrams", map[string]any{"analyzer": "char", "low": 1, "high": 3, "binary": false}, with(alphabet(nil), "", dictionary("a", "ab", "abc", "b")),
		s.node("lower", nil, alphabet(nil), text))
	grams = s.node("tfidf", map[string]any{"sublinear": true}, tensors{"idf": plantest.Of([]float64{1, 2, 3, 4})}, grams)
	known := dictionary("a", "ein längerer Text")
	known["codes"] = plantest.Of([]float64{0, 1})
	code := s.node("lookup", map[string]any{"unknown": 1.0}, known, text)
	table := s.node("gather", nil, tensors{"table": plantest.Of([]float64{1, 2, 3, 4}, 2, 2)}, code)
	hot := s.node("expand", map[string]any{"sizes": []int{3}}, nil, code)
	bins := s.node("bins", map[string]any{"counts": []int{2, 1}}, tensors{"edges": plantest.Of([]float64{-1, 1, 0})}, x)
	all := s.node("concat", nil, nil, grams, table, hot, bins)
	trees := s.node("trees", map[string]any{"compare": "le"}, tensors{
		"roots": plantest.Of([]int32{0, 3}), "feature": plantest.Of([]int32{0, -1, -1, -1}), "threshold": plantest.Of([]float64{0.5, 0, 0, 0}),
		"left": plantest.Of([]int32{1, -1, -1, -1}), "right": plantest.Of([]int32{2, -1, -1, -1}), "leaf": plantest.Of([]int32{-1, 0, 1, 1}),
		"flags": plantest.Of([]uint8{4, 0, 0, 0}), "bits": plantest.Of([]uint32{}), "bit_start": plantest.Of(make([]int32, 4)),
		"bit_count": plantest.Of(make([]int32, 4)), "values": plantest.Of([]float64{1, 2}, 2, 1), "base": plantest.Of([]float64{0.5}),
	}, x)
	y := s.node("linear", nil, model(2, 11), all)
	s.output(s.node("link", map[string]any{"kind": "softmax"}, nil, y))
	s.output(trees)
	s.output(s.node("linear", nil, listing([]float64{0, 1.5, 0, -2}, 1), grams))
	for _, m := range []indexed{{op: "indices_linear", fields: 3, n: 3}, {op: "fm", fields: 3, n: 3, k: 9}, {op: "deepfm", fields: 3, n: 3, k: 2, layers: []int{17, 3}}} {
		s.output(s.node(m.op, m.set(), m.objects(), rows))
	}
	return s.plan
}

// ofLines is a plan of the operators that read lines of CSV, and of those that make texts.
func ofLines() plantest.Plan {
	s := &sketch{}
	text := s.input(engine.Text, 1)
	line := s.node("csv", lines(2, 0, 1), nil, s.node("replace_characters", nil, replacements(), text))
	whole := s.node("parse", map[string]any{"to": "int32"}, nil, s.node("select", columns(1), nil, line))
	s.output(s.node("concat", nil, nil, s.column(line, 0), s.node("cast", map[string]any{"to": "float64"}, nil, whole)))
	return s.plan
}

// scoreAll runs some rows through whatever was loaded.
func scoreAll(t *testing.T, e engine.Engine) {
	b, err := e.NewBatch(70)
	if err != nil {
		return // a row that is too large
	}
	defer b.Close()
	texts := []string{"", "Abc ab", "\xff", "ein längerer Text", "ΑΣ", "\u0130", "1.5,2", "\"1e400\",\"\""}
	for k := range b.Inputs() {
		c := &b.Inputs()[k]
		for i := range c.Text {
			c.Text[i] = texts[i%len(texts)]
		}
		for i := range c.Float64 {
			c.Float64[i] = float64(i%7) - 3
		}
		for i := range c.Int32 {
			c.Int32[i] = int32(i%7) - 3
		}
	}
	var several *engine.RowErrors
	if err := b.Run(70); err != nil && !errors.As(err, &several) {
		t.Error(err)
	}
}

// fuzzed opens a plan whose objects lie in a directory, runs it if it is sound, and checks that nothing is left behind.
func fuzzed(t *testing.T, plan []byte, objects *Objects) (opened bool) {
	document, err := decode(plan)
	if err != nil {
		return false
	}
	before := objects.live()
	h := objects.hold("fuzzed")
	e, err := assemble(document, h, Options{MaxText: 1 << 16})
	if err != nil {
		h.release()
	} else {
		if err := e.schema.Check(); err != nil {
			t.Error(err)
		}
		scoreAll(t, e)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := objects.live() - before; n != 0 {
		t.Errorf("%d are left behind", n)
	}
	return err == nil
}

// kept opens objects and leaves them open: plans that name them find them mapped and checked, so that far more are tried.
func kept(f *testing.F, files map[string][]byte, objects *Objects) {
	h := objects.hold("kept")
	f.Cleanup(h.release)
	for sum := range files {
		if _, err := h.get(sum); err != nil {
			f.Fatal(err)
		}
	}
}

func FuzzPlan(f *testing.F) {
	objects := NewObjects(f.TempDir())
	for _, p := range []plantest.Plan{logistic(), everything(), ofLines()} {
		p.Write(f, f.TempDir(), objects.dir)
		plan, files := p.Encode()
		kept(f, files, objects)
		f.Add(plan)
	}
	f.Fuzz(func(t *testing.T, plan []byte) { fuzzed(t, plan, objects) })
}

// FuzzContent changes the values of an object, under a sum that holds. A plan either refuses it or runs.
func FuzzContent(f *testing.F) {
	plan, files := everything().Encode()
	names := make([]string, 0, len(files))
	objects := NewObjects(f.TempDir())
	for name, file := range files {
		names = append(names, name)
		if err := os.WriteFile(filepath.Join(objects.dir, name), file, 0o644); err != nil {
			f.Fatal(err)
		}
	}
	slices.Sort(names)
	for i := range names {
		f.Add(i, 0, uint64(0))
		f.Add(i, 3, ^uint64(0))
		f.Add(i, 8, uint64(1)<<31)
	}
	if !bytes.Contains(plan, []byte(names[0])) {
		f.Fatal("the plan does not name its objects")
	}
	kept(f, files, objects)
	f.Fuzz(func(t *testing.T, i, at int, value uint64) {
		name := names[uint(i)%uint(len(names))]
		file := slices.Clone(files[name])
		if values := file[objectHeader:]; len(values) > 0 {
			for k := range min(8, len(values)) {
				values[(uint(at)+uint(k))%uint(len(values))] = byte(value >> (8 * k))
			}
		}
		sum := sumOf(file)
		path := filepath.Join(objects.dir, sum)
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		fuzzed(t, bytes.ReplaceAll(plan, []byte(name), []byte(sum)), objects)
		if files[sum] == nil {
			_ = os.Remove(path)
		}
	})
}

// No stage is built of a plan with a fault, wherever the fault is.
func TestUnvalidatedPlansNeverRun(t *testing.T) {
	built := 0
	operators["probe"] = operator{1, 1, func(n *node) (kind, build) {
		n.dense()
		o := n.object("index", Int32, -1)
		n.content(o, "probe", func() error { return o.below("index", 0, 2) })
		k, b := operators["missing"].check(n)
		return k, func(m *memory) stage { built++; return b(m) }
	}}
	defer delete(operators, "probe")
	probe := func(index int32) plantest.Node {
		return plantest.Node{Op: "probe", In: []int{0}, Obj: tensors{"index": plantest.Of([]int32{0, index})}, At: "probe"}
	}
	f := func(name, want string, nodes ...plantest.Node) {
		t.Helper()
		p := plantest.Plan{Inputs: []plantest.Input{{Name: "x", Type: "float64", Width: 1}}, Nodes: nodes, Outputs: []plantest.Output{{Name: "y", Value: 1}}}
		objects := NewObjects(t.TempDir())
		_, err := load(t, p, objects)
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) || !errors.Is(err, engine.ErrLoad) || built > 0 {
			t.Errorf("%s: %v, want %q; %d stages were built", name, err, want, built)
		}
		if len(objects.open) > 0 {
			t.Errorf("%s: objects are left open", name)
		}
	}
	f("content", `node 0 probe (probe): object "index" holds 2 at 1, must be in [0, 2)`, probe(2))
	f("another node", "there is no operator of that name", probe(1), plantest.Node{Op: "eval", In: []int{0}, At: "other"})
	f("a node that nothing needs", "setting \"more\" is unknown", probe(1), plantest.Node{Op: "missing", In: []int{0}, Set: map[string]any{"more": 1}, At: "other"})
	f("too many inputs", "it reads 2 values, must be 1 to 1", probe(1), plantest.Node{Op: "missing", In: []int{0, 0}, At: "other"})
	p := plantest.Plan{Inputs: []plantest.Input{{Name: "x", Type: "float64", Width: 1}}, Nodes: []plantest.Node{probe(1)}, Outputs: []plantest.Output{{Name: "y", Value: 1}}}
	if opened(t, p); built != 1 {
		t.Error("the probe is not built where all is sound, so this test proves nothing")
	}
}
