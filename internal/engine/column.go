package engine

import (
	"errors"
	"fmt"
)

// Type is what a column's values are.
type Type uint8

// The types of columns.
const (
	Int32 Type = iota + 1
	Float32
	Float64
	Text // inputs only
)

// String is the type's name, as manifests write it.
func (t Type) String() string {
	switch t {
	case Int32:
		return "int32"
	case Float32:
		return "float32"
	case Float64:
		return "float64"
	case Text:
		return "text"
	default:
		return fmt.Sprintf("type %d", uint8(t))
	}
}

// TypeOf is the type of that name.
func TypeOf(name string) (t Type, ok bool) {
	for t := Int32; t <= Text; t++ {
		if t.String() == name {
			return t, true
		}
	}
	return 0, false
}

// Field is one column of a schema.
type Field struct {
	Name  string
	Type  Type
	Width int // values a row, at least 1
}

// Schema is what an engine takes and gives. Inputs and Outputs have at least one field each. Outputs are Float32 or
// Float64.
type Schema struct {
	Inputs  []Field
	Outputs []Field
}

// Check returns every fault of the schema, joined.
func (s *Schema) Check() error {
	var faults []error
	check := func(kind string, fields []Field, may func(Type) bool) {
		if len(fields) == 0 {
			faults = append(faults, fmt.Errorf("engine: the schema has no %s", kind))
		}
		names := map[string]bool{}
		for _, f := range fields {
			if f.Name == "" || names[f.Name] {
				faults = append(faults, fmt.Errorf("engine: %s %q: the name is empty or stands twice", kind, f.Name))
			}
			names[f.Name] = true
			if f.Width < 1 {
				faults = append(faults, fmt.Errorf("engine: %s %q has width %d, must be at least 1", kind, f.Name, f.Width))
			}
			if !may(f.Type) {
				faults = append(faults, fmt.Errorf("engine: %s %q cannot be of %v", kind, f.Name, f.Type))
			}
		}
	}
	check("input", s.Inputs, func(t Type) bool { return t >= Int32 && t <= Text })
	check("output", s.Outputs, func(t Type) bool { return t == Float32 || t == Float64 })
	return errors.Join(faults...)
}

// Column is the memory of one field: capacity × Width values, row-major. Only the slice of its type is set. The first
// three may lie in C memory. Text is Go memory: a text that was written stays readable until its row is overwritten or
// cleared.
type Column struct {
	Type    Type
	Width   int
	Int32   []int32
	Float32 []float32
	Float64 []float64
	Text    []string
}

// Fit returns an error unless the columns are memory for so many rows of the fields.
func Fit(columns []Column, fields []Field, rows int) error {
	if len(columns) != len(fields) {
		return fmt.Errorf("engine: %d columns for %d fields", len(columns), len(fields))
	}
	for i, f := range fields {
		c := &columns[i]
		got := [4]int{len(c.Int32), len(c.Float32), len(c.Float64), len(c.Text)}
		wanted := [4]int{}
		if f.Type >= Int32 && f.Type <= Text {
			wanted[f.Type-Int32] = rows * f.Width
		}
		if c.Type != f.Type || c.Width != f.Width || got != wanted {
			return fmt.Errorf("engine: column %q is %v of width %d with %v values (int32, float32, float64, text); %d rows of %v of width %d have %v",
				f.Name, c.Type, c.Width, got, rows, f.Type, f.Width, wanted)
		}
	}
	return nil
}

// Move copies n rows of every column from row src to row dst; the ranges may overlap.
func Move(columns []Column, dst, src, n int) { CopyRows(columns, dst, columns, src, n) }

// CopyRow copies row j of the columns from into row i of to. They are columns of the same fields.
func CopyRow(to []Column, i int, from []Column, j int) { CopyRows(to, i, from, j, 1) }

// CopyRows copies n rows of the columns from, from row j on, to row i and the following ones of to. They are columns of the
// same fields.
func CopyRows(to []Column, i int, from []Column, j, n int) {
	for k := range to {
		a, b := &to[k], &from[k]
		w := a.Width
		switch a.Type {
		case Int32:
			copy(a.Int32[i*w:(i+n)*w], b.Int32[j*w:(j+n)*w])
		case Float32:
			copy(a.Float32[i*w:(i+n)*w], b.Float32[j*w:(j+n)*w])
		case Float64:
			copy(a.Float64[i*w:(i+n)*w], b.Float64[j*w:(j+n)*w])
		case Text:
			copy(a.Text[i*w:(i+n)*w], b.Text[j*w:(j+n)*w])
		}
	}
}

// Clear sets n rows of every column, from row first on, to zeros and empty texts.
func Clear(columns []Column, first, n int) {
	for i := range columns {
		c := &columns[i]
		from, end := first*c.Width, (first+n)*c.Width
		switch c.Type {
		case Int32:
			clear(c.Int32[from:end])
		case Float32:
			clear(c.Float32[from:end])
		case Float64:
			clear(c.Float64[from:end])
		case Text:
			clear(c.Text[from:end])
		}
	}
}
