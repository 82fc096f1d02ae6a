package predict

import (
	"errors"
	"fmt"
	"strings"

	"gavel/internal/engine"
)

// parse reads a body of TensorFlow Serving's form, after begin:
//
//	{"instances": [{"sentence": "good", "age": 31}, …]}      by row
//	{"inputs": {"sentence": ["good", …], "age": [31, …]}}    by column
//
// A model of one column may be given bare cells: {"instances": ["good", …]} or {"inputs": ["good", …]}. The columns of a row
// may come in any order.
func (t *table) parse() error {
	err := t.object(t.member)
	if err == nil {
		err = t.end()
	}
	t.data = nil
	switch {
	case err != nil:
		return err
	case !t.given:
		return errors.New(`the body has neither "instances" nor "inputs"; send {"instances": [{` + t.sketch() + `}, …]}`)
	}
	return t.finish()
}

// member reads one key of the body with its value.
func (t *table) member() error {
	key, err := t.key(keyInstances, keyInputs, keySignature)
	if err != nil {
		return err
	}
	switch key {
	case keyInstances, keyInputs:
		if t.given {
			return errTwice
		}
		t.given, t.columnar = true, key == keyInputs
		switch {
		case !t.columnar:
			return t.list("a list of rows", t.row)
		case t.next() == '{':
			return t.byColumn()
		case len(t.schema.Inputs) > 1:
			return fmt.Errorf(`"inputs" is no object; the model has several columns, so send {"inputs": {%s: […], …}}`, t.first())
		}
		return t.wholeColumn(0)
	case keySignature:
		return t.signature(defaultSignature)
	default: // ignored, as TensorFlow Serving ignores it
		_, err := t.value()
		return err
	}
}

// row reads one row: an object, or the bare cell of a model of one column.
func (t *table) row() error {
	if t.n == t.maxRows {
		return errTooManyRows
	}
	row := t.n
	t.n++
	if t.next() == '{' {
		return t.namedRow(row)
	}
	if len(t.schema.Inputs) == 1 {
		return t.cell(0, row)
	}
	text, err := t.value()
	if err == nil {
		t.fault(row, "%s is given; an object is accepted, {%s}", show(text), t.sketch())
	}
	return err
}

// namedRow reads a row as an object. It expects the columns in the order of the row before.
func (t *table) namedRow(row int) error {
	count, place := 0, 0
	err := t.object(func() error {
		next := place
		if place < len(t.schema.Inputs) {
			next = t.order[place]
		}
		c, name, err := t.column(next)
		switch {
		case err != nil:
			return err
		case c >= 0 && t.seen[c] <= row:
			if t.seen[c] = row + 1; place < len(t.schema.Inputs) {
				t.order[place] = c
			}
			count++
			place++
			return t.cell(c, row)
		case c >= 0:
			t.fault(row, "column %q is given twice", t.schema.Inputs[c].Name)
		case !t.elsewhere(name):
			t.fault(row, "column %q is given; the model has %s", show(name), t.columnNames())
		}
		_, err = t.value()
		return err
	})
	if err == nil && count < len(t.schema.Inputs) {
		t.fault(row, "column %q is missing", t.schema.Inputs[t.unseen(row)].Name)
	}
	return err
}

// unseen is the first column that a row does not give.
func (t *table) unseen(row int) int {
	for c := range t.schema.Inputs {
		if t.seen[c] <= row {
			return c
		}
	}
	return 0
}

// byColumn reads an object of whole columns.
func (t *table) byColumn() error {
	first := -1
	next := 0
	err := t.object(func() error {
		c, name, err := t.column(next)
		switch {
		case err != nil:
			return err
		case c < 0 && t.elsewhere(name):
			_, err = t.value()
			return err
		case c < 0:
			return fmt.Errorf(`"inputs" has column %q; the model has %s`, show(name), t.columnNames())
		case t.seen[c] > 0:
			return fmt.Errorf(`"inputs" has column %q twice`, t.schema.Inputs[c].Name)
		}
		t.seen[c] = 1
		next = c + 1
		before := t.n
		if err = t.wholeColumn(c); err != nil {
			return err
		}
		if first >= 0 && t.n != before {
			return fmt.Errorf("column %q has %d rows, and column %q has %d; all need as many",
				t.schema.Inputs[first].Name, before, t.schema.Inputs[c].Name, t.n)
		}
		if first < 0 {
			first = c
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c := t.unseen(0); t.seen[c] == 0 {
		return fmt.Errorf(`"inputs" lacks column %q`, t.schema.Inputs[c].Name)
	}
	return nil
}

// wholeColumn reads column c as a list of cells, and sets t.n to how many there are.
func (t *table) wholeColumn(c int) error {
	n := 0
	err := t.list("a list of rows", func() error {
		if n == t.maxRows {
			return errTooManyRows
		}
		n++
		return t.cell(c, n-1)
	})
	t.n = n
	return err
}

// columnNames lists the columns of the model, the first of many.
func (t *table) columnNames() string { return namesOf(t.schema.Inputs) }

func namesOf(fields []engine.Field) string {
	const most = 16
	var b strings.Builder
	for i, f := range fields {
		switch {
		case i == most:
			fmt.Fprintf(&b, " and %d more", len(fields)-most)
			return b.String()
		case i > 0:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", f.Name)
	}
	return b.String()
}

// sketch shows how a row begins.
func (t *table) sketch() string {
	if len(t.schema.Inputs) == 1 {
		return t.first() + ": …"
	}
	return fmt.Sprintf("%s: …, %q: …", t.first(), t.schema.Inputs[1].Name)
}

func (t *table) first() string { return fmt.Sprintf("%q", t.schema.Inputs[0].Name) }
