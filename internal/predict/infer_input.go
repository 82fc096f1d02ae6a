package predict

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

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
