package plan

import (
	"fmt"
	"slices"
	"sort"
)

// Rewriting. A plan that has been checked is rewritten before it is compiled, so that a better rule serves every plan that was
// ever published. A rule looks at one vertex and what it reads. Rules of a phase are tried until none changes anything.
//
//	checked ──► exact rules: merge equal nodes, join selects and concats, read fewer fields ──► linear rules, in rewrite_linear.go ──► checked again
//
// Exact rules leave every result as it is, bit for bit. Linear rules change the order of sums, and so are left out where the plan
// wants more than 1e-6, or where a result is compared later: a tree may turn on the last bit.

// vertex is a node, or an input, with pointers to the vertices that it reads.
type vertex struct {
	node   *node // nil: an input
	out    kind
	from   []*vertex
	linear *linear // in place of the node's op, if a linear rule has applied
	same   *vertex // what stands for it, once it is replaced
	exact  bool    // no linear rule may change it
	known  *node   // whose op, settings and objects key has
	key    string
	users  int // how many vertices and outputs read it, at the start of a pass
}

func (v *vertex) is(op string) bool { return v.node != nil && v.linear == nil && v.node.op == op }

// end is the vertex that stands for v.
func (v *vertex) end() *vertex {
	for v.same != nil {
		v = v.same
	}
	return v
}

// rule is a rewrite by the name that pages show. apply changes v, or has another stand for it, and says whether it did. What it
// creates goes before v.
type rule struct {
	name  string
	apply func(r *rewriter, v *vertex) bool
}

var exactRules = []rule{
	{"merge equal", mergeEqual}, {"join concats", joinConcats}, {"drop a concat of one", dropConcatOfOne}, {"join selects", joinSelects},
	{"drop a select of all", dropSelectOfAll}, {"select from parts", selectFromParts},
}

type rewriter struct {
	vertices []*vertex // inputs first, each before those that read it
	outputs  []*vertex
	next     []*vertex             // the vertices of the pass under way
	seen     map[string]*vertex    // by what mergeEqual compares
	readers  map[*vertex][]*vertex // at the start of a pass; nil until a rule asks for it
	fired    []Fired
	without  string // a rule's name
}

// maxPasses bounds the passes of a phase. Each rule makes a plan smaller, or moves work to where no rule moves it back.
const maxPasses = 1000

// Rules lists the names of the rules.
func Rules() (names []string) {
	for _, of := range slices.Concat(exactRules, fieldRules, linearRules, narrowRules) {
		names = append(names, of.name)
	}
	return names
}

// rewrite returns a document that gives the same results, and the rules that made it; the rule named without is not tried. The
// document was checked; it is used up.
func rewrite(p *document, without string) (*document, []Fired) {
	r := newRewriter(p)
	r.without = without
	r.run(exactRules)
	r.run(fieldRules)
	if p.tolerance >= 1e-6 {
		r.protect()
		r.run(linearRules)
		r.run(slices.Concat(narrowRules, exactRules))
	}
	return r.document(p), r.fired
}

func newRewriter(p *document) *rewriter {
	r := &rewriter{}
	for _, f := range p.inputs {
		r.vertices = append(r.vertices, &vertex{out: kind{of: f.Type, width: f.Width}})
	}
	for _, n := range p.nodes {
		v := &vertex{node: n, out: n.out}
		for _, from := range n.reads {
			v.from = append(v.from, r.vertices[from])
		}
		r.vertices = append(r.vertices, v)
	}
	for _, o := range p.outputs {
		r.outputs = append(r.outputs, r.vertices[o.value])
	}
	return r
}

// run tries rules on each vertex, pass after pass, until a pass changes nothing.
func (r *rewriter) run(rules []rule) {
	for range maxPasses {
		r.sweep()
		changed := false
		r.next, r.seen, r.readers = nil, map[string]*vertex{}, nil
		for _, v := range r.vertices {
			for i := range v.from {
				v.from[i] = v.from[i].end()
			}
			for _, of := range rules {
				if of.name != r.without && v.node != nil && v.same == nil && of.apply(r, v) {
					changed = true
					r.note(of.name, v)
				}
			}
			r.next = append(r.next, v)
		}
		r.vertices = r.next
		if !changed {
			break
		}
	}
	r.sweep()
}

// note counts a rule that has changed v.
func (r *rewriter) note(name string, v *vertex) {
	i := slices.IndexFunc(r.fired, func(f Fired) bool { return f.Rule == name })
	if i < 0 {
		i, r.fired = len(r.fired), append(r.fired, Fired{Rule: name})
	}
	f := &r.fired[i]
	if f.Count++; len(f.Places) < maxPlaces && !slices.Contains(f.Places, v.node.at) {
		f.Places = append(f.Places, v.node.at)
	}
}

// sweep drops what no output needs, and counts users.
func (r *rewriter) sweep() {
	for _, v := range r.vertices {
		v.users = 0
	}
	for i := range r.outputs {
		r.outputs[i] = r.outputs[i].end()
		r.outputs[i].users++
	}
	for _, v := range slices.Backward(r.vertices) {
		if v.users == 0 {
			continue
		}
		for i := range v.from {
			v.from[i] = v.from[i].end()
			v.from[i].users++
		}
	}
	r.vertices = slices.DeleteFunc(r.vertices, func(v *vertex) bool { return v.node != nil && v.users == 0 })
}

// readersOf are the vertices that read v; one that reads it twice stands there twice.
func (r *rewriter) readersOf(v *vertex) []*vertex {
	if r.readers == nil {
		r.readers = map[*vertex][]*vertex{}
		for _, reader := range r.vertices {
			for _, from := range reader.from {
				r.readers[from] = append(r.readers[from], reader)
			}
		}
	}
	return r.readers[v]
}

// create adds a vertex in place of at, whose name it bears in messages.
func (r *rewriter) create(at *vertex, op string, set map[string]any, out kind, from ...*vertex) *vertex {
	v := &vertex{node: &node{index: at.node.index, op: op, at: at.node.at, set: set, out: out}, out: out, from: from, exact: at.exact}
	r.next = append(r.next, v)
	return v
}

// document is the rewritten plan.
func (r *rewriter) document(p *document) *document {
	number := map[*vertex]int{}
	q := *p
	q.nodes, q.outputs = nil, slices.Clone(p.outputs)
	for i, v := range r.vertices {
		number[v] = i
		if v.node == nil {
			continue
		}
		n := v.node
		if v.linear != nil {
			n = &node{index: n.index, op: n.op, at: n.at, obj: n.obj, out: v.out, made: v.linear}
		}
		n.number, n.reads = i, nil
		for _, from := range v.from {
			n.reads = append(n.reads, number[from])
		}
		q.nodes = append(q.nodes, n)
	}
	for i := range q.outputs {
		q.outputs[i].value = number[r.outputs[i]]
	}
	return &q
}

// mergeEqual has the first of equal vertices stand for the others.
func mergeEqual(r *rewriter, v *vertex) bool {
	if v.linear != nil {
		return false
	}
	if v.known != v.node { // settings may be long lists: written once
		v.known, v.key = v.node, string(v.node.identity())
	}
	key := v.key
	for _, from := range v.from {
		key += fmt.Sprintf(" %p", from)
	}
	if first, ok := r.seen[key]; ok {
		v.same = first
		first.exact = first.exact || v.exact
		return true
	}
	r.seen[key] = v
	return false
}

// joinConcats: concat(concat(a, b), c) is concat(a, b, c).
func joinConcats(_ *rewriter, v *vertex) bool {
	if !v.is("concat") {
		return false
	}
	var all []*vertex
	for _, from := range v.from {
		if from.is("concat") {
			all = append(all, from.from...)
		} else {
			all = append(all, from)
		}
	}
	if slices.Equal(all, v.from) || len(all) > maxInputs {
		return false
	}
	v.from = all
	return true
}

// dropConcatOfOne: concat(a) is a.
func dropConcatOfOne(_ *rewriter, v *vertex) bool {
	if !v.is("concat") || len(v.from) > 1 {
		return false
	}
	v.same = v.from[0]
	return true
}

// columns is the setting of a select.
func (v *vertex) columns() []int { return integers(v.node.set["columns"]) }

// integers is a setting that was checked.
func integers(setting any) []int {
	var values []int
	for _, v := range setting.([]any) {
		values = append(values, int(v.(int64)))
	}
	return values
}

func columnsSet(columns []int) map[string]any {
	list := make([]any, len(columns))
	for i, c := range columns {
		list[i] = int64(c)
	}
	return map[string]any{"columns": list}
}

// counts whether the columns are 0, 1, …, width − 1.
func counts(columns []int, width int) bool {
	for i, c := range columns {
		if i != c {
			return false
		}
	}
	return len(columns) == width
}

// joinSelects: a selection of a selection is one.
func joinSelects(_ *rewriter, v *vertex) bool {
	if !v.is("select") || !v.from[0].is("select") {
		return false
	}
	inner := v.from[0].columns()
	columns := v.columns()
	for i, c := range columns {
		columns[i] = inner[c]
	}
	n := *v.node
	n.set = columnsSet(columns)
	v.node, v.from = &n, v.from[0].from
	return true
}

// dropSelectOfAll: all columns in their order are the value itself.
func dropSelectOfAll(_ *rewriter, v *vertex) bool {
	if !v.is("select") || !counts(v.columns(), v.from[0].out.width) {
		return false
	}
	v.same = v.from[0]
	return true
}

// selectFromParts: a selection of concat(a, b, c) is a concat of selections, if these are no more than a, b and c, if it stays as
// sparse as it was, and if no part is left out that may refuse a row.
func selectFromParts(r *rewriter, v *vertex) bool {
	if !v.is("select") || !v.from[0].is("concat") {
		return false
	}
	type run struct {
		of      *vertex
		columns []int
	}
	joined := v.from[0]
	ends := make([]int, len(joined.from)) // of the parts' columns
	for i, part := range joined.from {
		ends[i] = part.out.width
		if i > 0 {
			ends[i] += ends[i-1]
		}
	}
	var runs []run
	last := -1
	for _, c := range v.columns() {
		part := sort.SearchInts(ends, c+1)
		if part != last {
			if last = part; len(runs) == len(joined.from) {
				return false
			}
			runs = append(runs, run{of: joined.from[part]})
		}
		of := &runs[len(runs)-1]
		of.columns = append(of.columns, c-ends[part]+joined.from[part].out.width)
	}
	sparse := slices.ContainsFunc(runs, func(of run) bool { return of.of.out.sparse })
	if sparse != v.out.sparse {
		return false
	}
	for _, part := range joined.from {
		if !slices.ContainsFunc(runs, func(of run) bool { return of.of == part }) && refuses(part, map[*vertex]bool{}) {
			return false
		}
	}
	var pieces []*vertex
	for _, of := range runs {
		if counts(of.columns, of.of.out.width) {
			pieces = append(pieces, of.of)
			continue
		}
		out := kind{of.of.out.of, len(of.columns), of.of.out.sparse}
		pieces = append(pieces, r.create(v, "select", columnsSet(of.columns), out, of.of))
	}
	v.node = &node{index: v.node.index, op: "concat", at: v.node.at, out: v.out}
	v.from = pieces
	return true
}

// refuses says whether v, or what it needs and seen does not have, may refuse a row.
func refuses(v *vertex, seen map[*vertex]bool) bool {
	if v.node == nil || seen[v] {
		return false
	}
	seen[v] = true
	if v.linear != nil { // its checks are its own
		return true
	}
	switch v.node.op {
	case "finite", "gather", "csv", "parse", "lower", "replace_characters", "ngrams", "hashing", "indices_linear", "fm", "deepfm":
		return true
	case "lookup":
		if v.node.set["unknown"] == nil {
			return true
		}
	case "linear", "project", "distances", "nearest":
		if v.node.set["finite"] == true {
			return true
		}
	case "trees", "leaves":
		if accepts := v.node.set["accepts"]; accepts != nil && accepts != "any" {
			return true
		}
	}
	return slices.ContainsFunc(v.from, func(from *vertex) bool { return refuses(from, seen) })
}
