package plan

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"gavel/internal/engine"
)

// graph is a plan in the making.
type graph struct {
	inputs  []kind
	nodes   []*node
	objects map[string]*Object
}

// input adds an input; all inputs come before the first node.
func (g *graph) input(of engine.Type, width int) int {
	g.inputs = append(g.inputs, kind{of: of, width: width})
	return len(g.inputs) - 1
}

// node adds a node, and returns the number of its value. obj has *Object by name.
func (g *graph) node(op string, set map[string]any, obj map[string]*Object, in ...int) int {
	n := &node{op: op, at: "test", reads: in, set: set, obj: map[string]string{}, objects: map[string]*Object{}}
	for name, o := range obj {
		n.obj[name], n.objects[name] = o.sum, o
	}
	g.nodes = append(g.nodes, n)
	return len(g.inputs) + len(g.nodes) - 1
}

// sparse adds what makes a dense float64 value of a width sparse.
func (g *graph) sparse(value, width int) int {
	column := g.node("select", map[string]any{"columns": list(0)}, nil, value)
	empty := g.node("expand", map[string]any{"sizes": list(1)}, nil, g.node("missing", nil, nil, column))
	both := g.node("concat", nil, nil, value, empty)
	columns := make([]int, width)
	for j := range columns {
		columns[j] = j
	}
	return g.node("select", map[string]any{"columns": list(columns...)}, nil, both)
}

// run returns the values by number, nil for what is not dense float64, and each row's fault.
func (g *graph) run(data []any, rows int) (values [][]float64, faults []int, err error) {
	return rigRun(g.inputs, g.nodes, data, rows)
}

// list is a setting.
func list(values ...int) []any {
	l := make([]any, len(values))
	for i, v := range values {
		l[i] = int64(v)
	}
	return l
}

// tensor is an object; without dims it is a vector.
func tensor[T uint8 | int32 | uint32 | uint64 | float32 | float64](v []T, dims ...int) *Object {
	of := map[string]ObjectType{"uint8": Uint8, "int32": Int32, "uint32": Uint32, "uint64": Uint64, "float32": Float32, "float64": Float64}[fmt.Sprintf("%T", *new(T))]
	if len(dims) == 0 {
		dims = []int{len(v)}
	}
	data := make([]uint64, (len(v)*8+7)/8+16)
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*8)
	if at := uintptr(unsafe.Pointer(&bytes[0])) % 64; at > 0 {
		bytes = bytes[64-at:]
	}
	written, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err)
	}
	o := &Object{of: of, dims: dims, data: bytes[:len(written)]}
	copy(o.data, written)
	o.sum = fmt.Sprintf("%v %v %x", of, dims, written)
	return o
}

// dictionary writes texts as the page says.
func dictionary(texts ...string) map[string]*Object {
	var all []byte
	offsets := []uint32{0}
	size := 1
	for size < 2*len(texts) {
		size *= 2
	}
	table := make([]uint64, 2*size)
	mix := func(x uint64) uint64 {
		x ^= x >> 32
		x *= 0x9E3779B97F4A7C15
		return x ^ x>>29
	}
	for i, text := range texts {
		all = append(all, text...)
		offsets = append(offsets, uint32(len(all)))
		key := uint64(len(text)+1) << 56
		if len(text) <= 7 {
			for j := range len(text) {
				key |= uint64(text[j]) << (8 * j)
			}
		} else {
			h := uint64(len(text))
			for part := range slices.Chunk([]byte(text), 8) {
				var word [8]byte
				copy(word[:], part)
				h = mix(h ^ binary.LittleEndian.Uint64(word[:]))
			}
			key = h | 0xFF<<56
		}
		place := 0
		for at := size; at > 1; at /= 2 {
			place++
		}
		place = int(key * 0x9E3779B97F4A7C15 >> (64 - place))
		for table[2*place+1] != 0 {
			place = (place + 1) % size
		}
		table[2*place], table[2*place+1] = key, uint64(i+1)
	}
	return map[string]*Object{"bytes": tensor(all), "offsets": tensor(offsets), "table": tensor(table, size, 2)}
}

// example is a node and what it makes of random rows. Its inputs are float64, or one column of text.
type example struct {
	op     string
	set    map[string]any
	obj    map[string]*Object
	widths []int                         // of the inputs
	sparse []bool                        // which of them are made sparse; nil: none
	draw   func(*rand.Rand) float64      // a number of an input
	texts  []string                      // or the texts to draw from
	want   func(x [][]float64) []float64 // of one row; nil: the row is refused
	text   func(text string) []float64   // the same of a text
	near   float64                       // relative error that is allowed
}

// examples are what every operator must have; other files add theirs.
var examples []example

// elsewhere are operators that have tests of their own.
var elsewhere = []string{"lower", "ngrams", "hashing", "tfidf", "trees", "leaves", "indices_linear", "fm", "deepfm"}

func TestEveryOperatorHasAnExample(t *testing.T) {
	covered := map[string]bool{}
	for _, e := range examples {
		covered[e.op] = true
	}
	for op := range operators {
		if !covered[op] && !slices.Contains(elsewhere, op) {
			t.Errorf("operator %q has no example", op)
		}
	}
}

func (e *example) name() string {
	objects := ""
	for _, name := range slices.Sorted(maps.Keys(e.obj)) {
		objects += fmt.Sprintf(" %s=%v", name, e.obj[name])
	}
	return fmt.Sprintf("%s %v%s of %v sparse %v", e.op, e.set, objects, e.widths, e.sparse)
}

// graph returns the example's plan, and the number of its result, made dense.
func (e *example) graph() (*graph, int) {
	g := &graph{}
	var in []int
	for _, w := range e.widths {
		of := engine.Float64
		if e.texts != nil {
			of = engine.Text
		}
		in = append(in, g.input(of, w))
	}
	for i, is := range e.sparse {
		if is {
			in[i] = g.sparse(in[i], e.widths[i])
		}
	}
	out := g.node(e.op, e.set, e.obj, in...)
	if e.sparseResult() {
		out = g.node("dense", nil, nil, out)
	}
	return g, out
}

func (e *example) sparseResult() bool {
	switch e.op {
	case "linear", "project", "distances", "nearest", "dense":
		return false
	case "expand":
		return true
	default:
		return slices.Contains(e.sparse, true)
	}
}

// data draws rows.
func (e *example) data(rows int) []any {
	r := rand.New(rand.NewPCG(uint64(rows), 7))
	var data []any
	for _, w := range e.widths {
		if e.texts != nil {
			column := make([]string, rows)
			for i := range column {
				column[i] = e.texts[r.IntN(len(e.texts))]
			}
			data = append(data, column)
			continue
		}
		x := make([]float64, rows*w)
		for i := range x {
			x[i] = e.draw(r)
		}
		for i := 0; i < rows; i += 5 { // empty rows
			if e.sparse != nil {
				clear(x[i*w : (i+1)*w])
			}
		}
		data = append(data, x)
	}
	return data
}

func (e *example) wanted(data []any, row int) []float64 {
	if e.texts != nil {
		return e.text(data[0].([]string)[row])
	}
	var x [][]float64
	for i, w := range e.widths {
		x = append(x, data[i].([]float64)[row*w:(row+1)*w])
	}
	return e.want(x)
}

func cut(data []any, widths []int, from, to int) []any {
	var part []any
	for i, w := range widths {
		switch d := data[i].(type) {
		case []float64:
			part = append(part, d[from*w:to*w])
		case []string:
			part = append(part, d[from:to])
		}
	}
	return part
}

func TestExamples(t *testing.T) {
	for _, e := range examples {
		t.Run(e.name(), func(t *testing.T) {
			for _, rows := range []int{1, 7, 64, 65, 200} {
				g, out := e.graph()
				data := e.data(rows)
				values, faults, err := g.run(data, rows)
				if err != nil {
					t.Fatal(err)
				}
				got := values[out]
				width := len(got) / rows
				for row := range rows {
					want := e.wanted(data, row)
					if (want == nil) != (faults[row] != 0) {
						t.Fatalf("row %d of %d: fault %d, want a value: %v", row, rows, faults[row], want != nil)
					}
					if want != nil && !near(got[row*width:(row+1)*width], want, e.near) {
						t.Fatalf("row %d of %d: got %v, want %v", row, rows, got[row*width:(row+1)*width], want)
					}
				}
			}
		})
	}
}

func TestEveryBatchSizeGivesTheSameBits(t *testing.T) {
	const rows = 130
	for _, e := range examples {
		t.Run(e.name(), func(t *testing.T) {
			g, out := e.graph()
			data := e.data(rows)
			values, _, err := g.run(data, rows)
			if err != nil {
				t.Fatal(err)
			}
			all := values[out]
			width := len(all) / rows
			for _, size := range []int{1, 2, 3, 5, 7, 33, 64} {
				for from := 0; from < rows; from += size {
					to := min(from+size, rows)
					values, _, err := g.run(cut(data, e.widths, from, to), to-from)
					if err != nil {
						t.Fatal(err)
					}
					for i, v := range values[out] {
						if math.Float64bits(v) != math.Float64bits(all[from*width+i]) {
							t.Fatalf("rows %d to %d: %v, in a larger batch %v", from, to, values[out], all[from*width:to*width])
						}
					}
				}
			}
		})
	}
}

// near compares with a relative error; NaN equals NaN.
func near(got, want []float64, by float64) bool {
	return slices.EqualFunc(got, want, func(a, b float64) bool {
		return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= by*max(1, math.Abs(b))
	})
}

// refused runs a plan of one node, and wants it to be refused with a message that holds each of the words.
func refused(t *testing.T, op string, set map[string]any, obj map[string]*Object, in kind, words ...string) {
	t.Helper()
	g := &graph{}
	value := g.input(in.of, in.width)
	if in.sparse {
		value = g.sparse(value, in.width)
	}
	g.node(op, set, obj, value)
	_, _, err := g.run([]any{make([]float64, in.width)}, 0)
	if err == nil {
		t.Errorf("%s %v: not refused", op, set)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s %v: %q is not in %q", op, set, word, err)
		}
	}
}
