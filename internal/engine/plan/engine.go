package plan

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"gavel/internal/engine"
)

// Format is the name of the format, in manifests and of the folder of its files in a version.
const Format = "plan"

// planFile is the plan, in that folder.
const planFile = "plan.msgpack"

// Options say how plans are run. The zero value is usable.
type Options struct {
	// MaxText bounds a text, in bytes; a row with a longer one is refused. Default 64 KiB.
	MaxText int
	// StageCache and RowCache bound, in bytes, what is kept of the results of runs: of stages that analyze texts, and of whole rows.
	// 0, the default: nothing is. All plans of the same Objects share both, so they must have the same bounds.
	StageCache, RowCache int64
	// AsWritten runs the nodes of a plan one by one, and rewrites none: to see what a rewrite does.
	AsWritten bool
	// Without is the name of a rule of rewriting that is left out, one of Rules: to see what it gives.
	Without string
}

// Loader opens plans: Version.Dir is the folder of plan.msgpack. It checks all of a plan and of its objects, but no golden row.
func Loader(objects *Objects, o Options) engine.Loader {
	if o.MaxText == 0 {
		o.MaxText = 64 << 10
	}
	return func(ctx context.Context, v engine.Version) (engine.Engine, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := open(objects, v, o)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", engine.ErrLoad, err)
		}
		return e, nil
	}
}

// Engine is a loaded plan: an engine.Engine, engine.Validator, engine.SampleTaker and engine.Joiner.
//
// Its memory lies in C: a small program of its own, stages that it shares with all plans that have equal ones, and mappings of
// objects, which it shares with other processes too. It is freed when Close was called, the last batch is closed, and so is the
// last engine that it has joined, whichever comes last.
type Engine struct {
	base
	labels    []any
	tolerance float64
	source    string
	nodes     int // of the plan as it is written
	fired     []Fired
	loaded    *loaded
	size      size
	samples   engine.Samples
}

// loaded is what an engine has taken: objects, stages and its program. Joined engines keep it too.
type loaded struct {
	objects *Objects
	held    *held
	program *program
	users   atomic.Int32 // engines
}

func (l *loaded) release() {
	if l.users.Add(-1) > 0 {
		return
	}
	l.program.free()
	l.objects.stages.releaseAll(l.program.stages, l.held.user)
	l.held.release()
	l.objects.runs.removed()
}

var (
	_ engine.Engine      = (*Engine)(nil)
	_ engine.Validator   = (*Engine)(nil)
	_ engine.SampleTaker = (*Engine)(nil)
	_ engine.Labeler     = (*Engine)(nil)
	_ engine.Joiner      = (*Engine)(nil)
)

func open(objects *Objects, v engine.Version, o Options) (*Engine, error) {
	document, h, err := read(objects, v)
	if err != nil {
		return nil, err
	}
	e, err := assemble(document, h, o)
	if err != nil {
		h.release()
		return nil, err
	}
	return e, nil
}

// read reads a plan's document and holds its objects. The caller releases them.
func read(objects *Objects, v engine.Version) (*document, *held, error) {
	data, err := readBounded(filepath.Join(v.Dir, planFile), maxPlanBytes)
	if err != nil {
		return nil, nil, err
	}
	p, err := decode(data)
	if err != nil {
		return nil, nil, err
	}
	if err := p.listed(v.Objects); err != nil {
		return nil, nil, err
	}
	return p, objects.hold(fmt.Sprintf("%s version %d", v.Model, v.Number)), nil
}

// assemble makes an engine of a document and the objects that it opens in h, which the engine then owns.
func assemble(p *document, h *held, o Options) (*Engine, error) {
	var fired []Fired
	before := len(p.nodes)
	c := newChecker(h)
	g, err := c.check(p)
	if err == nil && !o.AsWritten {
		p, fired = rewrite(p, o.Without)
		g, err = c.check(p)
	}
	if err != nil {
		return nil, err
	}
	program, err := compile(g, h.from, h.user, o)
	if err != nil {
		return nil, err
	}
	h.from.runs.added()
	l := &loaded{objects: h.from, held: h, program: program}
	l.users.Add(1)
	return &Engine{
		base:   base{schema: engine.Schema{Inputs: g.inputs, Outputs: g.outputs}, options: o, objects: h.from, program: program, free: l.release},
		labels: p.labels, tolerance: p.tolerance, source: p.source, nodes: before, fired: fired, loaded: l, size: measure(program, h),
	}, nil
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("plan: %s is larger than %d bytes", name, limit)
	}
	data := make([]byte, info.Size()) // a version's files never change
	_, err = io.ReadFull(f, data)
	return data, err
}

// Labels are the classes in the order of the columns of the output "probability": all string, all int64 or all float64. A
// regression has none. They are read-only.
func (e *Engine) Labels() []any { return e.labels }

// Tolerance is the largest difference that the plan allows from its golden outputs.
func (e *Engine) Tolerance() float64 { return e.tolerance }

// Source is the model as the library that trained it prints it.
func (e *Engine) Source() string { return e.source }

// Validate implements engine.Validator: each text must be UTF-8, or the byte 0xFF alone if it is missing, and not too long. What
// the operators refuse is found by runs, which name every such row.
func (e *Engine) Validate(inputs []engine.Column, i int) error {
	for k := range inputs {
		if inputs[k].Type != engine.Text {
			continue
		}
		if err := e.checkText(inputs[k].Text[i]); err != nil {
			return e.textFault(k, err, len(inputs[k].Text[i]))
		}
	}
	return nil
}

// maxSamples is how many rows an engine keeps of those that it is given. Hundreds of models keep them.
const maxSamples = 16

// TakeSamples implements engine.SampleTaker. It copies what it keeps: rows spread over those it is given.
func (e *Engine) TakeSamples(s engine.Samples) {
	kept := engine.Samples{Rows: min(s.Rows, maxSamples)}
	for _, c := range s.Columns {
		n := kept.Rows * c.Width
		to := engine.Column{Type: c.Type, Width: c.Width}
		switch c.Type {
		case engine.Int32:
			to.Int32 = make([]int32, n)
		case engine.Float32:
			to.Float32 = make([]float32, n)
		case engine.Float64:
			to.Float64 = make([]float64, n)
		case engine.Text:
			to.Text = make([]string, n)
		}
		kept.Columns = append(kept.Columns, to)
	}
	for i := range kept.Rows {
		engine.CopyRow(kept.Columns, i, s.Columns, i*s.Rows/kept.Rows)
	}
	for _, c := range kept.Columns {
		for i := range c.Text {
			c.Text[i] = strings.Clone(c.Text[i]) // it may be part of a file
		}
	}
	e.samples = kept
}

// Samples are the rows that TakeSamples was given; they are read-only.
func (e *Engine) Samples() engine.Samples { return e.samples }

// Sample implements engine.Sampler with one of the rows that the engine was given; a row of zeros if it was given none.
func (e *Engine) Sample(inputs []engine.Column, i int) {
	if e.samples.Rows > 0 {
		engine.CopyRow(inputs, i, e.samples.Columns, rand.IntN(e.samples.Rows))
	}
}
