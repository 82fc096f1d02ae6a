package plan

// #include "trees.h"
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"gavel/internal/engine"
)

func init() {
	add("trees", operator{1, 1, checkTrees})
	add("leaves", operator{1, 1, checkLeaves})
}

// ensemble is what `trees` and `leaves` share: the trees, and how their nodes compare.
type ensemble struct {
	trees, valueWidth, outputs int
	values, base               *Object
	arrays                     map[string]*Object
	width                      int
	less, nanFalse             bool
	accepts                    C.uint8_t
	key                        string // names all that its forest is made of
}

// treeArrays are the objects of a forest, in the order of its key. Those of bits are there together, or not at all.
var treeArrays = []string{"roots", "feature", "threshold", "left", "right", "leaf", "flags", "values", "bits", "bit_start", "bit_count"}

var accepts = map[string]C.uint8_t{"any": C.GV_ANY, "no_infinity": C.GV_NO_INFINITY, "finite": C.GV_FINITE}

func checkEnsemble(n *node) *ensemble {
	n.dense(engine.Float64, engine.Float32)
	roots, feature := n.object("roots", Int32, -1), n.object("feature", Int32, -1)
	nodes := feature.dims[0]
	e := &ensemble{
		trees: roots.dims[0], width: n.in[0].width,
		values: n.object("values", Float64, -1, -1), base: n.object("base", Float64, -1),
		arrays: map[string]*Object{
			"roots": roots, "feature": feature, "threshold": n.object("threshold", Float64, nodes),
			"left": n.object("left", Int32, nodes), "right": n.object("right", Int32, nodes), "leaf": n.object("leaf", Int32, nodes),
			"flags": n.object("flags", Uint8, nodes),
		},
		less: n.word("compare", "le", "lt") == "lt", nanFalse: n.has("nan") && !n.flag("nan"),
	}
	if n.has("accepts") {
		e.accepts = accepts[n.word("accepts", "any", "no_infinity", "finite")]
	}
	e.arrays["values"] = e.values
	e.valueWidth, e.outputs = e.values.dims[1], e.base.dims[0]
	if n.hasObject("bits") || n.hasObject("bit_start") || n.hasObject("bit_count") {
		e.arrays["bits"] = n.object("bits", Uint32, -1)
		e.arrays["bit_start"], e.arrays["bit_count"] = n.object("bit_start", Int32, nodes), n.object("bit_count", Int32, nodes)
	}
	var key strings.Builder
	fmt.Fprintf(&key, "trees of %d columns, lt %t, nan %t", e.width, e.less, !e.nanFalse)
	for _, name := range treeArrays {
		if o := e.arrays[name]; o != nil {
			fmt.Fprintf(&key, ", %s %s", name, o.sum)
		}
	}
	e.key = key.String()
	n.content(feature, e.key, func() error {
		why := make([]byte, 300)
		source := e.source()
		if C.gv_forest_check(&source, (*C.char)(unsafe.Pointer(&why[0])), C.size_t(len(why))) == 0 {
			return errors.New(sentence(why))
		}
		return nil
	})
	return e
}

// source is what C reads of the objects.
func (e *ensemble) source() C.gv_forest_source {
	ints := func(name string) *C.int32_t {
		if o := e.arrays[name]; o != nil {
			return (*C.int32_t)(o.pointer())
		}
		return nil
	}
	s := C.gv_forest_source{
		trees: C.int32_t(e.trees), nodes: C.int32_t(e.arrays["feature"].dims[0]), leaf_rows: C.int32_t(e.values.dims[0]),
		value_width: C.int32_t(e.valueWidth), width: C.int32_t(e.width),
		roots: ints("roots"), feature: ints("feature"), left: ints("left"), right: ints("right"), leaf: ints("leaf"),
		bit_start: ints("bit_start"), bit_count: ints("bit_count"),
		threshold: (*C.double)(e.arrays["threshold"].pointer()), flags: (*C.uint8_t)(e.arrays["flags"].pointer()),
		values: (*C.double)(e.values.pointer()),
	}
	if bits := e.arrays["bits"]; bits != nil {
		s.words, s.bits = C.int32_t(bits.dims[0]), (*C.uint32_t)(bits.pointer())
	}
	if e.less {
		s.less = 1
	}
	if e.nanFalse {
		s.nan_false = 1
	}
	return s
}

// stage is the ensemble's stage, without what is particular to one of the two operators.
func (e *ensemble) stage(m *memory) (stage, *C.gv_trees) {
	p := params[C.gv_trees](m)
	p.forest = forests.take(e)
	m.later(func() { forests.release(e.key) })
	m.bytes += int64(p.forest.bytes) // each program that shares it counts it
	p.divide, p.accepts = 1, e.accepts
	return stage{unsafe.Pointer(C.gv_trees_run), unsafe.Pointer(p)}, p
}

func checkTrees(n *node) (kind, build) {
	e := checkEnsemble(n)
	if e.outputs < 1 {
		n.fault("object \"base\" is empty")
	}
	var columns []int
	use := C.GV_SUM_ONE
	if n.has("columns") {
		use = C.GV_SUM_COLUMNS
		if columns = n.integers("columns", e.trees, 0, e.outputs-1); e.valueWidth != 1 {
			n.fault("object \"values\" is %v, must have one column if set \"columns\" is there", e.values)
		}
	} else if e.valueWidth != e.outputs {
		n.fault("object \"values\" is %v, and object \"base\" %v: they must have the same width", e.values, e.base)
	} else if e.outputs > 1 {
		use = C.GV_SUM_ROWS
	}
	divide := 1.0
	if n.has("divide") {
		if divide = n.float("divide"); !(divide > 0) {
			n.fault("setting \"divide\" is %v, must be above 0", divide)
		}
	}
	single := n.has("precision") && n.word("precision", "float64", "float32") == "float32"
	return dense(e.outputs), func(m *memory) stage {
		s, p := e.stage(m)
		p.values, p.base = (*C.double)(e.values.pointer()), (*C.double)(e.base.pointer())
		p.columns = copiedInts(m, columns)
		p.outputs, p.divide, p.use = C.int32_t(e.outputs), C.double(divide), C.uint8_t(use)
		if single {
			p.single = 1
		}
		return s
	}
}

func checkLeaves(n *node) (kind, build) {
	e := checkEnsemble(n)
	return dense(e.trees), func(m *memory) stage {
		s, p := e.stage(m)
		p.outputs, p.use = C.int32_t(e.trees), C.GV_NUMBERS
		return s
	}
}

// forests are the layouts that stages run, made once for all programs of the process that use the same trees in the same way.
var forests = forestCache{of: map[string]*sharedForest{}}

type forestCache struct {
	mu sync.Mutex // guards of; held while a forest is built, so that none is built twice
	of map[string]*sharedForest
}

type sharedForest struct {
	forest *C.gv_forest
	users  int
}

// take returns the forest of a checked ensemble. Each take needs a release.
func (c *forestCache) take(e *ensemble) *C.gv_forest {
	c.mu.Lock()
	defer c.mu.Unlock()
	shared := c.of[e.key]
	if shared == nil {
		why := make([]byte, 300)
		source := e.source()
		forest := C.gv_forest_build(&source, (*C.char)(unsafe.Pointer(&why[0])), C.size_t(len(why)))
		if forest == nil {
			panic("plan: cannot lay out checked trees: " + sentence(why)) // out of memory
		}
		shared = &sharedForest{forest: forest}
		c.of[e.key] = shared
	}
	shared.users++
	return shared.forest
}

func (c *forestCache) release(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shared := c.of[key]
	if shared.users--; shared.users == 0 {
		C.gv_forest_free(shared.forest)
		delete(c.of, key)
	}
}

// sentence is a C text of a buffer.
func sentence(buffer []byte) string {
	text, _, _ := strings.Cut(string(buffer), "\x00")
	return text
}
