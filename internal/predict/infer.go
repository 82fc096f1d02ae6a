package predict

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"gavel/internal/engine"
)

// infer reads an inference request of the Open Inference Protocol into a table:
//
//	{"id": "7", "inputs": [{"name": "age", "shape": [2], "datatype": "FP64", "data": [31, 40]}, …],
//	 "outputs": [{"name": "probability", "parameters": {"binary_data": true}}]}
//
// Tensors that have binary_data_size follow the JSON as bytes, in the order of the inputs.
type infer struct {
	*table
	id      []byte // the JSON of the id, within the body; nil: none
	wanted  []wanted
	chosen  bool // the request has outputs
	tensors []tensor
	binary  bool // binary_data_output: outputs are binary unless they say otherwise
}

// wanted is an output of the answer.
type wanted struct {
	output int  // in the schema's
	binary bool // the parameter binary_data, if said; else as infer.binary
	said   bool
}

// tensor is an input as the request describes it.
type tensor struct {
	column  int
	as      datatype
	n, dims int
	width   int // the second dimension, where there is one
	data    int // where the JSON data begin; 0: there are none
	bytes   int // binary_data_size; −1: none

	name, datatype string
	read           bool // its values are in the table
}

// parse reads body, whose first header bytes are JSON. It keeps the part of body that is the id.
func (r *infer) parse(t *table, body []byte, header int, schema *engine.Schema, maxRows int) error {
	*r = infer{table: t, wanted: r.wanted[:0], tensors: r.tensors[:0]}
	t.begin(body, schema, maxRows)
	t.data = body[:header]
	t.n = -1
	err := t.object(r.member)
	if err == nil {
		err = t.end()
	}
	if err == nil {
		err = r.readBinary(body[header:])
	}
	t.data = nil
	if err != nil {
		return err
	}
	if len(r.tensors) == 0 {
		return errors.New(`the body has no "inputs"; send {"inputs": [{"name": …, "shape": […], "datatype": …, "data": […]}, …]}`)
	}
	for i, f := range schema.Inputs {
		if t.seen[i] == 0 {
			return fmt.Errorf("input %q is missing", f.Name)
		}
	}
	if !r.chosen {
		for i := range schema.Outputs {
			r.wanted = append(r.wanted, wanted{output: i})
		}
	}
	for i := range r.wanted {
		if w := &r.wanted[i]; !w.said {
			w.binary = r.binary
		}
	}
	return t.finish()
}

func (r *infer) member() error {
	key, err := r.key("id", "parameters", "inputs", "outputs")
	if err != nil {
		return err
	}
	if key != "inputs" && r.null() {
		return nil
	}
	switch key {
	case "id":
		if r.next() != '"' {
			return r.unexpected("the id, a text,")
		}
		r.id, err = r.value()
		return err
	case "parameters":
		return r.parameters("the request", func(key string, value []byte) error {
			if key == "binary_data_output" {
				return flag(key, value, &r.binary)
			}
			return nil
		})
	case "inputs":
		if len(r.tensors) > 0 {
			return errors.New(`"inputs" is given twice`)
		}
		return r.list("a list of inputs", r.input)
	case "outputs":
		if r.chosen {
			return errors.New(`"outputs" is given twice`)
		}
		r.chosen = true
		return r.list("a list of outputs", r.output)
	default:
		_, err := r.value()
		return err
	}
}

// null reads null, which some clients send for what they leave out.
func (r *infer) null() bool {
	r.next()
	if rest := r.data[r.at:]; len(rest) < 4 || string(rest[:4]) != "null" {
		return false
	}
	r.at += 4
	return true
}

// parameters reads an object of parameters. Those that would change the meaning of the request, and that each does not
// know, are refused; others are ignored, as the protocol has it.
func (r *infer) parameters(of string, each func(key string, value []byte) error) error {
	if r.null() {
		return nil
	}
	return r.object(func() error {
		key, err := r.key("binary_data_size", "binary_data", "binary_data_output")
		if err != nil {
			return err
		}
		value, err := r.value()
		if err != nil {
			return err
		}
		if strings.HasPrefix(key, "shared_memory") || key == "classification" || key == "content_type" && string(value) == `"base64"` {
			return fmt.Errorf("%s has parameter %q: %s, which is not supported", of, key, show(value))
		}
		return each(key, value)
	})
}

func flag(key string, value []byte, to *bool) error {
	if *to = string(value) == "true"; !*to && string(value) != "false" {
		return fmt.Errorf("parameter %q is %s; true and false are accepted", key, show(value))
	}
	return nil
}

func (r *infer) output() error {
	w := wanted{output: -1}
	err := r.object(func() error {
		key, err := r.key("name", "parameters")
		if err != nil {
			return err
		}
		switch key {
		case "name":
			if r.next() != '"' {
				return r.unexpected("the name of an output")
			}
			name, err := r.name()
			if err != nil {
				return err
			}
			if w.output = indexOf(r.schema.Outputs, name); w.output < 0 {
				return fmt.Errorf("output %q is asked for; the model has %s", show(name), namesOf(r.schema.Outputs))
			}
			return nil
		case "parameters":
			return r.parameters("an output", func(key string, value []byte) error {
				if key == "binary_data" {
					w.said = true
					return flag(key, value, &w.binary)
				}
				return nil
			})
		default:
			_, err := r.value()
			return err
		}
	})
	switch {
	case err != nil:
		return err
	case w.output < 0:
		return errors.New("an output has no name")
	}
	for _, other := range r.wanted {
		if other.output == w.output {
			return fmt.Errorf("output %q is asked for twice", r.schema.Outputs[w.output].Name)
		}
	}
	r.wanted = append(r.wanted, w)
	return nil
}

// input reads one tensor. Its data are read at once if name, shape and datatype stand before them.
func (r *infer) input() error {
	x := tensor{column: -1, dims: -1, bytes: -1}
	err := r.object(func() error { return r.inputMember(&x) })
	if err != nil {
		return err
	}
	if x.data == 0 && x.bytes < 0 {
		return fmt.Errorf("input %q has no data", show(x.name))
	}
	if x.data > 0 && x.bytes >= 0 {
		return fmt.Errorf("input %q has both data and binary_data_size", show(x.name))
	}
	if !x.read {
		if err := r.resolve(&x); err != nil {
			return err
		}
		if x.data > 0 {
			end := r.at
			r.at = x.data
			if err := r.values(&x); err != nil {
				return err
			}
			r.at = end
		}
	}
	r.tensors = append(r.tensors, x)
	return nil
}

func (r *infer) inputMember(x *tensor) error {
	key, err := r.key("name", "shape", "datatype", "data", "parameters")
	if err != nil {
		return err
	}
	switch key {
	case "name":
		return r.known(&x.name, "the name of an input", func(i int) string {
			if i < len(r.schema.Inputs) {
				return r.schema.Inputs[i].Name
			}
			return ""
		}, len(r.tensors))
	case "datatype":
		return r.known(&x.datatype, "the name of a datatype", func(i int) string {
			if i < int(datatypes) {
				return datatypeNames[i]
			}
			return ""
		}, 1)
	case "shape":
		return r.shape(x)
	case "data":
		if x.data > 0 {
			return errors.New(`an input has "data" twice`)
		}
		r.next()
		if x.data = r.at; x.name == "" || x.datatype == "" || x.dims < 0 {
			_, err := r.value()
			return err
		}
		if err := r.resolve(x); err != nil {
			return err
		}
		x.read = true
		return r.values(x)
	case "parameters":
		return r.parameters("an input", func(key string, value []byte) error {
			if key != "binary_data_size" {
				return nil
			}
			x.bytes, err = strconv.Atoi(string(value))
			if err != nil || x.bytes < 0 {
				return fmt.Errorf("parameter %q is %s; a number of bytes is accepted", key, show(value))
			}
			return nil
		})
	default:
		_, err := r.value()
		return err
	}
}

// known reads a text. It is usually one of those that name returns, from index i on until "", which are then not copied.
func (r *infer) known(to *string, what string, name func(i int) string, i int) error {
	if r.next() != '"' {
		return r.unexpected(what)
	}
	for ; ; i++ {
		known := name(i)
		if known == "" {
			break
		}
		if r.quoted(known) {
			*to = known
			return nil
		}
	}
	var err error
	*to, err = r.text()
	return err
}

func (r *infer) shape(x *tensor) error {
	x.dims = 0
	return r.list("a shape", func() error {
		n, ok := r.number()
		v, whole := n.int64()
		if !ok || !whole || v < 0 || v > math.MaxInt32 {
			return r.unexpected("a dimension, a whole number,")
		}
		switch x.dims {
		case 0:
			x.n = int(v)
		case 1:
			x.width = int(v)
		}
		x.dims++
		return nil
	})
}

// resolve finds the column of a tensor, and checks its type and shape.
func (r *infer) resolve(x *tensor) error {
	x.column = r.find(x.name)
	if x.column < 0 {
		return fmt.Errorf("input %q is given; the model has %s", show(x.name), r.columnNames())
	}
	f := &r.schema.Inputs[x.column]
	if r.seen[x.column] > 0 {
		return fmt.Errorf("input %q is given twice", f.Name)
	}
	r.seen[x.column] = 1
	x.as = datatypeOf(x.datatype)
	accepted := false
	for _, d := range takes(f.Type) {
		accepted = accepted || d == x.as
	}
	if !accepted {
		return fmt.Errorf("input %q has datatype %q; %v are accepted, without rounding", f.Name, show(x.datatype), takes(f.Type))
	}
	if x.dims == 1 && f.Width == 1 {
		x.width = 1
	} else if x.dims != 2 || x.width != f.Width {
		if f.Width == 1 {
			return fmt.Errorf("input %q has a shape that is neither [rows] nor [rows, 1]", f.Name)
		}
		return fmt.Errorf("input %q has a shape that is not [rows, %d]", f.Name, f.Width)
	}
	if x.n > r.maxRows {
		return errTooManyRows
	}
	if r.n >= 0 && r.n != x.n {
		return fmt.Errorf("input %q has %d rows, and those before it have %d; all need as many", f.Name, x.n, r.n)
	}
	r.n = x.n
	return nil
}

// values reads the data of a tensor: all values in one list, or a list for each row.
func (r *infer) values(x *tensor) error {
	count, most := 0, x.n*x.width
	nested := false
	one := func() error {
		if count == most {
			return fmt.Errorf("input %q has more than the %d values of its shape", x.name, most)
		}
		count++
		return r.scalar(x.column, (count-1)/x.width, x.as)
	}
	err := r.list("a list of values", func() error {
		if r.next() != '[' || x.dims == 1 {
			if nested {
				return r.unexpected("[")
			}
			return one()
		}
		if nested = true; count%x.width != 0 {
			return r.unexpected("a value")
		}
		before := count
		err := r.list("a list of values", one)
		if err == nil && count != before+x.width {
			err = fmt.Errorf("row %d of input %q has %d values; its shape has %d", before/x.width, x.name, count-before, x.width)
		}
		return err
	})
	if err == nil && count != most {
		err = fmt.Errorf("input %q has %d values; its shape has %d", x.name, count, most)
	}
	return err
}
