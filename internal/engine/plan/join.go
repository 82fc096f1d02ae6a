package plan

import (
	"fmt"
	"math/rand/v2"

	"gavel/internal/engine"
)

// Joined is several plans that run as one program: their inputs are one where their names are, and each stage that some have in
// common runs once, found by its key. Making one costs pointers: stages and objects are those of the plans.
type Joined struct {
	base
	samples []sampled
}

// sampled are a member's samples.
type sampled struct {
	engine.Samples
	inputs []int // of the joined engine, that the columns are of
}

var (
	_ engine.Joined  = (*Joined)(nil)
	_ engine.Sampler = (*Joined)(nil)
)

// Join implements engine.Joiner. The members are plans, loaded with the same Objects and Options.
func (e *Engine) Join(members []engine.Member) (engine.Joined, error) {
	j := &Joined{base: base{options: e.options, objects: e.objects}}
	j.free = j.release
	if err := j.join(members); err != nil {
		j.release()
		return nil, fmt.Errorf("%w: %w", engine.ErrJoin, err)
	}
	return j, nil
}

func (j *Joined) join(members []engine.Member) error {
	m := merger{inputs: map[string]int{}, values: map[key]int{}}
	for _, member := range members {
		e, ok := member.Engine.(*Engine)
		if !ok || e.objects != j.objects || e.options != j.options {
			return fmt.Errorf("%s is no plan of the same objects and options as %s", member.Name, members[0].Name)
		}
		if !j.keep(e) {
			return fmt.Errorf("%s is closed", member.Name)
		}
		part, err := m.add(member.Name, e)
		if err != nil {
			return err
		}
		j.parts = append(j.parts, part)
		j.samples = append(j.samples, sampled{e.samples, part.Inputs})
	}
	ends := m.ends()
	j.schema = engine.Schema{Inputs: m.checked.inputs, Outputs: m.checked.outputs}
	var err error
	j.program, err = link(&m.checked, m.stages, ends, &j.objects.caches, j.options)
	return err
}

// keep keeps what a member has loaded, unless it has been freed.
func (j *Joined) keep(e *Engine) bool {
	e.mu.Lock() // it is not freed meanwhile
	defer e.mu.Unlock()
	if e.closed && e.batches == 0 {
		return false
	}
	e.loaded.users.Add(1)
	j.joined = append(j.joined, e.loaded)
	return true
}

func (j *Joined) release() {
	if j.program != nil {
		j.program.free()
	}
	for _, m := range j.joined {
		m.release()
	}
}

// Parts implements engine.Joined.
func (j *Joined) Parts() []engine.Part { return j.parts }

// Sample implements engine.Sampler: each member's inputs are those of one of the rows that it was given. Where members share an
// input, a later one's stands.
func (j *Joined) Sample(inputs []engine.Column, i int) {
	for _, s := range j.samples {
		if s.Rows == 0 {
			continue
		}
		row := rand.IntN(s.Rows)
		for k, to := range s.inputs {
			engine.CopyRow(inputs[to:to+1], i, s.Columns[k:k+1], row)
		}
	}
}

// merger joins checked plans.
type merger struct {
	checked checked
	stages  []*shared
	inputs  map[string]int // by name
	owners  []string       // of the inputs: the first member
	values  map[key]int    // the number of each value's step, from 0
	parts   []engine.Part
}

// add adds a member's inputs, and the steps that no member before has. Steps are numbered from 0 until ends.
func (m *merger) add(name string, e *Engine) (engine.Part, error) {
	g := &m.checked
	part := engine.Part{Name: name, Outputs: engine.Span{From: len(g.outputs), To: len(g.outputs) + len(e.schema.Outputs)}}
	for _, f := range e.schema.Inputs {
		at, ok := m.inputs[f.Name]
		if !ok {
			at = len(g.inputs)
			g.inputs, m.owners = append(g.inputs, f), append(m.owners, name)
			m.inputs[f.Name] = at
		}
		if have := g.inputs[at]; have != f {
			return part, fmt.Errorf("input %q of %s is %v of width %d, that of %s %v of width %d", f.Name, m.owners[at], have.Type,
				have.Width, name, f.Type, f.Width)
		}
		part.Inputs = append(part.Inputs, at)
	}
	// A value is written as −1 − input, or the number of its step, until all inputs are known.
	p, inputs := e.program, len(e.schema.Inputs)
	number := func(value int) int {
		if value < inputs {
			return -1 - part.Inputs[value]
		}
		return m.values[p.keys[value]]
	}
	for i, s := range p.steps {
		if _, ok := m.values[s.key]; ok {
			continue
		}
		reads := make([]int, len(s.reads))
		for k, from := range s.reads {
			reads[k] = number(from)
		}
		m.values[s.key] = len(g.steps)
		s.reads = reads
		g.steps, m.stages = append(g.steps, s), append(m.stages, p.stages[i])
	}
	for i, o := range e.schema.Outputs {
		g.outputs = append(g.outputs, engine.Field{Name: name + "/" + o.Name, Type: o.Type, Width: o.Width})
		g.gives = append(g.gives, number(p.gives[i]))
	}
	m.parts = append(m.parts, part)
	return part, nil
}

// ends numbers all values as C does, and returns where each member's outputs begin, and the last ones end.
func (m *merger) ends() []int {
	g := &m.checked
	renumber := func(values []int) {
		for i, v := range values {
			if v < 0 {
				values[i] = -1 - v
			} else {
				values[i] = len(g.inputs) + v
			}
		}
	}
	for _, s := range g.steps {
		renumber(s.reads)
	}
	renumber(g.gives)
	ends := []int{0}
	for _, part := range m.parts {
		ends = append(ends, part.Outputs.To)
	}
	return ends
}
