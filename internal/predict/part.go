package predict

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gavel/internal/engine"
	"gavel/internal/scoring"
)

// part is what one model does for a request whose rows are columns. Its memory serves later requests.
type part struct {
	version Version // held until the request is answered; nil: none
	table   table
	outputs outputs
}

// outputs is what a version computed for n rows.
type outputs struct {
	schema  *engine.Schema
	labels  []any
	n       int
	values  int             // in all columns
	columns []engine.Column // of schema.Outputs
	errs    []error         // by row: why it has no outputs; nil if it has

	held []engine.Column
}

// maxValues bounds the values that an answer holds. A plan's output can be millions of values wide.
const maxValues = 4 << 20

// begin makes columns for n rows of what v computes: most values at the most.
func (o *outputs) begin(v Version, n, most int) error {
	o.schema, o.labels, o.n = v.Schema(), v.Labels(), n
	o.columns = o.columns[:0]
	values := 0
	for _, f := range o.schema.Outputs {
		values += n * f.Width // widths are at most 2^24
	}
	if o.values = values; values > most {
		return fmt.Errorf("%w: the answer for %d rows has %d values, and at most %d are answered at a time", errTooManyRows, n, values, maxValues)
	}
	for len(o.held) < len(o.schema.Outputs) {
		o.held = append(o.held, engine.Column{})
	}
	for i, f := range o.schema.Outputs {
		h := &o.held[i]
		c := engine.Column{Type: f.Type, Width: f.Width}
		if f.Type == engine.Float32 {
			h.Float32 = grown(h.Float32, n*f.Width)
			c.Float32 = h.Float32
		} else {
			h.Float64 = grown(h.Float64, n*f.Width)
			c.Float64 = h.Float64
		}
		o.columns = append(o.columns, c)
	}
	o.errs = grown(o.errs, n)
	clear(o.errs)
	return nil
}

// grown returns memory for n values, s if it is large enough.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// bytes is about how much memory the outputs hold.
func (o *outputs) bytes() (n int) {
	for i := range o.held {
		n += 4*cap(o.held[i].Float32) + 8*cap(o.held[i].Float64)
	}
	return n + 16*cap(o.errs)
}

// score scores the rows of the table, and returns the outcome and an error if any row has no outputs.
func (p *part) score(deadline time.Time) (outcome, error) {
	t := &p.table
	t.lent = true
	o, err := p.scoreRows(t, deadline)
	t.lent = err != nil // else every row was answered, so no batch reads them any more
	return o, err
}

// scoreRows is score for the rows of any table that has the version's columns. The caller sets t.lent.
func (p *part) scoreRows(t *table, deadline time.Time) (outcome, error) {
	o := &p.outputs
	if err := o.begin(p.version, t.n, maxValues); err != nil {
		return outcomeTooLarge, err
	}
	return p.scored(p.version.ScoreColumns(t.columns, t.n, deadline, o.columns, o.errs))
}

// scored returns what the error of a version's ScoreColumns means.
func (p *part) scored(err error) (outcome, error) {
	if err != nil {
		return classify(err), refusedRows(err, p.outputs.n, func(i int) error { return p.outputs.errs[i] })
	}
	return outcomeOK, nil
}

// refusedRows returns err, or, if the model refused rows, an error that names them.
func refusedRows(err error, n int, of func(i int) error) error {
	if !errors.Is(err, scoring.ErrRow) {
		return err
	}
	var text strings.Builder
	bad := 0
	for i := range n {
		why := of(i)
		if !errors.Is(why, scoring.ErrRow) {
			continue
		}
		if bad++; bad <= maxFaults {
			fmt.Fprintf(&text, "; row %d: %v", i, why)
		}
	}
	return fmt.Errorf("%d of %d rows are refused (rows are numbered from 0)%s", bad, n, text.String())
}

// release releases the version, if there is one.
func (p *part) release() {
	if p.version != nil {
		p.version.Release()
		p.version = nil
	}
}

// trim drops what a large request made, and what refers to its model.
func (p *part) trim() {
	if p.table.bytes() > maxKept {
		p.table = table{lent: p.table.lent}
	}
	if p.outputs.bytes() > maxKept {
		p.outputs = outputs{}
	}
	p.outputs.schema, p.outputs.labels = nil, nil
	clear(p.outputs.errs)
}
