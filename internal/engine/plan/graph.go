package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gavel/internal/engine"
)

// checked is a plan that has been checked, without the nodes that no output needs.
type checked struct {
	inputs  []engine.Field
	steps   []step
	outputs []engine.Field
	gives   []int // the value of each output
}

// step is a node that can be built. Its value's number is that of the inputs and steps before it, as C counts them.
type step struct {
	name  string // of its node, for messages
	op    string // of the stage: "parts" where a rewrite made it
	reads []int
	kind  kind
	build build
	sums  []string // of its objects
	form  key
	key   key
}

// checker checks the nodes of documents, and opens the objects that they need.
type checker struct {
	p      *document
	h      *held
	kinds  []kind // of each value; width 0 where a fault has left it unknown
	builds []build
	forms  []key
	faults []error
	sound  map[*node]sound // nodes that were checked
}

// sound is what a node without a fault was found to be.
type sound struct {
	out   kind
	build build
	form  key
}

func newChecker(h *held) *checker { return &checker{h: h, sound: map[*node]sound{}} }

// check checks every node of a document. Its error joins all faults. What the plan does not need is not held afterwards. A node that
// was sound in a document before, and reads the same kinds, is not checked again: rewriting changes none, but makes others.
func (c *checker) check(p *document) (*checked, error) {
	c.p, c.kinds, c.builds, c.forms, c.faults = p, nil, nil, nil, nil
	for _, f := range p.inputs {
		c.kinds = append(c.kinds, kind{of: f.Type, width: f.Width})
	}
	for _, n := range p.nodes {
		c.node(n)
	}
	if len(c.faults) == 0 { // else kinds are not all known
		c.outputs()
	}
	if len(c.faults) > 0 {
		return nil, errors.Join(c.faults...)
	}
	g := c.result()
	sums := map[string]bool{}
	for _, s := range g.steps {
		for _, sum := range s.sums {
			sums[sum] = true
		}
	}
	c.h.keep(sums)
	return g, nil
}

// node checks a node, unless a value that it reads is unknown.
func (c *checker) node(n *node) {
	out, b, form := kind{}, build(nil), key{}
	defer func() { c.kinds, c.builds, c.forms = append(c.kinds, out), append(c.builds, b), append(c.forms, form) }()
	if len(c.faults) >= maxFaults {
		return
	}
	if n.made != nil {
		n.in = nil
		for _, from := range n.reads {
			n.in = append(n.in, c.kinds[from])
		}
		out, b, form = n.out, n.made.build, formOf(n.made.identity(), n.in, n.out)
		return
	}
	o, ok := operators[n.op]
	if !ok {
		n.fault("there is no operator of that name; upgrade the program if the plan is newer")
		c.faults = append(c.faults, n.faults...)
		return
	}
	var in []kind
	for _, from := range n.reads {
		if c.kinds[from].width == 0 {
			return
		}
		in = append(in, c.kinds[from])
	}
	if before, ok := c.sound[n]; ok && slices.Equal(n.in, in) {
		out, b, form = before.out, before.build, before.form
		return
	}
	n.in = in
	if len(n.in) < o.least || len(n.in) > o.most {
		n.fault("it reads %d values, must be %d to %d", len(n.in), o.least, o.most)
		c.faults = append(c.faults, n.faults...)
		return
	}
	n.asked, n.objects, n.contents = map[string]bool{}, map[string]*Object{}, nil
	for _, name := range slices.Sorted(maps.Keys(n.obj)) {
		object, err := c.h.get(n.obj[name])
		if err != nil {
			n.fault("object %q: %w", name, err)
			continue
		}
		n.objects[name] = object
	}
	k, made := o.check(n)
	if len(n.faults) == 0 && (k.width < 1 || k.width > maxWidth) {
		n.fault("its value has width %d, must be in [1, %d]", k.width, maxWidth)
	}
	if err := n.finish(); err != nil {
		c.faults = append(c.faults, err)
		return
	}
	n.out, out, b, form = k, k, made, formOf(n.identity(), n.in, k)
	c.sound[n] = sound{out, b, form}
}

// outputs checks what the plan's outputs name.
func (c *checker) outputs() {
	for _, o := range c.p.outputs {
		k := c.kinds[o.value]
		if k.sparse || k.of != engine.Float64 && k.of != engine.Float32 {
			c.faults = append(c.faults, fmt.Errorf("plan: output %q is %v, must be dense float64 or float32", o.name, k))
		}
		if n := len(c.p.labels); o.name == "probability" && n > 0 && n != k.width {
			c.faults = append(c.faults, fmt.Errorf("plan: output %q is %v, but there are %d labels", o.name, k, n))
		}
	}
}

// result numbers anew what the outputs need.
func (c *checker) result() *checked {
	g := &checked{inputs: c.p.inputs}
	inputs := len(g.inputs)
	needed := make([]bool, len(c.kinds))
	for _, o := range c.p.outputs {
		needed[o.value] = true
	}
	for i, n := range slices.Backward(c.p.nodes) {
		if needed[inputs+i] {
			for _, from := range n.reads {
				needed[from] = true
			}
		}
	}
	number := make([]int, len(c.kinds))
	keys := make([]key, inputs, len(c.kinds)) // of the values that are numbered
	for i, f := range g.inputs {
		number[i], keys[i] = i, inputKey(f)
	}
	for i, n := range c.p.nodes {
		if !needed[inputs+i] {
			continue
		}
		number[inputs+i] = inputs + len(g.steps)
		s := step{name: n.String(), op: n.op, kind: c.kinds[inputs+i], build: c.builds[i], form: c.forms[i]}
		s.sums = slices.Sorted(maps.Values(n.obj))
		if n.made != nil {
			s.op = "parts"
		}
		var read []key
		for _, from := range n.reads {
			s.reads, read = append(s.reads, number[from]), append(read, keys[number[from]])
		}
		s.key = valueKey(s.form, read)
		g.steps, keys = append(g.steps, s), append(keys, s.key)
	}
	for _, o := range c.p.outputs {
		k := c.kinds[o.value]
		g.outputs = append(g.outputs, engine.Field{Name: o.name, Type: k.of, Width: k.width})
		g.gives = append(g.gives, number[o.value])
	}
	return g
}
