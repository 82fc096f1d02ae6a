package predict

import (
	"fmt"
	"unicode/utf8"

	"gavel/internal/engine"
)

// missingText is a missing value of a text column. No UTF-8 text equals it.
const missingText = "\xff"

// table reads a request's rows into typed columns, in one pass. For a valid body of the usual form it allocates nothing.
// Its memory, which texts point into, is used again by the next request.
//
// Faults of values are collected as request collects them; a fault of the JSON, or of the columns as a whole, ends the
// reading. Values are never converted: a column takes the values of its type alone, and null where it may be missing.
type table struct {
	scanner
	refusals
	texts texts

	schema  *engine.Schema
	maxRows int
	// others are the schemas of the other models that the same body is for: their columns are no faults.
	others []*engine.Schema

	n       int  // rows read
	lent    bool // a batch that still runs may read the texts
	held    []engine.Column
	columns []engine.Column // what parse read: the columns of schema.Inputs, n rows each
	bad     map[int]bool    // the refused rows; nil: none yet

	seen  []int          // by column: the last row that gave it, plus 1
	order []int          // the columns in the order in which the last row gave them
	names map[string]int // columns by name, for schemas of many; made for named
	named *engine.Schema

	given    bool // the body has instances or inputs
	columnar bool // "inputs", not "instances"
}

// manyColumns is from where on a map finds columns by their names.
const manyColumns = 16

// begin prepares for the rows of another body. The zero table is ready for it.
func (t *table) begin(data []byte, schema *engine.Schema, maxRows int) {
	t.clear(len(data))
	t.scanner = scanner{data: data}
	t.refusals = refusals{faults: t.faults[:0]}
	t.schema, t.maxRows, t.others = schema, maxRows, nil
	t.n, t.bad, t.given, t.columnar = 0, nil, false, false
	inputs := len(schema.Inputs)
	for len(t.held) < inputs {
		t.held = append(t.held, engine.Column{})
		t.seen = append(t.seen, 0)
		t.order = append(t.order, 0)
	}
	for i := range inputs {
		t.seen[i], t.order[i] = 0, i
	}
	if inputs >= manyColumns && t.named != schema {
		t.named, t.names = schema, make(map[string]int, inputs)
		for i, f := range schema.Inputs {
			t.names[f.Name] = i
		}
	}
}

// clear empties the columns. texts are made ready for so many bytes.
func (t *table) clear(texts int) {
	for i := range t.held {
		c := &t.held[i]
		clear(c.Text)
		c.Int32, c.Float32, c.Float64, c.Text = c.Int32[:0], c.Float32[:0], c.Float64[:0], c.Text[:0]
	}
	clear(t.columns[:cap(t.columns)])
	t.columns = t.columns[:0]
	t.texts.reset(texts, !t.lent)
	t.lent = false
}

// finish returns the error of a body that was read to its end, and makes the columns.
func (t *table) finish() error {
	switch {
	case t.n == 0:
		return errNoRows
	case t.refused > 0:
		return t.refusal(t.n, "rows")
	}
	for i, f := range t.schema.Inputs {
		c := engine.Column{Type: f.Type, Width: f.Width}
		switch h := &t.held[i]; f.Type {
		case engine.Int32:
			c.Int32 = h.Int32
		case engine.Float32:
			c.Float32 = h.Float32
		case engine.Float64:
			c.Float64 = h.Float64
		case engine.Text:
			c.Text = h.Text
		}
		t.columns = append(t.columns, c)
	}
	return nil
}

// bytes is about how much memory the columns hold.
func (t *table) bytes() (n int) {
	for i := range t.held {
		c := &t.held[i]
		n += 4*cap(c.Int32) + 4*cap(c.Float32) + 8*cap(c.Float64) + 16*cap(c.Text)
	}
	return n + cap(t.texts.memory)
}

// fault refuses a row, and says why if it is the row's first fault.
func (t *table) fault(row int, format string, args ...any) {
	if t.bad[row] {
		return
	}
	if t.bad == nil {
		t.bad = map[int]bool{}
	}
	t.bad[row] = true
	t.refuse("row %d, %s", row, fmt.Sprintf(format, args...))
}

// column reads a key, and returns which column it names; −1 if none. next is the column that is expected.
func (t *table) column(next int) (c int, name string, err error) {
	if t.next() != '"' {
		return 0, "", t.unexpected("the name of a column")
	}
	inputs := t.schema.Inputs
	if next < len(inputs) && t.quoted(inputs[next].Name) {
		return next, "", t.colon()
	}
	if name, err = t.name(); err != nil {
		return 0, "", err
	}
	if c = t.find(name); c >= 0 {
		name = ""
	}
	return c, name, t.colon()
}

// name reads any string. It may be shared with the body, and must not be kept.
func (t *table) name() (string, error) {
	begin := len(t.texts.memory)
	if s, ok := t.string(&t.texts); ok {
		t.texts.memory = t.texts.memory[:begin]
		return s, nil
	}
	return t.text()
}

func (t *table) find(name string) int {
	if len(t.schema.Inputs) >= manyColumns {
		if c, ok := t.names[name]; ok {
			return c
		}
		return -1
	}
	return indexOf(t.schema.Inputs, name)
}

func indexOf(fields []engine.Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}

// elsewhere says whether another model has the column.
func (t *table) elsewhere(name string) bool {
	for _, s := range t.others {
		if indexOf(s.Inputs, name) >= 0 {
			return true
		}
	}
	return false
}

// cell reads what column c holds in a row: a value, or a list of them if the column is wider than one.
func (t *table) cell(c, row int) error {
	f := &t.schema.Inputs[c]
	if f.Width == 1 {
		return t.scalar(c, row, native)
	}
	if t.next() != '[' {
		text, err := t.value()
		if err == nil {
			t.fault(row, "column %q: %s is given; a list of %d is accepted, each %s", f.Name, show(text), f.Width, accepted(f.Type, native))
		}
		return err
	}
	count := 0
	err := t.list("a list", func() error {
		if count++; count > f.Width {
			_, err := t.value()
			return err
		}
		return t.scalar(c, row, native)
	})
	if err == nil && count != f.Width {
		t.fault(row, "column %q: a list of %d is given; a list of %d is accepted, each %s", f.Name, count, f.Width, accepted(f.Type, native))
	}
	return err
}

// scalar reads one value of column c, which is written as a value of the wire's type as.
func (t *table) scalar(c, row int, as datatype) error {
	if h := &t.held[c]; t.schema.Inputs[c].Type == engine.Text {
		if s, ok := t.string(&t.texts); ok {
			h.Text = append(h.Text, s)
			return nil
		}
	} else if at := t.at; t.take(h, t.schema.Inputs[c].Type, as) {
		return nil
	} else {
		t.at = at
	}
	return t.odd(c, row, as)
}

// take reads a number and appends it to a column, if the column can hold exactly what the type as makes of it.
func (t *table) take(h *engine.Column, of engine.Type, as datatype) bool {
	n, ok := t.number()
	if !ok {
		return false
	}
	switch {
	case of == engine.Int32:
		v, ok := n.int32()
		if ok {
			h.Int32 = append(h.Int32, v)
		}
		return ok
	case as == typeINT32 || as == typeINT64:
		v, ok := n.int64()
		return ok && (as == typeINT64 || v == int64(int32(v))) && appendWhole(h, of, v)
	case of == engine.Float32:
		v, ok := n.float32()
		if ok {
			h.Float32 = append(h.Float32, v)
		}
		return ok
	case as == typeFP32:
		v, ok := n.float32()
		if ok {
			h.Float64 = append(h.Float64, float64(v))
		}
		return ok
	default:
		v, ok := n.float64()
		if ok {
			h.Float64 = append(h.Float64, v)
		}
		return ok
	}
}

// odd reads any value where scalar found none that the column takes. It is null, or refuses the row.
func (t *table) odd(c, row int, as datatype) error {
	text, err := t.value()
	if err != nil {
		return err
	}
	f := &t.schema.Inputs[c]
	if string(text) == "null" && appendMissing(&t.held[c], f.Type) {
		return nil
	}
	why := ""
	switch {
	case text[0] != '"' || f.Type != engine.Text:
	case utf8.Valid(text):
		why = ", which has half of a surrogate pair"
	default:
		why = ", which is not UTF-8"
	}
	t.fault(row, "column %q: %s is given%s; %s is accepted", f.Name, show(text), why, accepted(f.Type, as))
	return nil
}

// appendMissing appends a missing value, if the type has one.
func appendMissing(h *engine.Column, of engine.Type) bool {
	switch of {
	case engine.Float32:
		h.Float32 = append(h.Float32, nan32)
	case engine.Float64:
		h.Float64 = append(h.Float64, nan64)
	case engine.Text:
		h.Text = append(h.Text, missingText)
	default:
		return false
	}
	return true
}

// appendWhole appends v to a column of a number type, if the column holds v exactly.
func appendWhole(h *engine.Column, of engine.Type, v int64) bool {
	switch of {
	case engine.Int32:
		if v != int64(int32(v)) {
			return false
		}
		h.Int32 = append(h.Int32, int32(v))
	case engine.Float32:
		if v < -1<<24 || v > 1<<24 {
			return false
		}
		h.Float32 = append(h.Float32, float32(v))
	case engine.Float64:
		if v < -1<<53 || v > 1<<53 {
			return false
		}
		h.Float64 = append(h.Float64, float64(v))
	default:
		return false
	}
	return true
}

// mayMiss says whether a column of the type can hold a missing value.
func mayMiss(of engine.Type) bool { return of != engine.Int32 }
