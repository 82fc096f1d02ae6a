package plan

// #include "runtime.h"
import "C"

import (
	"fmt"
	"slices"

	"gavel/internal/engine"
)

// faults are what gv_faults mean.
var faults = map[uint8]string{
	C.GV_UNKNOWN:    "a category is not known",
	C.GV_NOT_FINITE: "a number is NaN or infinite",
	C.GV_TOO_LONG:   "a text is too long",
	C.GV_NOT_UTF8:   "a text is not UTF-8",
	C.GV_NO_TEXT:    "a text is missing",
	C.GV_RANGE:      "an index is not in its table",
	C.GV_QUOTES:     "a quoted field does not end, or has more than a separator behind its closing quote; write a quote within a quoted field twice",
	C.GV_FIELDS:     "the line has fewer or more fields than there are columns; quote a field that holds the separator, and write missing ones too",
	C.GV_LINES:      "the text holds more than one line; give each row a text of its own, without a header",
	C.GV_NO_NUMBER:  "the field is no number; write it with digits, as -1.5 or 2e-3, or as the marker of missing fields",
	C.GV_NO_INTEGER: "the field is no whole number from -2147483648 to 2147483647; write it without a fraction or an exponent",
}

// rowErrors names the rows that have failed, for each member that they fail for, and forgets them.
func (b *Batch) rowErrors(n int) error {
	e := &engine.RowErrors{}
	for row := range n {
		texts := b.unfitIn(row)
		for member := range b.engine.members() {
			err := b.unfitFor(member, texts)
			if place := member*b.capacity + row; b.faults[place] != C.GV_OK {
				if err == nil {
					err = fmt.Errorf("plan: %s: %s", b.engine.stageOf(member, int(b.at[place])), faults[b.faults[place]])
				}
				b.faults[place] = C.GV_OK
			}
			if err != nil {
				e.Rows = append(e.Rows, engine.RowError{Row: row, Err: err, Outputs: b.engine.outputsOf(member)})
			}
		}
	}
	return e
}

// unfitIn are the texts of the row that no stage may see.
func (b *Batch) unfitIn(row int) (texts []unfit) {
	for _, of := range b.unfit {
		if of.row == row {
			texts = append(texts, of)
		}
	}
	return texts
}

// unfitFor is why a member cannot read the texts; nil if it does not read them.
func (b *Batch) unfitFor(member int, texts []unfit) error {
	for _, of := range texts {
		if b.engine.reads(member, of.input) {
			return of.err
		}
	}
	return nil
}

// members is how many plans are joined; 1 for one plan.
func (e *base) members() int { return max(len(e.parts), 1) }

// stageOf names a stage of the program as the member does.
func (e *base) stageOf(member, stage int) string {
	s := e.program.steps[stage]
	if e.parts != nil {
		for _, own := range e.joined[member].program.steps {
			if own.key == s.key {
				return own.name
			}
		}
	}
	return s.name
}

// reads says whether the member reads the input.
func (e *base) reads(member, input int) bool {
	return e.parts == nil || slices.Contains(e.parts[member].Inputs, input)
}

// outputsOf is what fails with a member; all outputs for one plan.
func (e *base) outputsOf(member int) engine.Span {
	if e.parts == nil {
		return engine.Span{}
	}
	return e.parts[member].Outputs
}
