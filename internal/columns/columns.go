// Package columns reads and writes rows as typed columns in msgpack, the form of golden rows and of the rows that
// `bidder score` takes: a list of {name, type, width, data}. Numbers are binary, little-endian, row by row; texts are a list
// of texts or binaries, of which a missing one is the byte 0xFF alone.
package columns

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/engine"
)

// Table is rows in columns. Columns[i] holds Rows rows of Fields[i].
type Table struct {
	Fields  []engine.Field
	Columns []engine.Column
	Rows    int
}

// wire is a column as it is written.
type wire struct {
	Name  string             `msgpack:"name"`
	Type  string             `msgpack:"type"`
	Width int                `msgpack:"width"`
	Data  msgpack.RawMessage `msgpack:"data"`
}

// Decode reads a list of columns. Its memory is of the order of the input's.
func Decode(data []byte) (Table, error) {
	var list []wire
	d := msgpack.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields(true)
	if err := d.Decode(&list); err != nil {
		return Table{}, fmt.Errorf("columns: cannot decode them: %w", err)
	}
	t := Table{Rows: -1}
	for i := range list {
		if err := t.add(&list[i]); err != nil {
			return Table{}, fmt.Errorf("columns: column %d %q: %w", i, list[i].Name, err)
		}
	}
	if t.Rows < 0 {
		return Table{}, fmt.Errorf("columns: there are none")
	}
	return t, nil
}

func (t *Table) add(w *wire) error {
	of, ok := engine.TypeOf(w.Type)
	if !ok || w.Width < 1 || w.Width > math.MaxInt32 || w.Name == "" {
		return fmt.Errorf("type %q and width %d: a column has a name, a type int32, float32, float64 or text, and a width of at least 1", w.Type, w.Width)
	}
	if slices.ContainsFunc(t.Fields, func(f engine.Field) bool { return f.Name == w.Name }) {
		return fmt.Errorf("the name stands twice")
	}
	c := engine.Column{Type: of, Width: w.Width}
	n, err := decodeValues(&c, w.Data)
	if err != nil {
		return err
	}
	if n%w.Width != 0 || t.Rows >= 0 && n/w.Width != t.Rows {
		return fmt.Errorf("%d values are no whole rows of width %d, or not as many rows as other columns have", n, w.Width)
	}
	t.Fields = append(t.Fields, engine.Field{Name: w.Name, Type: of, Width: w.Width})
	t.Columns = append(t.Columns, c)
	t.Rows = n / w.Width
	return nil
}

// decodeValues returns how many values there are.
func decodeValues(c *engine.Column, data []byte) (int, error) {
	d := msgpack.NewDecoder(bytes.NewReader(data))
	if c.Type == engine.Text {
		return decodeTexts(c, d, len(data))
	}
	var raw []byte
	if err := d.Decode(&raw); err != nil {
		return 0, err
	}
	size := 4
	if c.Type == engine.Float64 {
		size = 8
	}
	if len(raw)%size != 0 {
		return 0, fmt.Errorf("%d bytes are no whole number of %v", len(raw), c.Type)
	}
	n := len(raw) / size
	switch c.Type {
	case engine.Int32:
		c.Int32 = make([]int32, n)
		return n, read(raw, c.Int32)
	case engine.Float32:
		c.Float32 = make([]float32, n)
		return n, read(raw, c.Float32)
	default:
		c.Float64 = make([]float64, n)
		return n, read(raw, c.Float64)
	}
}

func read[T int32 | float32 | float64](raw []byte, to []T) error {
	_, err := binary.Decode(raw, binary.LittleEndian, to)
	return err
}

func decodeTexts(c *engine.Column, d *msgpack.Decoder, bytes int) (int, error) {
	n, err := d.DecodeArrayLen()
	if err != nil {
		return 0, err
	}
	if n < 0 || n > bytes { // an element has a byte at least
		return 0, fmt.Errorf("data is no list of texts")
	}
	c.Text = make([]string, n)
	for i := range c.Text {
		if c.Text[i], err = d.DecodeString(); err != nil { // takes binaries too
			return 0, fmt.Errorf("text %d: %w", i, err)
		}
	}
	return n, nil
}

// Encode writes the first rows of columns of the fields.
func Encode(e *msgpack.Encoder, fields []engine.Field, columns []engine.Column, rows int) error {
	list := make([]wire, len(fields))
	for i, f := range fields {
		data, err := encodeValues(&columns[i], rows*f.Width)
		if err != nil {
			return fmt.Errorf("columns: cannot encode %q: %w", f.Name, err)
		}
		list[i] = wire{f.Name, f.Type.String(), f.Width, data}
	}
	return e.Encode(list)
}

func encodeValues(c *engine.Column, n int) (msgpack.RawMessage, error) {
	switch c.Type {
	case engine.Int32:
		return encodeNumbers(c.Int32[:n])
	case engine.Float32:
		return encodeNumbers(c.Float32[:n])
	case engine.Float64:
		return encodeNumbers(c.Float64[:n])
	}
	texts := make([]any, n)
	for i, s := range c.Text[:n] {
		if texts[i] = s; !utf8.ValidString(s) {
			texts[i] = []byte(s)
		}
	}
	return msgpack.Marshal(texts)
}

func encodeNumbers[T int32 | float32 | float64](values []T) (msgpack.RawMessage, error) {
	raw, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		return nil, err
	}
	return msgpack.Marshal(raw)
}
