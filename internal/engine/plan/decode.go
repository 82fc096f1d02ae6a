package plan

import (
	"errors"
	"fmt"
	"strings"

	"gavel/internal/engine"
	"gavel/internal/packed"
)

// The limits of docs/plan-format.md.
const (
	maxPlanBytes  = 64 << 20
	maxFields     = 4096    // inputs, and outputs
	maxNodes      = 1 << 16 // in a plan
	maxInputs     = 1024    // values that a node reads
	maxWidth      = 1 << 24 // of a value
	maxParameters = 64      // settings, and objects, of a node
	maxItems      = 1 << 22 // of all lists of a plan
	maxText       = 4096    // bytes of a name or setting
	maxSource     = 1 << 20 // bytes of "source"
	maxFaults     = 100     // reported; what follows is left out
)

// document is plan.msgpack: of the right form, but its nodes are not checked.
type document struct {
	inputs    []engine.Field
	nodes     []*node
	outputs   []output
	labels    []any // all string, all int64 or all float64
	tolerance float64
	source    string
}

// output names a value.
type output struct {
	name  string
	value int
}

// decode reads plan.msgpack. Its error joins every fault of form, up to the first byte that cannot be understood.
func decode(data []byte) (*document, error) {
	if len(data) > maxPlanBytes {
		return nil, fmt.Errorf("plan: plan.msgpack has %d bytes, at most %d are read", len(data), maxPlanBytes)
	}
	d := &decoder{Reader: packed.NewReader(data)}
	p := &document{}
	version := int64(0)
	d.object("", map[string]func(){
		"plan":      func() { version = d.integer("plan") },
		"inputs":    func() { d.list("inputs", maxFields, func(i int) { p.inputs = append(p.inputs, d.input(i)) }) },
		"nodes":     func() { d.list("nodes", maxNodes, func(i int) { p.nodes = append(p.nodes, d.node(i)) }) },
		"outputs":   func() { d.list("outputs", maxFields, func(i int) { p.outputs = append(p.outputs, d.output(i)) }) },
		"labels":    func() { p.labels, _ = d.value("labels").([]any) },
		"tolerance": func() { p.tolerance = d.float("tolerance") },
		"source":    func() { p.source = d.text("source", maxSource) },
	})
	if !d.broken && d.Rest() > 0 {
		d.fault("%d bytes follow the plan", d.Rest())
	}
	if !d.broken {
		d.check(p, version)
	}
	if len(d.faults) > 0 {
		return nil, errors.Join(d.faults...)
	}
	return p, nil
}

// check reports what is wrong with values that have the right types.
func (d *decoder) check(p *document, version int64) {
	if version != 1 {
		d.fault("plan is %d, this program reads 1; upgrade whichever is older", version)
	}
	if p.tolerance != 1e-12 && p.tolerance != 1e-6 {
		d.fault("tolerance is %g, must be 1e-12 or 1e-6", p.tolerance)
	}
	if p.labels == nil {
		d.fault("labels is not a list")
	}
	for i, label := range p.labels {
		same := false
		switch label.(type) {
		case string:
			_, same = p.labels[0].(string)
		case int64:
			_, same = p.labels[0].(int64)
		case float64:
			_, same = p.labels[0].(float64)
		}
		if !same {
			d.fault("labels[%d] is %v; labels must be all texts, all integers or all floats", i, show(label))
			break
		}
	}
	for i, n := range p.nodes {
		n.index, n.number = i, len(p.inputs)+i
		for _, from := range n.reads {
			if from >= n.number {
				d.fault("%v reads value %d; it may read values below its own number", n, from)
			}
		}
	}
	names := map[string]bool{}
	for i, o := range p.outputs {
		if o.value >= len(p.inputs)+len(p.nodes) {
			d.fault("outputs[%d] names value %d, there are %d", i, o.value, len(p.inputs)+len(p.nodes))
		}
		if o.name == "" || names[o.name] {
			d.fault("outputs[%d]: the name %q is empty or stands twice", i, o.name)
		}
		names[o.name] = true
	}
	if len(p.outputs) == 0 {
		d.fault("outputs is empty")
	}
	d.checkInputs(p.inputs)
}

func (d *decoder) checkInputs(inputs []engine.Field) {
	names := map[string]bool{}
	for i, f := range inputs {
		if f.Name == "" || names[f.Name] {
			d.fault("inputs[%d]: the name %q is empty or stands twice", i, f.Name)
		}
		names[f.Name] = true
		if f.Width < 1 || f.Width > maxWidth || f.Type == engine.Text && f.Width != 1 {
			d.fault("inputs[%d] %q: the width %d is not in [1, %d], or not 1 for a text", i, f.Name, f.Width, maxWidth)
		}
	}
	if len(inputs) == 0 {
		d.fault("inputs is empty")
	}
}

func (d *decoder) input(i int) (f engine.Field) {
	d.object(fmt.Sprintf("inputs[%d]", i), map[string]func(){
		"name":  func() { f.Name = d.text("name", maxText) },
		"width": func() { f.Width = int(d.integer("width")) },
		"type": func() {
			name := d.text("type", maxText)
			of, ok := engine.TypeOf(name)
			if f.Type = of; !ok {
				d.fault("inputs[%d]: type %s is not text, float64, float32 or int32", i, show(name))
			}
		},
	})
	return f
}

func (d *decoder) output(i int) (o output) {
	d.object(fmt.Sprintf("outputs[%d]", i), map[string]func(){
		"name":  func() { o.name = d.text("name", maxText) },
		"value": func() { o.value = d.number("value") },
	})
	return o
}

func (d *decoder) node(i int) *node {
	n := &node{set: map[string]any{}, obj: map[string]string{}}
	at := fmt.Sprintf("nodes[%d]", i)
	d.object(at, map[string]func(){
		"op": func() { n.op = d.text("op", maxText) },
		"at": func() { n.at = d.text("at", maxText) },
		"in": func() { d.list(at+".in", maxInputs, func(int) { n.reads = append(n.reads, d.number("in")) }) },
		"set": func() {
			d.pairs(at+".set", func(name string) { n.set[name] = d.value(at + ".set." + name) })
		},
		"obj": func() {
			d.pairs(at+".obj", func(name string) {
				sum := d.text("obj", maxText)
				if !isSum(sum) && !d.broken {
					d.fault("%s.obj.%s is %s, not a sha256 in lower-case hex", at, name, show(sum))
				}
				n.obj[name] = sum
			})
		},
	})
	return n
}

// isSum says whether the text is a sha256 in lower-case hex.
func isSum(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}
