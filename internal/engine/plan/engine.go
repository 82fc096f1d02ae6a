package plan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"unicode/utf8"

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
	// AsWritten runs the nodes of a plan one by one, and rewrites none: to see what a rewrite does.
	AsWritten bool
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

// Engine is a loaded plan: an engine.Engine, engine.Validator and engine.SampleTaker.
//
// Its memory lies in C: the program's own, and mappings of objects, which it shares. It is freed when Close was called and the
// last batch is closed, whichever comes last.
type Engine struct {
	schema    engine.Schema
	labels    []any
	tolerance float64
	source    string
	maxText   int

	objects *Objects
	held    *held
	program *program
	samples engine.Samples

	mu      sync.Mutex // guards batches and closed
	batches int        // open
	closed  bool
}

var (
	_ engine.Engine      = (*Engine)(nil)
	_ engine.Validator   = (*Engine)(nil)
	_ engine.SampleTaker = (*Engine)(nil)
	_ engine.Labeler     = (*Engine)(nil)
)

func open(objects *Objects, v engine.Version, o Options) (*Engine, error) {
	data, err := readBounded(filepath.Join(v.Dir, planFile), maxPlanBytes)
	if err != nil {
		return nil, err
	}
	document, err := decode(data)
	if err != nil {
		return nil, err
	}
	h := objects.hold(fmt.Sprintf("%s version %d", v.Model, v.Number))
	e, err := assemble(document, h, o)
	if err != nil {
		h.release()
		return nil, err
	}
	return e, nil
}

// assemble makes an engine of a document and the objects that it opens in h, which the engine then owns.
func assemble(p *document, h *held, o Options) (*Engine, error) {
	g, err := check(p, h)
	if err == nil && !o.AsWritten {
		g, err = check(rewrite(p), h)
	}
	if err != nil {
		return nil, err
	}
	made, err := compile(g)
	if err != nil {
		return nil, err
	}
	h.from.runs.added()
	return &Engine{
		schema: engine.Schema{Inputs: g.inputs, Outputs: g.outputs},
		labels: p.labels, tolerance: p.tolerance, source: p.source, maxText: o.MaxText,
		objects: h.from, held: h, program: made,
	}, nil
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("plan: %s is larger than %d bytes", name, limit)
	}
	return data, err
}

// Schema implements engine.Engine.
func (e *Engine) Schema() *engine.Schema { return &e.schema }

// Labels are the classes in the order of the columns of the output "probability": all string, all int64 or all float64. A
// regression has none. They are read-only.
func (e *Engine) Labels() []any { return e.labels }

// Tolerance is the largest difference that the plan allows from its golden outputs.
func (e *Engine) Tolerance() float64 { return e.tolerance }

// Source is the model as the library that trained it prints it.
func (e *Engine) Source() string { return e.source }

var (
	errTooLong = errors.New("the text is too long")
	errNotUTF8 = errors.New("the text is not UTF-8")
)

// missing is how a text that is missing is written.
const missing = "\xff"

// checkText says why a text cannot be scored.
func (e *Engine) checkText(text string) error {
	switch {
	case len(text) > e.maxText:
		return errTooLong
	case !utf8.ValidString(text) && text != missing:
		return errNotUTF8
	default:
		return nil
	}
}

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

func (e *Engine) textFault(input int, err error, length int) error {
	return fmt.Errorf("plan: input %q: %w: %d bytes, at most %d are allowed", e.schema.Inputs[input].Name, err, length, e.maxText)
}

// TakeSamples implements engine.SampleTaker.
func (e *Engine) TakeSamples(s engine.Samples) { e.samples = s }

// Sample implements engine.Sampler with one of the rows that the engine was given; a row of zeros if it was given none.
func (e *Engine) Sample(inputs []engine.Column, i int) {
	if e.samples.Rows > 0 {
		engine.CopyRow(inputs, i, e.samples.Columns, rand.IntN(e.samples.Rows))
	}
}

// Close frees the engine once its last batch is closed; until then they still run. Later calls do nothing. An error tells of
// batches that are still open, which is a leak if nobody is about to close them.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	if e.batches > 0 {
		return fmt.Errorf("plan: the model is freed later: %d batches are still open", e.batches)
	}
	e.free()
	return nil
}

// free is called once, with mu held, when nothing can run any more.
func (e *Engine) free() {
	e.program.free()
	e.held.release()
	e.objects.runs.removed()
}
