package plan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// sketch is a plan in the making. All inputs come before the first node.
type sketch struct{ plan plantest.Plan }

// tensors are a node's objects.
type tensors = map[string]plantest.Tensor

// input adds an input, and returns the number of its value.
func (s *sketch) input(of engine.Type, width int) int {
	n := len(s.plan.Inputs)
	s.plan.Inputs = append(s.plan.Inputs, plantest.Input{Name: fmt.Sprint("x", n), Type: of.String(), Width: width})
	return n
}

// node adds a node, and returns the number of its value.
func (s *sketch) node(op string, set map[string]any, obj tensors, in ...int) int {
	s.plan.Nodes = append(s.plan.Nodes, plantest.Node{Op: op, In: in, Set: set, Obj: obj, At: "test"})
	return len(s.plan.Inputs) + len(s.plan.Nodes) - 1
}

// sparse adds what makes a dense float64 value of a width sparse.
func (s *sketch) sparse(value, width int) int {
	column := s.node("select", map[string]any{"columns": []int{0}}, nil, value)
	empty := s.node("expand", map[string]any{"sizes": []int{1}}, nil, s.node("missing", nil, nil, column))
	both := s.node("concat", nil, nil, value, empty)
	columns := make([]int, width)
	for j := range columns {
		columns[j] = j
	}
	return s.node("select", map[string]any{"columns": columns}, nil, both)
}

// output names a value.
func (s *sketch) output(value int) {
	s.plan.Outputs = append(s.plan.Outputs, plantest.Output{Name: fmt.Sprint("y", value), Value: value})
}

// scorer scores rows with a plan.
type scorer struct {
	t     testing.TB
	batch engine.Batch
}

func (s *sketch) open(t testing.TB, capacity int) *scorer {
	t.Helper()
	e, _ := opened(t, s.plan)
	b, err := e.NewBatch(capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &scorer{t, b}
}

// score returns the outputs, row after row, and the rows that were refused. data has a slice for each input.
func (s *scorer) score(data []any, rows int) (outputs [][]float64, refused []int) {
	s.t.Helper()
	for i, c := range s.batch.Inputs() {
		switch d := data[i].(type) {
		case []float64:
			copy(c.Float64, d)
		case []float32:
			copy(c.Float32, d)
		case []int32:
			copy(c.Int32, d)
		case []string:
			copy(c.Text, d)
		}
	}
	if err := s.batch.Run(rows); err != nil {
		var several *engine.RowErrors
		if !errors.As(err, &several) {
			s.t.Fatal(err)
		}
		for _, r := range several.Rows {
			refused = append(refused, r.Row)
		}
	}
	for _, c := range s.batch.Outputs() {
		y := slices.Clone(c.Float64)
		for _, v := range c.Float32 {
			y = append(y, float64(v))
		}
		outputs = append(outputs, y[:rows*c.Width])
	}
	return outputs, refused
}

// dictionary writes texts as the page says.
func dictionary(texts ...string) tensors {
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
	return tensors{"bytes": plantest.Of(all), "offsets": plantest.Of(offsets), "table": plantest.Of(table, size, 2)}
}

// example is a node and what it makes of random rows. Its inputs are float64, or one column of text.
type example struct {
	op     string
	set    map[string]any
	obj    tensors
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
var elsewhere = []string{"csv", "parse", "lower", "replace_characters", "ngrams", "hashing", "tfidf", "trees", "leaves", "indices_linear", "fm", "deepfm"}

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
		objects += fmt.Sprintf(" %s%v", name, e.obj[name].Dims)
	}
	return fmt.Sprintf("%s %v%s of %v sparse %v", e.op, e.set, objects, e.widths, e.sparse)
}

// open returns the example's plan, with the result made dense.
func (e *example) open(t *testing.T, capacity int) *scorer {
	s := &sketch{}
	var in []int
	for _, w := range e.widths {
		of := engine.Float64
		if e.texts != nil {
			of = engine.Text
		}
		in = append(in, s.input(of, w))
	}
	for i, is := range e.sparse {
		if is {
			in[i] = s.sparse(in[i], e.widths[i])
		}
	}
	out := s.node(e.op, e.set, e.obj, in...)
	if e.sparseResult() {
		out = s.node("dense", nil, nil, out)
	}
	s.output(out)
	return s.open(t, capacity)
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
			s := e.open(t, 200)
			for _, rows := range []int{1, 7, 64, 65, 200} {
				data := e.data(rows)
				values, refused := s.score(data, rows)
				got := values[0]
				width := len(got) / rows
				for row := range rows {
					want := e.wanted(data, row)
					if refused := slices.Contains(refused, row); (want == nil) != refused {
						t.Fatalf("row %d of %d: refused %v, want a value %v", row, rows, refused, want)
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
			s := e.open(t, rows)
			data := e.data(rows)
			values, _ := s.score(data, rows)
			all := values[0]
			width := len(all) / rows
			for _, size := range []int{1, 2, 3, 5, 7, 33, 64} {
				for from := 0; from < rows; from += size {
					to := min(from+size, rows)
					values, _ := s.score(cut(data, e.widths, from, to), to-from)
					for i, v := range values[0] {
						if of := all[from*width+i]; math.Float64bits(v) != math.Float64bits(of) && !(math.IsNaN(v) && math.IsNaN(of)) {
							t.Fatalf("rows %d to %d: %v, in a larger batch %v", from, to, values[0], all[from*width:to*width])
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

// refused wants a plan of one node to be refused, with a message that holds each of the words.
func refused(t *testing.T, op string, set map[string]any, obj tensors, in kind, words ...string) {
	t.Helper()
	s := &sketch{}
	value := s.input(in.of, in.width)
	if in.sparse {
		value = s.sparse(value, in.width)
	}
	s.output(s.node(op, set, obj, value))
	_, err := load(t, s.plan, NewObjects(t.TempDir()))
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
