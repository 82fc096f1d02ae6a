package engines

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gavel/internal/engine"
	"gavel/internal/engine/workers"
)

// rows say where a described row goes in an engine's inputs, and where the wanted probability is in its outputs.
type rows struct {
	oneHot   bool
	inputs   []int // of a table: the engine's input of each column
	output   int
	positive int // column of the output
}

// fit compares an engine with what a source describes. The error joins every fault.
func fit(schema *engine.Schema, s *workers.Source) (r rows, err error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("engines: %s: "+format, append([]any{s.Name}, args...)...))
	}
	switch in := schema.Inputs; s.Rows {
	case workers.OneHot:
		r.oneHot = true
		if len(in) != 1 || in[0].Width != s.Width || in[0].Type != engine.Float32 && in[0].Type != engine.Float64 {
			fault("the model takes %s; one-hot rows need one input of floats, [N, %d]", describe(in), s.Width)
		}
	default:
		for _, c := range s.Columns {
			at := slices.IndexFunc(in, func(f engine.Field) bool { return f.Name == c.Name })
			if r.inputs = append(r.inputs, at); at < 0 {
				fault("the model has no input %q; it takes %s", c.Name, describe(in))
			} else if !slices.Contains(columnTypes[c.Type], in[at].Type) || in[at].Width != 1 {
				fault("the model's input %q is %v[N, %d], its column is described as %s, of width 1", c.Name, in[at].Type, in[at].Width, c.Type)
			}
		}
		if len(in) > len(s.Columns) {
			fault("the model takes %s; describe a column for each", describe(in))
		}
	}
	r.output = slices.IndexFunc(schema.Outputs, func(f engine.Field) bool { return f.Name == "probability" })
	if r.output < 0 && len(schema.Outputs) == 1 {
		r.output = 0
	}
	switch {
	case r.output < 0:
		fault("the model gives %s; it needs probabilities alone, or an output named \"probability\"", describe(schema.Outputs))
	case schema.Outputs[r.output].Width == 1: // that of the sale
	case s.Positive >= schema.Outputs[r.output].Width:
		fault("positive is %d, the model gives the probabilities of %d classes", s.Positive, schema.Outputs[r.output].Width)
	default:
		r.positive = s.Positive
	}
	return r, errors.Join(faults...)
}

// columnTypes are the types of inputs that take a column.
var columnTypes = map[workers.ColumnType][]engine.Type{
	workers.Text: {engine.Text}, workers.Float64: {engine.Float64, engine.Float32}, workers.Int64: {engine.Int32},
}

// describe is fields as `"x" float32[N, 12]`.
func describe(fields []engine.Field) string {
	text := ""
	for i, f := range fields {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%q %v[N, %d]", f.Name, f.Type, f.Width)
	}
	return text
}

// write writes one-hot columns into the row of a batch for one, or takes them back with a value of 0.
func write(row *engine.Column, columns []int32, value float64) {
	for _, c := range columns {
		if row.Type == engine.Float32 {
			row.Float32[c] = float32(value)
		} else {
			row.Float64[c] = value
		}
	}
}

// writeTable writes a row of named columns into a batch for one.
func (r *rows) writeTable(inputs []engine.Column, row []any) error {
	if len(row) != len(r.inputs) {
		return fmt.Errorf("engines: a row of %d values for %d columns", len(row), len(r.inputs))
	}
	for i, value := range row {
		to := &inputs[r.inputs[i]]
		switch v := value.(type) {
		case string:
			to.Text[0] = v
		case float64:
			if to.Type == engine.Float32 {
				to.Float32[0] = float32(v)
			} else {
				to.Float64[0] = v
			}
		case int64:
			if v < math.MinInt32 || v > math.MaxInt32 {
				return fmt.Errorf("engines: %d is no 32-bit integer", v)
			}
			to.Int32[0] = int32(v)
		default:
			return fmt.Errorf("engines: a column holds a %T", value)
		}
	}
	return nil
}

// probability is that of row 0 of a batch that has run.
func (r *rows) probability(outputs []engine.Column) (float64, error) {
	p, c := 0.0, &outputs[r.output]
	if c.Type == engine.Float32 {
		p = float64(c.Float32[r.positive])
	} else {
		p = c.Float64[r.positive]
	}
	if !(p >= 0 && p <= 1) {
		return 0, fmt.Errorf("engines: the model's result %v is not a probability", p)
	}
	return p, nil
}
