package columns_test

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/columns"
	"gavel/internal/engine"
)

func TestRoundTrip(t *testing.T) {
	want := columns.Table{
		Fields: []engine.Field{{Name: "i", Type: engine.Int32, Width: 2}, {Name: "f", Type: engine.Float32, Width: 1},
			{Name: "d", Type: engine.Float64, Width: 1}, {Name: "t", Type: engine.Text, Width: 1}},
		Columns: []engine.Column{{Type: engine.Int32, Width: 2, Int32: []int32{1, -2, 3, math.MinInt32}}, {Type: engine.Float32, Width: 1, Float32: []float32{0.5, -1}},
			{Type: engine.Float64, Width: 1, Float64: []float64{1e300, math.Inf(-1)}}, {Type: engine.Text, Width: 1, Text: []string{"\xff", "é"}}},
		Rows: 2,
	}
	var b bytes.Buffer
	if err := columns.Encode(msgpack.NewEncoder(&b), want.Fields, want.Columns, 2); err != nil {
		t.Fatal(err)
	}
	if got, err := columns.Decode(b.Bytes()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := columns.Decode(append(b.Bytes(), 0xc0)); err == nil || !strings.Contains(err.Error(), "1 bytes follow") {
		t.Error(err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	column := func(name, of string, width int, data any) map[string]any {
		return map[string]any{"name": name, "type": of, "width": width, "data": data}
	}
	f := func(want string, list ...any) {
		t.Helper()
		data, err := msgpack.Marshal(append([]any{}, list...))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := columns.Decode(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", list, err, want)
		}
	}
	f("there are none")
	f(`column 0 "x": type "int64"`, column("x", "int64", 1, []byte{}))
	f("width of at least 1", column("x", "int32", 0, []byte{}))
	f("no whole number of values of 8 bytes", column("x", "float64", 1, make([]byte, 12)))
	f("no whole rows of width 2", column("x", "int32", 2, make([]byte, 12)))
	f("not as many rows", column("x", "int32", 1, make([]byte, 4)), column("y", "text", 1, []any{"a", "b"}))
	f("the name stands twice", column("x", "int32", 1, make([]byte, 4)), column("x", "text", 1, []any{"a"}))
	f("text 0 is a integer", column("x", "text", 1, []any{7}))
	f("data is a text", column("x", "text", 1, "a"))
	f("data of its type", column("x", "int32", 1, []any{"1"}))
	f(`the key "rows" twice, or it is unknown`, map[string]any{"rows": 1})
}

func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	err := columns.Encode(msgpack.NewEncoder(&b), []engine.Field{{Name: "t", Type: engine.Text, Width: 1}}, []engine.Column{{Type: engine.Text, Width: 1, Text: []string{"a"}}}, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("\xdd\xff\xff\xff\xff\x84\xa4name\xdb\xff\xff\xff\xff")) // lengths of gigabytes that do not follow
	f.Add([]byte("\x91\x81\xa4data\xdd\xff\xff\xff\xff"))
	f.Add(bytes.Repeat([]byte{0x91}, 1<<16)) // lists in lists
	f.Fuzz(func(t *testing.T, data []byte) {
		if table, err := columns.Decode(data); err == nil && engine.Fit(table.Columns, table.Fields, table.Rows) != nil {
			t.Errorf("%+v does not fit together", table)
		}
	})
}
