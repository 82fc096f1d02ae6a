package enginetest

import (
	"slices"
	"unsafe"

	"gavel/internal/engine"
)

// columns allocates capacity rows of fields, all zeros and empty texts.
func columns(fields []engine.Field, capacity int) []engine.Column {
	all := make([]engine.Column, len(fields))
	for k, field := range fields {
		c := &all[k]
		c.Type, c.Width = field.Type, field.Width
		switch n := capacity * field.Width; field.Type {
		case engine.Int32:
			c.Int32 = make([]int32, n)
		case engine.Float32:
			c.Float32 = make([]float32, n)
		case engine.Float64:
			c.Float64 = make([]float64, n)
		case engine.Text:
			c.Text = make([]string, n)
		}
	}
	return all
}

// outputs returns the values of row i in the order of Golden.Want.
func outputs(b engine.Batch, i int) (values []float64) {
	for _, c := range b.Outputs() {
		for j := i * c.Width; j < (i+1)*c.Width; j++ {
			if c.Type == engine.Float32 {
				values = append(values, float64(c.Float32[j]))
			} else {
				values = append(values, c.Float64[j])
			}
		}
	}
	return values
}

// cell returns row i of a column. Only the slice of its type is not empty.
func cell(c *engine.Column, i int) (r engine.Column) {
	switch from, to := i*c.Width, (i+1)*c.Width; c.Type {
	case engine.Int32:
		r.Int32 = c.Int32[from:to]
	case engine.Float32:
		r.Float32 = c.Float32[from:to]
	case engine.Float64:
		r.Float64 = c.Float64[from:to]
	case engine.Text:
		r.Text = c.Text[from:to]
	}
	return r
}

// copyRow copies row j of from to row i of to, which has the same schema.
func copyRow(to []engine.Column, i int, from []engine.Column, j int) {
	for k := range to {
		a, b := cell(&to[k], i), cell(&from[k], j)
		copy(a.Int32, b.Int32)
		copy(a.Float32, b.Float32)
		copy(a.Float64, b.Float64)
		copy(a.Text, b.Text)
	}
}

func equalRows(x []engine.Column, i int, y []engine.Column, j int) bool {
	for k := range x {
		a, b := cell(&x[k], i), cell(&y[k], j)
		if !slices.Equal(a.Int32, b.Int32) || !slices.Equal(a.Float32, b.Float32) ||
			!slices.Equal(a.Float64, b.Float64) || !slices.Equal(a.Text, b.Text) {
			return false
		}
	}
	return true
}

// address returns a pointer to a column's first value.
func address(c *engine.Column) unsafe.Pointer {
	switch c.Type {
	case engine.Int32:
		return unsafe.Pointer(unsafe.SliceData(c.Int32))
	case engine.Float32:
		return unsafe.Pointer(unsafe.SliceData(c.Float32))
	case engine.Float64:
		return unsafe.Pointer(unsafe.SliceData(c.Float64))
	default:
		return unsafe.Pointer(unsafe.SliceData(c.Text))
	}
}
