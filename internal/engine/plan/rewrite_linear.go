package plan

// #include "operators.h"
import "C"

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// linear is a linear model that a rule has taken apart: intercept + Σ coef · part. The vertex reads the parts in their order.
//
//	linear(concat(div(sub(x)), expand(lookup(city)))) ──► intercept + coef · x + table[lookup(city)]
type linear struct {
	k         int
	intercept []float64
	finite    bool
	parts     []part
}

// part is what a value adds to the model.
type part struct {
	coef   []float64 // [k][w], w the width of the value, or the last of start
	listed *listed   // in place of coef, while the value is sparse
	from   key       // says what coef was computed from, and how: equal ones are equal
	mapped bool      // coef lies in an object that the vertex names
	start  []int     // of whole numbers, the input of an expand: the first column of coef of each; else nil
}

func (p *part) width(k int) int {
	if p.listed != nil {
		return p.listed.width
	}
	return len(p.coef) / k
}

// written is the part with its coefficients in coef.
func (p part) written() part {
	if p.listed != nil {
		p.coef, p.listed, p.mapped = p.listed.dense(), nil, false
	}
	return p
}

var linearRules = []rule{
	{"take apart", takeApart}, {"split by concat", splitConcat}, {"read sparse", readSparse}, {"read numbers", readNumbers},
	{"fold numbers", foldNumbers}, {"fold linear", foldLinear},
}

// narrowRules are tried after linearRules, with exactRules.
var narrowRules = []rule{{"join narrow parts", joinNarrow}}

// compared are operators whose result jumps where what they read changes by the last bit.
var compared = []string{"trees", "leaves", "nearest", "bins", "binarize", "lookup", "expand", "gather", "equal_missing"}

// protect marks all that a comparison depends on.
func (r *rewriter) protect() {
	for _, v := range slices.Backward(r.vertices) {
		if v.node == nil {
			continue
		}
		jumps := v.exact || slices.Contains(compared, v.node.op)
		if v.node.op == "function" {
			jumps = jumps || slices.Contains([]any{"floor", "ceil", "rint", "sign"}, v.node.set["name"])
		}
		for _, from := range v.from {
			from.exact = from.exact || jumps
		}
	}
}

// foldable are the operators that a rule takes into a linear model that reads them.
var foldable = []string{"concat", "expand", "dense", "add", "sub", "mul", "div", "project", "linear"}

// takeApart begins with a linear or project whose input another rule can do something with.
func takeApart(_ *rewriter, v *vertex) bool {
	if v.exact || v.from[0].node == nil || !slices.Contains(foldable, v.from[0].node.op) {
		return false
	}
	l := v.parts()
	if v.linear != nil || l == nil || !l.parts[0].finite() { // 0 times infinity is not 0
		return false
	}
	v.linear = l
	return true
}

// parts is the model of a linear or project, taken apart or not; nil for another vertex.
func (v *vertex) parts() *linear {
	if v.linear != nil || !v.is("linear") && !v.is("project") {
		return v.linear
	}
	k := v.out.width
	l := &linear{k: k, intercept: make([]float64, k), finite: v.node.set["finite"] == true, parts: []part{v.matrix()}}
	switch {
	case v.node.lists != nil:
		l.intercept[0] = float64(*v.node.lists.intercept())
	case v.is("linear"):
		copy(l.intercept, values[float64](v.node.objects["intercept"]))
	}
	return l
}

// matrix is that of a linear or project, as a part.
func (v *vertex) matrix() part {
	if l := v.node.lists; l != nil {
		return part{listed: l, from: madeOf("listed", l.columns.sum, l.values.sum), mapped: true}
	}
	name := "coef"
	if v.node.op == "project" {
		name = "matrix"
	}
	o := v.node.objects[name]
	return part{coef: values[float64](o), from: madeOf("object", o.sum), mapped: true}
}

// madeOf is what a part is from: how it was made, and of what.
func madeOf(how string, of ...any) key { return keyOf(fmt.Append([]byte(how), of...)) }

// finite says whether no coefficient is NaN or infinite.
func (p *part) finite() bool {
	if p.listed != nil {
		return allFinite(values[float64](p.listed.values))
	}
	return allFinite(p.coef)
}

// allFinite says whether no value is NaN or infinite: 0 times one of those is NaN.
func allFinite(values []float64) bool {
	var sums [4]float64 // side by side
	for ; len(values) >= 4; values = values[4:] {
		sums[0] += 0 * values[0]
		sums[1] += 0 * values[1]
		sums[2] += 0 * values[2]
		sums[3] += 0 * values[3]
	}
	for _, x := range values {
		sums[0] += 0 * x
	}
	return sums[0]+sums[1]+sums[2]+sums[3] == 0
}

// eachPart applies a rule to the parts of a linear model, and says whether one has changed. change returns what stands for the
// part, and the vertices to read; nil, nil if it stays. It may replace v.linear, but for its parts.
func eachPart(v *vertex, change func(p part, from *vertex) ([]part, []*vertex)) bool {
	if v.linear == nil {
		return false
	}
	changed := false
	for i := 0; i < len(v.from); i++ {
		parts, read := change(v.linear.parts[i], v.from[i])
		if parts == nil {
			continue
		}
		l := *v.linear
		l.parts = slices.Replace(slices.Clone(l.parts), i, i+1, parts...)
		v.linear, v.from = &l, slices.Replace(slices.Clone(v.from), i, i+1, read...)
		i += len(parts) - 1
		changed = true
	}
	return changed
}

// room says whether a part may become so many.
func (v *vertex) room(parts int) bool { return len(v.from)-1+parts <= maxInputs }

// identity is as that of a node.
func (l *linear) identity() []byte {
	what := appendText(nil, "parts")
	what = binary.LittleEndian.AppendUint32(append(what, byte(flag(l.finite))), uint32(l.k))
	for _, x := range l.intercept {
		what = binary.LittleEndian.AppendUint64(what, math.Float64bits(x))
	}
	for _, p := range l.parts {
		what = binary.LittleEndian.AppendUint32(append(what, p.from[:]...), uint32(len(p.start)))
		for _, at := range p.start {
			what = binary.LittleEndian.AppendUint32(what, uint32(at))
		}
	}
	return what
}

// build makes the stage, which reads the parts in their order.
func (l *linear) build(m *memory) stage {
	p := params[C.gv_parts_params](m)
	p.k, p.intercept = C.int32_t(l.k), (*C.double)(unsafe.Pointer(copied(m, l.intercept)))
	parts := array[C.gv_part](m, len(l.parts))
	p.parts = unsafe.SliceData(parts)
	for i, of := range l.parts {
		to := &parts[i]
		to.matrix.k, to.matrix.w, to.matrix.finite = p.k, C.int32_t(of.width(l.k)), flag(l.finite)
		if of.start != nil {
			to.start = copiedInts(m, of.start)
		}
		coef := (*C.double)(unsafe.Pointer(unsafe.SliceData(of.coef)))
		switch {
		case of.listed != nil:
			of.listed.fill(&to.matrix)
			continue
		case l.k >= C.GV_TRANSPOSED && of.start == nil:
			transposed := array[C.double](m, of.width(l.k)*int(C.gv_stride(p.k)))
			to.matrix.transposed = unsafe.SliceData(transposed)
			m.note("transposed")
			C.gv_transpose(coef, p.k, to.matrix.w, unsafe.SliceData(transposed))
			continue
		case l.k > 1 && of.start != nil:
			table := array[C.double](m, len(of.coef))
			to.table = unsafe.SliceData(table)
			m.note("table")
			for j := range of.coef {
				table[j%of.width(l.k)*l.k+j/of.width(l.k)] = C.double(of.coef[j])
			}
			continue
		case !of.mapped:
			coef = (*C.double)(unsafe.Pointer(copied(m, of.coef)))
			m.note("folded")
		}
		if of.start != nil { // of one row, which is a table as it lies
			to.table = coef
		} else {
			to.matrix.matrix = coef
		}
	}
	return stage{unsafe.Pointer(C.gv_parts), unsafe.Pointer(p)}
}
