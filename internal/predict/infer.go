package predict

import (
	"errors"
	"fmt"
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
