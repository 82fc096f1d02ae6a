package plan

import (
	"maps"
	"math"
	"strings"
	"testing"
	"unsafe"

	"gavel/internal/engine"
)

// arrayOf is an object of values, in C memory, as mapped ones are.
func arrayOf[T uint8 | int32 | uint32 | float64](m *memory, of ObjectType, sum string, values []T, dims ...int) *Object {
	in := array[T](m, max(len(values), 1))
	copy(in, values)
	var t T
	if dims == nil {
		dims = []int{len(values)}
	}
	return &Object{sum: sum, of: of, dims: dims, data: unsafe.Slice((*byte)(unsafe.Pointer(&in[0])), len(values)*int(unsafe.Sizeof(t)))}
}

// stump is a node of two trees: x0 <= 1 ? 10 : (x1 in {0, 33} ? 20 : 30), and 5.
func stump(m *memory, change func(objects map[string]*Object, set map[string]any)) *node {
	objects := map[string]*Object{
		"roots": arrayOf(m, Int32, "r", []int32{0, 5}), "feature": arrayOf(m, Int32, "f", []int32{0, -1, 1, -1, -1, -1}),
		"threshold": arrayOf(m, Float64, "t", []float64{1, 0, 0, 0, 0, 0}),
		"left":      arrayOf(m, Int32, "l", []int32{1, -1, 3, -1, -1, -1}), "right": arrayOf(m, Int32, "i", []int32{2, -1, 4, -1, -1, -1}),
		"leaf": arrayOf(m, Int32, "e", []int32{-1, 0, -1, 1, 2, 3}), "flags": arrayOf(m, Uint8, "g", []uint8{4, 0, 8, 0, 0, 0}),
		"bits": arrayOf(m, Uint32, "b", []uint32{1, 2}), "bit_start": arrayOf(m, Int32, "s", []int32{0, 0, 0, 0, 0, 0}),
		"bit_count": arrayOf(m, Int32, "c", []int32{0, 0, 2, 0, 0, 0}),
		"values":    arrayOf(m, Float64, "v", []float64{10, 20, 30, 5}, 4, 1), "base": arrayOf(m, Float64, "a", []float64{0}),
	}
	set := map[string]any{"compare": "le"}
	if change != nil {
		change(objects, set)
	}
	n := &node{op: "trees", at: "test", in: []kind{dense(2)}, set: set, obj: map[string]string{}, objects: objects, asked: map[string]bool{}}
	for name, o := range objects {
		n.obj[name] = o.sum
	}
	return n
}

func TestTreesRefuse(t *testing.T) {
	f := func(name string, change func(objects map[string]*Object, set map[string]any), want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var m memory
			defer m.free()
			n := stump(&m, change)
			checkTrees(n)
			err := n.finish()
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
	put := func(name string, at int, value int32) func(map[string]*Object, map[string]any) {
		return func(objects map[string]*Object, _ map[string]any) { values[int32](objects[name])[at] = value }
	}
	f("what is right", nil, "")
	f("a child before its parent", put("left", 2, 1), "node 2 has the child 1, which is not in (2, 6)")
	f("a child beyond the nodes", put("right", 0, 6), "node 0 has the child 6")
	f("one child of two nodes", put("right", 2, 3), "node 3 is a root or the child of two nodes")
	f("a root as a child", put("right", 2, 5), "node 5 is a root or the child of two nodes")
	f("two trees of one root", put("roots", 1, 0), "node 0 is the root of two trees")
	f("a root beyond the nodes", put("roots", 1, 6), "the root of tree 1 is node 6 of 6")
	f("a node of no tree", put("roots", 0, 2), "node 0 is in no tree")
	f("a column beyond the width", put("feature", 0, 2), "node 0 reads column 2 of 2")
	f("a feature below -1", put("feature", 0, -2), "node 0 reads column -2 of 2")
	f("a row beyond the values", put("leaf", 5, 4), "leaf 5 is row 4 of 4 rows")
	f("a leaf without values", put("leaf", 1, -1), "leaf 1 is row -1")
	f("a node with values", put("leaf", 0, 0), "node 0 has children and the leaf 0")
	f("a set beyond the bits", put("bit_start", 2, 1), "the set of node 2 is words 1 to 3 of 2")
	f("a set of less than nothing", put("bit_count", 2, -1), "the set of node 2 is words 0 to -1 of 2")
	f("a set that starts at most", put("bit_start", 2, math.MaxInt32), "the set of node 2")
	f("a threshold that is NaN", func(o map[string]*Object, _ map[string]any) { values[float64](o["threshold"])[0] = math.NaN() },
		"the threshold of node 0 is NaN")
	f("an unknown flag", func(o map[string]*Object, _ map[string]any) { values[uint8](o["flags"])[0] = 32 }, "node 0 has unknown flags 32")
	f("two routes of NaN", func(o map[string]*Object, set map[string]any) {
		values[uint8](o["flags"])[0], set["nan"] = 2, false
	}, "at node 0 zero is missing, and NaN compares as false")
	f("no sets", func(o map[string]*Object, _ map[string]any) {
		maps.DeleteFunc(o, func(name string, _ *Object) bool { return strings.HasPrefix(name, "bit") })
	}, "node 2 is categorical, and there are no sets")
	f("bits alone", func(o map[string]*Object, _ map[string]any) { delete(o, "bit_count") }, `object "bit_count" is missing`)
	f("a tree's column beyond the base", func(_ map[string]*Object, set map[string]any) { set["columns"] = []any{int64(0), int64(1)} },
		`setting "columns" holds 1 at 1, must be integers in [0, 0]`)
	f("columns of too few trees", func(_ map[string]*Object, set map[string]any) { set["columns"] = []any{int64(0)} },
		"must be a list of 2 integers")
	f("values wider than the base", func(o map[string]*Object, _ map[string]any) { o["values"].dims = []int{2, 2} },
		"they must have the same width")
	f("divided by nothing", func(_ map[string]*Object, set map[string]any) { set["divide"] = 0.0 }, `setting "divide" is 0`)
}

// Two programs, and both operators, share a forest as long as one of them uses it.
func TestForestsAreShared(t *testing.T) {
	var objects, first, second memory
	defer objects.free()
	made := func(m *memory, check func(*node) (kind, build), width int, of engine.Type) unsafe.Pointer {
		t.Helper()
		n := stump(&objects, nil)
		n.in[0] = kind{of: of, width: width}
		_, build := check(n)
		if err := n.finish(); err != nil {
			t.Fatal(err)
		}
		return *(*unsafe.Pointer)(build(m).params) // the forest is the first member
	}
	a := made(&first, checkTrees, 2, engine.Float64)
	if b := made(&second, checkLeaves, 2, engine.Float32); a != b {
		t.Error("equal trees of another operator and type have another forest")
	}
	if b := made(&second, checkTrees, 3, engine.Float64); a == b {
		t.Error("trees over three columns have the forest of two")
	}
	if got := len(forests.of); got != 2 {
		t.Errorf("%d forests, want 2", got)
	}
	first.free()
	if got := len(forests.of); got != 2 {
		t.Errorf("%d forests after one program is gone, want 2", got)
	}
	second.free()
	if got := len(forests.of); got != 0 {
		t.Errorf("%d forests are left", got)
	}
}
