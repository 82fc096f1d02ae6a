// Package columns reads and writes rows as typed columns in msgpack, the form of golden rows and of the rows that
// `bidder score` takes: a list of {name, type, width, data}. Numbers are binary, little-endian, row by row; texts are a list
// of texts or binaries, of which a missing one is the byte 0xFF alone.
package columns

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/engine"
	"gavel/internal/packed"
)

// Table is rows in columns. Columns[i] holds Rows rows of Fields[i].
type Table struct {
	Fields  []engine.Field
	Columns []engine.Column
	Rows    int
}

// Decode reads a list of columns and nothing behind it.
func Decode(data []byte) (Table, error) {
	r := packed.NewReader(data)
	t, err := Read(r)
	if err == nil && r.Rest() > 0 {
		err = fmt.Errorf("columns: %d bytes follow them", r.Rest())
	}
	return t, err
}

// Read reads a list of columns. Its memory is of the order of the input's.
func Read(r *packed.Reader) (Table, error) {
	t := Table{Rows: -1}
	for i := range r.Want("the list of columns", packed.List).N {
		w := read(r)
		if r.Err() != nil {
			break
		}
		if err := t.add(&w); err != nil {
			return Table{}, fmt.Errorf("columns: column %d %q: %w", i, w.name, err)
		}
	}
	if r.Err() != nil {
		return Table{}, fmt.Errorf("columns: column %d: %w", len(t.Fields), r.Err())
	}
	if t.Rows < 0 {
		return Table{}, fmt.Errorf("columns: there are none")
	}
	return t, nil
}

// wire is a column as it is written.
type wire struct {
	name, of string
	width    int64
	numbers  []byte   // of the input
	texts    []string // nil: data is numbers
}

func read(r *packed.Reader) (w wire) {
	r.Object("a column", func(key string) bool {
		switch key {
		case "name":
			w.name = r.Text(key, 4096)
		case "type":
			w.of = r.Text(key, 100)
		case "width":
			w.width = r.Want(key, packed.Integer).Integer
		case "data":
			w.data(r)
		default:
			return false
		}
		return true
	})
	return w
}

func (w *wire) data(r *packed.Reader) {
	switch t := r.Next(); t.Is {
	case packed.Binary:
		w.numbers = t.Bytes
	case packed.List:
		w.texts = []string{}
		for i := 0; i < t.N && r.Err() == nil; i++ {
			text := r.Next()
			if text.Is != packed.Text && text.Is != packed.Binary {
				r.Break("text %d is a %s", i, text.Is)
			}
			w.texts = append(w.texts, string(text.Bytes))
		}
	default:
		r.Break("data is a %s, must be a binary or a list of texts", t.Is)
	}
}

func (t *Table) add(w *wire) error {
	of, ok := engine.TypeOf(w.of)
	if !ok || w.width < 1 || w.width > math.MaxInt32 || w.name == "" || (of == engine.Text) != (w.texts != nil) {
		return fmt.Errorf("type %q and width %d: a column has a name, a type int32, float32, float64 or text, a width of at least 1, and data of its type", w.of, w.width)
	}
	if slices.ContainsFunc(t.Fields, func(f engine.Field) bool { return f.Name == w.name }) {
		return fmt.Errorf("the name stands twice")
	}
	f := engine.Field{Name: w.name, Type: of, Width: int(w.width)}
	c := engine.Column{Type: of, Width: f.Width, Text: w.texts}
	n, err := len(w.texts), error(nil)
	switch of {
	case engine.Int32:
		c.Int32, err = numbers[int32](w.numbers, 4)
		n = len(c.Int32)
	case engine.Float32:
		c.Float32, err = numbers[float32](w.numbers, 4)
		n = len(c.Float32)
	case engine.Float64:
		c.Float64, err = numbers[float64](w.numbers, 8)
		n = len(c.Float64)
	}
	if err != nil {
		return err
	}
	if n%f.Width != 0 || t.Rows >= 0 && n/f.Width != t.Rows {
		return fmt.Errorf("%d values are no whole rows of width %d, or not as many rows as other columns have", n, f.Width)
	}
	t.Fields, t.Columns, t.Rows = append(t.Fields, f), append(t.Columns, c), n/f.Width
	return nil
}

func numbers[T int32 | float32 | float64](raw []byte, size int) ([]T, error) {
	if len(raw)%size != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of values of %d bytes", len(raw), size)
	}
	to := make([]T, len(raw)/size)
	_, err := binary.Decode(raw, binary.LittleEndian, to)
	return to, err
}

// Encode writes the first rows of columns of the fields.
func Encode(e *msgpack.Encoder, fields []engine.Field, columns []engine.Column, rows int) error {
	type column struct { // not a map, whose order is another each time
		Name  string `msgpack:"name"`
		Type  string `msgpack:"type"`
		Width int    `msgpack:"width"`
		Data  any    `msgpack:"data"`
	}
	list := make([]column, len(fields))
	for i, f := range fields {
		data, err := encodable(&columns[i], rows*f.Width)
		if err != nil {
			return fmt.Errorf("columns: cannot encode %q: %w", f.Name, err)
		}
		list[i] = column{f.Name, f.Type.String(), f.Width, data}
	}
	return e.Encode(list)
}

// encodable is the first n values of a column: bytes, or texts.
func encodable(c *engine.Column, n int) (any, error) {
	switch c.Type {
	case engine.Int32:
		return binary.Append(nil, binary.LittleEndian, c.Int32[:n])
	case engine.Float32:
		return binary.Append(nil, binary.LittleEndian, c.Float32[:n])
	case engine.Float64:
		return binary.Append(nil, binary.LittleEndian, c.Float64[:n])
	}
	texts := make([]any, n)
	for i, s := range c.Text[:n] {
		if texts[i] = s; !utf8.ValidString(s) {
			texts[i] = []byte(s)
		}
	}
	return texts, nil
}
