package plan

import (
	"math"
	"slices"
)

// maxFolded bounds Σ |coef · value| of an add that moves into the intercept. The sum with the part then loses at most some 12
// digits of those, so that 1e-12 are left.
const maxFolded = 1e4

// maxNarrow is how wide dense parts are, at most, that are joined, so that one product is made of them.
const maxNarrow = 64

// splitConcat: of concat(a, b), the columns of a and of b are parts.
func splitConcat(_ *rewriter, v *vertex) bool {
	return eachPart(v, func(p part, from *vertex) (parts []part, read []*vertex) {
		if !from.is("concat") || !v.room(len(from.from)) {
			return nil, nil
		}
		first := 0
		for _, of := range from.from {
			low, high, start := first, first+of.out.width, []int(nil)
			if p.start != nil {
				low, high = p.start[low], p.start[high]
				for _, at := range p.start[first : first+of.out.width+1] {
					start = append(start, at-low)
				}
			}
			cut := p.cut(v.linear.k, low, high, start)
			if !of.out.sparse {
				cut = cut.written()
			}
			parts = append(parts, cut)
			first += of.out.width
		}
		return parts, from.from
	})
}

// cut is the part of columns [low, high) of coef.
func (p *part) cut(k, low, high int, start []int) part {
	from := madeOf("cut", p.from[:], low, " ", high)
	if p.listed != nil {
		return part{listed: p.listed.cut(low, high), from: from, mapped: true}
	}
	if k == 1 {
		return part{coef: p.coef[low:high:high], from: from, mapped: p.mapped, start: start}
	}
	w := p.width(k)
	coef := make([]float64, 0, k*(high-low))
	for c := range k {
		coef = append(coef, p.coef[c*w+low:c*w+high]...)
	}
	return part{coef: coef, from: from, start: start}
}

// readSparse: what was made dense is read as it was.
func readSparse(_ *rewriter, v *vertex) bool {
	return eachPart(v, func(p part, from *vertex) ([]part, []*vertex) {
		if p.start != nil || !from.is("dense") {
			return nil, nil
		}
		return []part{p}, from.from
	})
}

// readNumbers: the columns that a number was expanded to are rows of a table.
func readNumbers(_ *rewriter, v *vertex) bool {
	return eachPart(v, func(p part, from *vertex) ([]part, []*vertex) {
		if p.start != nil || !from.is("expand") {
			return nil, nil
		}
		p = p.written()
		p.start = running(integers(from.node.set["sizes"]))
		return []part{p}, from.from
	})
}

// foldNumbers: coef · (x ∘ value) is another coef · x, plus a constant.
func foldNumbers(_ *rewriter, v *vertex) bool {
	return eachPart(v, func(p part, from *vertex) ([]part, []*vertex) {
		if p.start != nil || !slices.ContainsFunc([]string{"add", "sub", "mul", "div"}, from.is) {
			return nil, nil
		}
		value := values[float64](from.node.objects["value"])
		w := len(value)
		p = p.written()
		coef, constant := slices.Clone(p.coef), make([]float64, v.linear.k)
		for i := range coef {
			c, j := i/w, i%w
			switch from.node.op {
			case "mul":
				coef[i] *= value[j]
			case "div":
				coef[i] /= value[j]
			case "add":
				constant[c] += coef[i] * value[j]
			case "sub":
				constant[c] -= coef[i] * value[j]
			}
		}
		if !allFinite(coef) || !moves(p.coef, value, from.node.op) {
			return nil, nil
		}
		v.linear = v.linear.plus(constant)
		return []part{{coef: coef, from: madeOf(from.node.op, p.from[:], from.node.obj["value"])}}, from.from
	})
}

// moves says whether it makes no difference that counts if the value comes after the product, not before.
func moves(coef, value []float64, op string) bool {
	if !allFinite(value) {
		return false
	}
	if op == "mul" || op == "div" {
		return !slices.Contains(value, 0)
	}
	for of := range slices.Chunk(coef, len(value)) {
		sum := 0.0
		for j, c := range of {
			sum += math.Abs(c * value[j])
		}
		if !(sum <= maxFolded) {
			return false
		}
	}
	return true
}

// plus adds to the intercept.
func (l *linear) plus(constant []float64) *linear {
	sum := *l
	sum.intercept = slices.Clone(l.intercept)
	for c := range sum.intercept {
		sum.intercept[c] += constant[c]
	}
	return &sum
}

// foldLinear: coef · (matrix · x + b) is (coef · matrix) · x + coef · b, which is less work if it has no more rows than the matrix.
func foldLinear(_ *rewriter, v *vertex) bool {
	return eachPart(v, func(p part, from *vertex) (parts []part, read []*vertex) {
		inner := from.parts()
		if p.start != nil || inner == nil || from.exact || from.users > 1 || v.linear.k > inner.k || !v.room(len(inner.parts)) {
			return nil, nil
		}
		for _, of := range inner.parts {
			if !of.finite() {
				return nil, nil
			}
			coef := product(p.coef, of.written().coef, v.linear.k, inner.k)
			parts = append(parts, part{coef: coef, from: madeOf("product", p.from[:], of.from[:]), start: of.start})
		}
		v.linear = v.linear.plus(product(p.coef, inner.intercept, v.linear.k, inner.k))
		v.linear.finite = v.linear.finite || inner.finite
		return parts, from.from
	})
}

// product is that of a [k][n] with b [n][…].
func product(a, b []float64, k, n int) []float64 {
	w := len(b) / n
	ab := make([]float64, k*w)
	for c := range k {
		for i := range n {
			for j, x := range b[i*w : (i+1)*w] {
				ab[c*w+j] += a[c*n+i] * x
			}
		}
	}
	return ab
}

// joinNarrow makes one part of dense ones that are narrow, so that one product is made of them.
func joinNarrow(r *rewriter, v *vertex) bool {
	if v.linear == nil {
		return false
	}
	narrow := func(i int) bool {
		return v.linear.parts[i].start == nil && !v.from[i].out.sparse && v.from[i].out.width <= maxNarrow
	}
	var join, rest []int
	for i := range v.from {
		if narrow(i) {
			join = append(join, i)
		} else {
			rest = append(rest, i)
		}
	}
	if len(join) < 2 {
		return false
	}
	var from []*vertex
	var coef []float64
	var made []any
	width := 0
	for _, i := range join {
		from, made = append(from, v.from[i]), append(made, v.linear.parts[i].from[:])
		width += v.from[i].out.width
	}
	for c := range v.linear.k {
		for _, i := range join {
			w := v.from[i].out.width
			coef = append(coef, v.linear.parts[i].coef[c*w:(c+1)*w]...)
		}
	}
	l := *v.linear
	l.parts = []part{{coef: coef, from: madeOf("join", made...)}}
	read := []*vertex{r.create(v, "concat", nil, dense(width), from...)}
	for _, i := range rest {
		l.parts, read = append(l.parts, v.linear.parts[i]), append(read, v.from[i])
	}
	v.linear, v.from = &l, read
	return true
}
