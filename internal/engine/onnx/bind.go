package onnx

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"gavel/internal/engine"
)

// bind makes the schema of what the model takes and gives. Its labels are left out of the outputs. The error joins every
// input and output that is no column.
func (e *Engine) bind(f *file, v *engine.Version) error {
	var faults []error
	for i := range unsafe.Slice(e.c.input, int(e.c.inputs)) {
		in := &unsafe.Slice(e.c.input, int(e.c.inputs))[i]
		field, err := column("input", in)
		if err != nil {
			faults = append(faults, err)
		}
		e.schema.Inputs = append(e.schema.Inputs, field)
	}
	for i := 0; i < int(e.c.outputs); {
		out := &unsafe.Slice(e.c.output, int(e.c.outputs))[i]
		if labels := f.classes(C.GoString(out.name)); labels != nil && out.kind == C.ORT_TENSOR && (out.element == C.ORT_INT64 || out.element == C.ORT_STRING) {
			e.labels = labels
			C.onnx_drop_output(e.c, C.int64_t(i))
			continue
		}
		field, err := column("output", out)
		if err != nil {
			faults = append(faults, err)
		}
		e.schema.Outputs = append(e.schema.Outputs, field)
		i++
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	if len(e.schema.Outputs) == 0 {
		return errors.New("onnx: the model gives labels alone; export it with its probabilities")
	}
	if err := e.nameProbability(); err != nil {
		return err
	}
	if err := e.schema.Check(); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	in := e.schema.Inputs
	if v.RowLen > 0 && (len(in) != 1 || in[0].Type != engine.Int32 || in[0].Width != v.RowLen) {
		return fmt.Errorf("onnx: the model takes %v; by the manifest it takes int32[?, %d]", in, v.RowLen)
	}
	return nil
}

// nameProbability calls the output of a classifier that has a column for each class "probability", as engine.Labeler has it.
func (e *Engine) nameProbability() error {
	if e.labels == nil {
		return nil
	}
	var found []*engine.Field
	for i := range e.schema.Outputs {
		if f := &e.schema.Outputs[i]; f.Width == len(e.labels) {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		return fmt.Errorf("onnx: the model gives labels of %d classes, but %d of its outputs have a column for each; remove the labels, or give it one such output",
			len(e.labels), len(found))
	}
	found[0].Name = "probability"
	return nil
}

// elements are the types of elements that columns hold.
var elements = map[C.int]engine.Type{
	C.ORT_FLOAT: engine.Float32, C.ORT_DOUBLE: engine.Float64, C.ORT_INT32: engine.Int32, C.ORT_INT64: engine.Int32, C.ORT_STRING: engine.Text,
}

// names are how messages call types of elements, by onnxruntime's numbers.
var names = map[C.int]string{
	1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16", 11: "double",
	12: "uint32", 13: "uint64", 16: "bfloat16",
}

// column returns the field of an input or output.
func column(kind string, f *C.onnx_field) (engine.Field, error) {
	name := C.GoString(f.name)
	refuse := func(format string, args ...any) (engine.Field, error) {
		return engine.Field{Name: name}, fmt.Errorf("onnx: %s %q %s", kind, name, fmt.Sprintf(format, args...))
	}
	switch f.kind {
	case C.ORT_TENSOR:
	case C.ORT_SEQUENCE, C.ORT_MAP:
		return refuse("is a sequence or a map, and columns are needed; convert a classifier with zipmap=False")
	default:
		return refuse("is no dense tensor; convert the model so that it is one")
	}
	element := names[f.element]
	if element == "" {
		element = fmt.Sprintf("type %d", int(f.element))
	}
	t, ok := elements[f.element]
	if !ok {
		return refuse("is of %s; cast it to float, double, int32, int64 or string in the model", element)
	}
	if kind == "output" && t != engine.Float32 && t != engine.Float64 {
		return refuse("is of %s, and is not the labels of a classifier of the model; cast it to float or double, or remove it", element)
	}
	switch {
	case f.rank == 0:
		return refuse("is a single value; a value a row, [N] or [N, k], is needed")
	case f.rank > 2:
		return refuse("has %d dimensions; [N] or [N, k] is needed, so reshape it in the model", int64(f.rank))
	case f.dims[0] >= 0:
		return refuse("has %d rows, always; export the model with a dynamic first dimension, so that rows can be joined", int64(f.dims[0]))
	case f.rank == 1:
		return engine.Field{Name: name, Type: t, Width: 1}, nil
	case f.dims[1] < 1 || f.dims[1] > 1<<24:
		return refuse("has no fixed number of columns; name it when the model is exported, as [None, 8]")
	case t == engine.Text && f.dims[1] > 1:
		return refuse("has %d columns of strings; make an input of each", int64(f.dims[1]))
	default:
		return engine.Field{Name: name, Type: t, Width: int(f.dims[1])}, nil
	}
}
