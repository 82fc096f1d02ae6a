// Package onnx is the engine for ONNX files: it runs them in this process through onnxruntime's C API.
//
// The library is loaded when the first model is, so that a process without it starts and serves its other models. A run is
// one cgo call, which reads the rows where callers wrote them and writes the outputs in place.
package onnx

/*
#cgo CFLAGS: -O2 -std=gnu11 -Wall
#cgo LDFLAGS: -ldl
#cgo !dist LDFLAGS: -Wl,-rpath,${SRCDIR}/../../../build/onnxruntime
#cgo dist LDFLAGS: -Wl,-rpath,$ORIGIN/../lib
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"

	"gavel/internal/engine"
)

// Format is the name of the format, in manifests and of the folder of its files in a version.
const Format = "onnx"

// modelFile is the model, in that folder.
const modelFile = "model.onnx"

// liveModels and liveBatches count what is not freed, for tests.
var liveModels, liveBatches atomic.Int64

// Live says how many models and batches are not freed.
func Live() (models, batches int64) { return liveModels.Load(), liveBatches.Load() }

// Options say how models are run. The zero value is usable.
type Options struct {
	// Library is what is loaded as onnxruntime: a name that the dynamic linker looks for, or a path. Default DefaultLibrary.
	Library string
	// MaxText bounds a text, in bytes; a row with a longer one is refused. Default 64 KiB.
	MaxText int
}

func (o Options) filled() Options {
	o.Library = cmp.Or(o.Library, DefaultLibrary)
	o.MaxText = cmp.Or(o.MaxText, 64<<10)
	return o
}

// Loader opens ONNX files: Version.Dir is the folder of model.onnx. It checks that the model takes and gives columns, but
// runs no row. Without the library, the error wraps engine.ErrFormat.
func Loader(o Options) engine.Loader {
	o = o.filled()
	return func(ctx context.Context, v engine.Version) (engine.Engine, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := open(v, o)
		if err != nil {
			return nil, err // not a nil *Engine in the interface
		}
		return e, nil
	}
}

// Open makes an engine of the content of an ONNX file, which it does not keep. It is like Loader in all else, but all tensors must be in
// the file itself.
func Open(ctx context.Context, data []byte, o Options) (*Engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := parseFile(data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: onnx: it is no ONNX model, or is cut off: %w", engine.ErrLoad, err)
	case len(f.external) > 0:
		return nil, fmt.Errorf("%w: onnx: a tensor is in another file, %q; save the model as one file", engine.ErrLoad, f.external[0])
	case len(data) == 0:
		return nil, fmt.Errorf("%w: onnx: the file is empty", engine.ErrLoad)
	}
	return load(f, nil, data, &engine.Version{}, o.filled())
}

// Engine is a loaded ONNX model: an engine.Engine, engine.Validator and engine.SampleTaker.
//
// Its memory lies in C. It is freed when Close was called and the last batch is closed, whichever comes last.
type Engine struct {
	c         *C.onnx_model
	schema    engine.Schema
	labels    []any
	tableRows int // above 0: rows are indices below it, and the output is a probability
	maxText   int
	samples   engine.Samples

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

func open(v engine.Version, o Options) (*Engine, error) {
	name := filepath.Join(v.Dir, modelFile)
	f, err := readFile(name)
	if err == nil {
		err = f.checkExternal(v.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: onnx: %w", engine.ErrLoad, err)
	}
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	return load(f, cname, nil, &v, o)
}

// load makes an engine of the file of that name, or of data if name is nil. f is what was read of either.
func load(f *file, name *C.char, data []byte, v *engine.Version, o Options) (*Engine, error) {
	library, err := openLibrary(o.Library)
	if err != nil {
		return nil, err
	}
	var message *C.char
	c := C.onnx_load(library, name, unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)), &message)
	if c == nil {
		defer C.free(unsafe.Pointer(message))
		return nil, fmt.Errorf("%w: onnxruntime %s cannot load it: %s", engine.ErrLoad, C.GoString(library.version), C.GoString(message))
	}
	liveModels.Add(1)
	e := &Engine{c: c, tableRows: v.TableRows, maxText: o.MaxText}
	if err := e.bind(f, v); err != nil {
		e.free()
		return nil, fmt.Errorf("%w: %w", engine.ErrSignature, err)
	}
	return e, nil
}

// Schema implements engine.Engine. The fields have the names that the model gives them, but for the probabilities of a
// classifier: see nameProbability.
func (e *Engine) Schema() *engine.Schema { return &e.schema }

// Labels implements engine.Labeler: all string or all int64.
func (e *Engine) Labels() []any { return e.labels }

// Validate implements engine.Validator. An index must lie within the table, and a text be UTF-8 and not too long. Models know
// no missing text.
func (e *Engine) Validate(inputs []engine.Column, i int) error {
	for k := range inputs {
		c := &inputs[k]
		switch {
		case c.Type == engine.Text:
			if err := e.checkText(c.Text[i]); err != nil {
				return fmt.Errorf("onnx: input %q: %w", e.schema.Inputs[k].Name, err)
			}
		case e.tableRows > 0:
			for j, x := range c.Int32[i*c.Width : (i+1)*c.Width] {
				if uint32(x) >= uint32(e.tableRows) { // a negative index is a large one too
					return fmt.Errorf("onnx: index %d of the row is %d, not in [0, %d)", j, x, e.tableRows)
				}
			}
		}
	}
	return nil
}

// missing is how a text that is missing is written.
const missing = "\xff"

func (e *Engine) checkText(text string) error {
	switch {
	case len(text) > e.maxText:
		return fmt.Errorf("the text has %d bytes, at most %d are allowed", len(text), e.maxText)
	case text == missing:
		return errors.New("the text is missing, which no ONNX model knows")
	case !utf8.ValidString(text):
		return errors.New("the text is not UTF-8")
	default:
		return nil
	}
}

// TakeSamples implements engine.SampleTaker.
func (e *Engine) TakeSamples(s engine.Samples) { e.samples = s }

// Sample implements engine.Sampler: with indices from all over the table, or with one of the rows that the engine was given.
func (e *Engine) Sample(inputs []engine.Column, i int) {
	if e.tableRows > 0 {
		c := &inputs[0]
		for j := range c.Width {
			c.Int32[i*c.Width+j] = rand.Int32N(int32(e.tableRows))
		}
	} else if e.samples.Rows > 0 {
		engine.CopyRow(inputs, i, e.samples.Columns, rand.IntN(e.samples.Rows))
	}
}

// Close frees the model once its last batch is closed; until then they still run. Later calls do nothing. An error tells of
// batches that are still open, which is a leak if nobody is about to close them.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	if e.batches > 0 {
		return fmt.Errorf("onnx: the model is freed later: %d batches are still open", e.batches)
	}
	e.free()
	return nil
}

// free is called once, when nothing can run any more.
func (e *Engine) free() {
	C.onnx_unload(e.c)
	e.c = nil
	C.onnx_trim() // a model leaves its memory in many pieces with the allocator
	liveModels.Add(-1)
}
