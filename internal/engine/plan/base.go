package plan

import (
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"gavel/internal/engine"
)

// base is what runs a program, of one plan or of several that are joined.
type base struct {
	schema  engine.Schema
	options Options
	objects *Objects
	program *program
	parts   []engine.Part // of joined plans; nil: one plan
	joined  []*loaded     // the plans of parts
	free    func()        // called once, when nothing can run any more

	mu      sync.Mutex // guards batches and closed
	batches int        // open
	closed  bool
}

// Schema implements engine.Engine.
func (e *base) Schema() *engine.Schema { return &e.schema }

var (
	errTooLong = errors.New("the text is too long")
	errNotUTF8 = errors.New("the text is not UTF-8")
)

// missing is how a text that is missing is written.
const missing = "\xff"

// checkText says why a text cannot be scored.
func (e *base) checkText(text string) error {
	switch {
	case len(text) > e.options.MaxText:
		return errTooLong
	case !utf8.ValidString(text) && text != missing:
		return errNotUTF8
	default:
		return nil
	}
}

func (e *base) textFault(input int, err error, length int) error {
	return fmt.Errorf("plan: input %q: %w: %d bytes, at most %d are allowed", e.schema.Inputs[input].Name, err, length, e.options.MaxText)
}

// Close frees the engine once its last batch is closed; until then they still run. Later calls do nothing. An error tells of
// batches that are still open, which is a leak if nobody is about to close them.
func (e *base) Close() error {
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

// opened counts a batch.
func (e *base) opened() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("plan: cannot make a batch: the model is closed")
	}
	e.batches++
	return nil
}

// batchClosed ends one opened.
func (e *base) batchClosed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.batches--; e.closed && e.batches == 0 {
		e.free()
	}
}
