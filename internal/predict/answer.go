package predict

import (
	"fmt"
	"math"
	"strconv"

	"gavel/internal/engine"
)

// isClass says whether an output is the class of a classifier whose classes have labels. Its value is then the index of one.
func isClass(f *engine.Field, labels []any) bool {
	return len(labels) > 0 && f.Name == outputClass && f.Width == 1
}

// outputClass is the name of the output that is a class.
const outputClass = "class"

// value is value k of output i, counted over all rows.
func (o *outputs) value(i, k int) float64 {
	if c := &o.columns[i]; c.Type == engine.Float32 {
		return float64(c.Float32[k])
	}
	return o.columns[i].Float64[k]
}

// label is the label of a row's class.
func (o *outputs) label(i, row int) (any, error) {
	v := o.value(i, row)
	if k := int(v); v >= 0 && v < float64(len(o.labels)) && float64(k) == v {
		return o.labels[k], nil
	}
	return nil, fmt.Errorf("the model answers class %v for row %d; it has %d labels", v, row, len(o.labels))
}

// appendCell appends what output i is for a row: a label, a number, or a list of numbers if the output is wider than one.
func (o *outputs) appendCell(out []byte, i, row int) ([]byte, error) {
	if isClass(&o.schema.Outputs[i], o.labels) {
		label, err := o.label(i, row)
		return appendLabel(out, label), err
	}
	f := &o.schema.Outputs[i]
	if f.Width == 1 {
		return o.appendNumber(out, i, row)
	}
	var err error
	out = append(out, '[')
	for k := row * f.Width; k < (row+1)*f.Width; k++ {
		if k > row*f.Width {
			out = append(out, ',')
		}
		if out, err = o.appendNumber(out, i, k); err != nil {
			return out, err
		}
	}
	return append(out, ']'), nil
}

// appendNumber appends value k of output i, counted over all rows: the shortest decimal that reads back as the same float,
// or null if it is NaN. JSON cannot hold infinite numbers.
func (o *outputs) appendNumber(out []byte, i, k int) ([]byte, error) {
	c := &o.columns[i]
	v := o.value(i, k)
	switch {
	case math.IsNaN(v):
		return append(out, "null"...), nil
	case math.IsInf(v, 0):
		return out, fmt.Errorf("output %q of row %d is %v, which JSON cannot hold; ask for it in binary, by /v2", o.schema.Outputs[i].Name, k/c.Width, v)
	case c.Type == engine.Float32:
		return appendFloat(out, c.Float32[k]), nil
	}
	return appendFloat64(out, v), nil
}

// appendRows appends the answer by row: a list of a cell each, or of objects if there are several outputs.
func (o *outputs) appendRows(out []byte) ([]byte, error) {
	var err error
	out = append(out, '[')
	for row := range o.n {
		if row > 0 {
			out = append(out, ',')
		}
		if len(o.columns) == 1 {
			if out, err = o.appendCell(out, 0, row); err != nil {
				return out, err
			}
			continue
		}
		for i := range o.columns {
			out = appendKey(out, i == 0, o.schema.Outputs[i].Name)
			if out, err = o.appendCell(out, i, row); err != nil {
				return out, err
			}
		}
		out = append(out, '}')
	}
	return append(out, ']'), nil
}

// appendColumns appends the answer by column: a list of a cell for each row, or an object of such lists if there are several
// outputs.
func (o *outputs) appendColumns(out []byte) ([]byte, error) {
	if len(o.columns) == 1 {
		return o.appendColumn(out, 0)
	}
	var err error
	for i := range o.columns {
		out = appendKey(out, i == 0, o.schema.Outputs[i].Name)
		if out, err = o.appendColumn(out, i); err != nil {
			return out, err
		}
	}
	return append(out, '}'), nil
}

func (o *outputs) appendColumn(out []byte, i int) ([]byte, error) {
	var err error
	out = append(out, '[')
	for row := range o.n {
		if row > 0 {
			out = append(out, ',')
		}
		if out, err = o.appendCell(out, i, row); err != nil {
			return out, err
		}
	}
	return append(out, ']'), nil
}

// appendKey appends a key of an object, and what stands before it.
func appendKey(out []byte, first bool, key string) []byte {
	if first {
		out = append(out, '{')
	} else {
		out = append(out, ',')
	}
	return append(appendText(out, key), ':')
}

// appendLabel appends a class: a text, an int or a float.
func appendLabel(out []byte, label any) []byte {
	switch l := label.(type) {
	case string:
		return appendText(out, l)
	case int64:
		return strconv.AppendInt(out, l, 10)
	case float64:
		if !math.IsNaN(l) && !math.IsInf(l, 0) {
			return appendFloat64(out, l)
		}
	}
	return append(out, "null"...)
}

// appendText appends s, which must be UTF-8, as a JSON string.
func appendText(out []byte, s string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// appendFloat appends p so that every JSON reader takes it for a float: 1.0, not 1.
func appendFloat(out []byte, p float32) []byte { return appendFloatOf(out, float64(p), 32) }

func appendFloat64(out []byte, v float64) []byte { return appendFloatOf(out, v, 64) }

func appendFloatOf(out []byte, v float64, bits int) []byte {
	start := len(out)
	out = strconv.AppendFloat(out, v, 'g', -1, bits)
	for _, c := range out[start:] {
		if c == '.' || c == 'e' {
			return out
		}
	}
	return append(out, ".0"...)
}
