package predict

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"gavel/internal/engine"
	"gavel/internal/race"
)

// mixed is a schema with a column of each type, one of them wide.
var mixed = &engine.Schema{
	Inputs: []engine.Field{
		{Name: "text", Type: engine.Text, Width: 1}, {Name: "size", Type: engine.Float64, Width: 1},
		{Name: "pair", Type: engine.Float32, Width: 2}, {Name: "kind", Type: engine.Int32, Width: 1},
	},
	Outputs: []engine.Field{{Name: "value", Type: engine.Float64, Width: 1}},
}

var (
	oneText = &engine.Schema{Inputs: []engine.Field{{Name: "text", Type: engine.Text, Width: 1}}, Outputs: mixed.Outputs}
	oneWide = &engine.Schema{Inputs: []engine.Field{{Name: "x", Type: engine.Float64, Width: 2}}, Outputs: mixed.Outputs}
)

// printed is what the table's columns hold, column by column.
func printed(t *table) string {
	var all []string
	for i, c := range t.columns {
		all = append(all, fmt.Sprintf("%s %v", t.schema.Inputs[i].Name, columnValues(&c)))
	}
	return strings.Join(all, "; ")
}

func columnValues(c *engine.Column) any {
	switch c.Type {
	case engine.Int32:
		return c.Int32
	case engine.Float32:
		return c.Float32
	case engine.Float64:
		return c.Float64
	default:
		return fmt.Sprintf("%q", c.Text)
	}
}

func TestNamed(t *testing.T) {
	var r table // one for all, so that the tests see anything left of an earlier request
	f := func(name string, schema *engine.Schema, body, want string) {
		t.Helper()
		r.begin([]byte(body), schema, 3)
		if err := r.parse(); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if err := engine.Fit(r.columns, schema.Inputs, r.n); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := printed(&r); got != want || r.columnar != strings.Contains(body, `"inputs"`) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
	f("a row", mixed, `{"instances":[{"text":"a","size":1.5,"pair":[1,2],"kind":-7}]}`, `text ["a"]; size [1.5]; pair [1 2]; kind [-7]`)
	f("rows in other orders", mixed, `{"instances":[{"kind":1,"pair":[1,2],"size":1,"text":"a"},{"kind":2,"pair":[3,4],"size":2,"text":"b"},
		{"text":"c","size":3,"pair":[5,6],"kind":3}]}`, `text ["a" "b" "c"]; size [1 2 3]; pair [1 2 3 4 5 6]; kind [1 2 3]`)
	f("columns", mixed, `{"inputs":{"size":[1e3,-0.0],"text":["a","b"],"kind":[0,1],"pair":[[1,2],[3,4]]}}`,
		`text ["a" "b"]; size [1000 -0]; pair [1 2 3 4]; kind [0 1]`)
	f("missing values", mixed, `{"instances":[{"text":null,"size":null,"pair":[null,1],"kind":1}]}`, `text ["\xff"]; size [NaN]; pair [NaN 1]; kind [1]`)
	f("escapes", mixed, `{"instances":[{"te\u0078t":"\u0041\n","size":1,"pair":[1,2],"kind":1}],"signature_name":"serving_default"}`,
		`text ["A\n"]; size [1]; pair [1 2]; kind [1]`)
	f("bare texts", oneText, `{"instances":["a",{"text":"b"},null]}`, `text ["a" "b" "\xff"]`)
	f("bare lists", oneWide, `{"instances":[[1,2],{"x":[3,4]}]}`, `x [1 2 3 4]`)
	f("a bare column", oneText, `{"inputs":["a","","b"]}`, `text ["a" "" "b"]`)
	f("bare lists by column", oneWide, `{"inputs":[[1,2],[3,4]]}`, `x [1 2 3 4]`)
	f("unknown keys", oneText, `{"parameters":{"text":[1]},"instances":["a"],"x":null}`, `text ["a"]`)
	f("white space", oneText, " {\n\"instances\" : [ { \"text\" : \"a\" } , \"b\" ] } ", `text ["a" "b"]`)
}

// A schema of many columns finds them by a map.
func TestNamedManyColumns(t *testing.T) {
	schema := &engine.Schema{Outputs: mixed.Outputs}
	var forward, backward []string
	for i := range 100 {
		schema.Inputs = append(schema.Inputs, engine.Field{Name: fmt.Sprint("c", i), Type: engine.Float64, Width: 1})
		forward = append(forward, fmt.Sprintf(`"c%d":%d`, i, i))
		backward = append(backward, fmt.Sprintf(`"c%d":%d`, 99-i, 99-i))
	}
	var r table
	r.begin([]byte(`{"instances":[{`+strings.Join(forward, ",")+"},{"+strings.Join(backward, ",")+`}]}`), schema, 3)
	if err := r.parse(); err != nil {
		t.Fatal(err)
	}
	for i, c := range r.columns {
		if c.Float64[0] != float64(i) || c.Float64[1] != float64(i) {
			t.Errorf("column %d holds %v", i, c.Float64)
		}
	}
	r.begin([]byte(`{"instances":[{"c100":1}]}`), schema, 3)
	if err := r.parse(); err == nil || !strings.Contains(err.Error(), `"c15" and 84 more`) {
		t.Errorf("an unknown column: %v", err)
	}
}

func TestNamedRefuses(t *testing.T) {
	var r table
	f := func(name string, schema *engine.Schema, body, want string) {
		t.Helper()
		r.begin([]byte(body), schema, 3)
		if err := r.parse(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, want)
		}
	}
	row := func(text, size, pair, kind string) string {
		return fmt.Sprintf(`{"instances":[{"text":%s,"size":%s,"pair":%s,"kind":%s}]}`, text, size, pair, kind)
	}
	const one = "1 of 1 rows are refused (rows are numbered from 0): row 0, "
	f("no text", mixed, row("1", "1", "[1,2]", "1"), one+`column "text": 1 is given; a text or null is accepted`)
	f("no UTF-8", mixed, row("\"\xff\"", "1", "[1,2]", "1"), `column "text": "?" is given, which is not UTF-8; a text or null`)
	f("half a pair", mixed, row(`"\ud83d"`, "1", "[1,2]", "1"), `column "text": "\ud83d" is given, which has half of a surrogate pair`)
	f("no number", mixed, row(`"a"`, `"1"`, "[1,2]", "1"), one+`column "size": "1" is given; a number that float64 holds or null is accepted`)
	f("a boolean", mixed, row(`"a"`, `true`, "[1,2]", "1"), `column "size": true is given`)
	f("a list", mixed, row(`"a"`, `[1]`, "[1,2]", "1"), `column "size": [1] is given`)
	f("beyond float64", mixed, row(`"a"`, "1e309", "[1,2]", "1"), `column "size": 1e309 is given; a number that float64 holds`)
	f("beyond float32", mixed, row(`"a"`, "1", "[1,1e39]", "1"), `column "pair": 1e39 is given; a number that float32 holds or null is accepted`)
	f("too few", mixed, row(`"a"`, "1", "[1]", "1"), `column "pair": a list of 1 is given; a list of 2 is accepted, each a number that float32 holds`)
	f("too many", mixed, row(`"a"`, "1", "[1,2,{}]", "1"), `column "pair": a list of 3 is given`)
	f("no list", mixed, row(`"a"`, "1", "1", "1"), `column "pair": 1 is given; a list of 2`)
	f("a fraction", mixed, row(`"a"`, "1", "[1,2]", "1.0"), `column "kind": 1.0 is given; a whole number from -2147483648 to 2147483647 is accepted`)
	f("beyond int32", mixed, row(`"a"`, "1", "[1,2]", "2147483648"), `column "kind": 2147483648 is given`)
	f("a missing int32", mixed, row(`"a"`, "1", "[1,2]", "null"), `column "kind": null is given; a whole number from`)
	f("a missing column", mixed, `{"instances":[{"text":"a","size":1,"kind":1}]}`, one+`column "pair" is missing`)
	f("an unknown column", mixed, `{"instances":[{"age":1,"text":"a"}]}`, one+`column "age" is given; the model has "text", "size", "pair", "kind"`)
	f("a column twice", oneText, `{"instances":[{"text":"a","text":"b"}]}`, one+`column "text" is given twice`)
	f("a bare row", mixed, `{"instances":[1]}`, `row 0, 1 is given; an object is accepted, {"text": …, "size": …}`)
	f("rows", oneText, `{"instances":["a",1,{"txt":"a"}]}`, `2 of 3 rows are refused (rows are numbered from 0): row 1, column "text": 1 is given; a text or null is accepted; row 2, column "txt"`)
	f("columns", mixed, `{"inputs":{"text":["a",2],"size":["x","y"],"pair":[[1,2],[1,2]],"kind":[1,1]}}`,
		`2 of 2 rows are refused (rows are numbered from 0): row 1, column "text": 2 is given; a text or null is accepted; row 0, column "size": "x"`)
	f("columns of other lengths", mixed, `{"inputs":{"text":["a","b"],"size":[1]}}`, `column "text" has 2 rows, and column "size" has 1`)
	f("columns without one", mixed, `{"inputs":{"text":["a"],"size":[1]}}`, `"inputs" lacks column "pair"`)
	f("columns with another", mixed, `{"inputs":{"age":[1]}}`, `"inputs" has column "age"; the model has "text"`)
	f("columns twice", oneText, `{"inputs":{"text":["a"],"text":["a"]}}`, `"inputs" has column "text" twice`)
	f("a bare list of several columns", mixed, `{"inputs":[1]}`, `send {"inputs": {"text": […], …}}`)
	f("nothing", oneText, `{}`, `neither "instances" nor "inputs"; send {"instances": [{"text": …}, …]}`)
	f("no rows", oneText, `{"instances":[]}`, "at least one")
	f("no rows by column", oneText, `{"inputs":{"text":[]}}`, "at least one")
	f("rows twice", oneText, `{"instances":["a"],"inputs":["a"]}`, "given twice")
	f("another signature", oneText, `{"signature_name":"x","instances":["a"]}`, `the model has only "serving_default"`)
	f("no JSON", oneText, `{"instances":["a]}`, "not JSON")
	f("a control character", oneText, "{\"instances\":[\"a\x01\"]}", "not JSON")
	f("a leading zero", mixed, row(`"a"`, "01", "[1,2]", "1"), "not JSON: 01")
	f("cut short", oneText, `{"instances":[{"text":"a"`, "ends where , or } is expected")
	f("a key that is none", oneText, `{"instances":[{1:"a"}]}`, "'1' where the name of a column is expected")
	r.begin([]byte(`{"instances":["a","b","c","d"]}`), oneText, 3)
	if err := r.parse(); !errors.Is(err, errTooManyRows) {
		t.Errorf("one row too many: %v", err)
	}
	r.begin([]byte(`{"inputs":["a","b","c","d"]}`), oneText, 3)
	if err := r.parse(); !errors.Is(err, errTooManyRows) {
		t.Errorf("one row too many by column: %v", err)
	}
}

// Texts that a batch may still read are not overwritten.
func TestTextsThatAreLent(t *testing.T) {
	var r table
	read := func(text string) string {
		r.begin([]byte(`{"instances":["`+text+`"]}`), oneText, 3)
		if err := r.parse(); err != nil {
			t.Fatal(err)
		}
		return r.columns[0].Text[0]
	}
	first := read("first")
	r.lent = true
	second := read("second")
	if third := read("third"); first != "first" || third != "third" {
		t.Errorf("texts %q, %q", first, third)
	}
	if second[:5] != "third" {
		t.Error("texts that nobody reads are kept")
	}
}

func TestNamedAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	var r table
	f := func(name string, schema *engine.Schema, body string) {
		t.Helper()
		data := []byte(body)
		if n := testing.AllocsPerRun(100, func() {
			r.begin(data, schema, 100)
			if err := r.parse(); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	f("rows", mixed, `{"instances":[{"text":"a text\n","size":1.25,"pair":[1,2],"kind":1},{"text":null,"size":null,"pair":[1,2],"kind":1}]}`)
	f("rows in another order", mixed, `{"instances":[{"kind":1,"pair":[1,2],"text":"żółć","size":0.1},{"kind":1,"pair":[1,2],"text":"a","size":1}]}`)
	f("columns", mixed, `{"inputs":{"kind":[1,2],"text":["a","b"],"size":[1,2],"pair":[[1,2],[3,4]]}}`)
	f("bare", oneText, `{"instances":["a","b"]}`)
}

// FuzzNamed compares the reader with encoding/json: both accept the same bodies, and read the same values.
func FuzzNamed(f *testing.F) {
	for _, body := range []string{
		`{"instances":[{"text":"a","size":1.5,"pair":[1,2],"kind":-7},{"kind":1,"text":null,"pair":[1e39,null],"size":1e309}]}`,
		`{"inputs":{"size":[1e3,-0.0],"text":["a\u0041","\ud83d"],"kind":[0,1],"pair":[[1,2],[3,4]]},"signature_name":"serving_default"}`,
		`{"x":{"y":["A",-1.5e3]},"instances":[{"text":"a","size":01,"pair":[],"kind":1.0}]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r table
		r.begin(body, mixed, 4)
		err := r.parse()
		want, ok := referenceNamed(body)
		if (err == nil) != ok {
			t.Fatalf("%q: error %v, by encoding/json %v", body, err, ok)
		}
		if ok && printed(&r) != want {
			t.Fatalf("%q:\nread %s\nwant %s", body, printed(&r), want)
		}
	})
}

// referenceNamed reads a body for mixed by encoding/json, and prints its columns.
func referenceNamed(body []byte) (text string, ok bool) {
	members, ok := membersOf(body)
	if !ok || !json.Valid(body) {
		return "", false
	}
	cells := make([][]json.RawMessage, len(mixed.Inputs)) // by column
	given := 0
	for _, m := range members {
		switch m.key {
		case "signature_name":
			var name string
			if m.value[0] != '"' || json.Unmarshal(m.value, &name) != nil || name != "serving_default" && name != "" {
				return "", false
			}
		case "instances":
			given++
			var rows []json.RawMessage
			if m.value[0] != '[' || json.Unmarshal(m.value, &rows) != nil || len(rows) > 4 {
				return "", false
			}
			for _, row := range rows {
				columns, ok := membersOf(row)
				if !ok || len(columns) != len(mixed.Inputs) {
					return "", false
				}
				seen := map[int]bool{}
				for _, c := range columns {
					i := indexOf(mixed.Inputs, c.key)
					if i < 0 || seen[i] {
						return "", false
					}
					seen[i] = true
					cells[i] = append(cells[i], c.value)
				}
			}
		case "inputs":
			given++
			columns, ok := membersOf(m.value)
			if !ok || len(columns) != len(mixed.Inputs) {
				return "", false
			}
			for _, c := range columns {
				i := indexOf(mixed.Inputs, c.key)
				if i < 0 || cells[i] != nil || c.value[0] != '[' || json.Unmarshal(c.value, &cells[i]) != nil || len(cells[i]) > 4 {
					return "", false
				}
			}
		}
	}
	n := len(cells[0])
	if given != 1 || n == 0 {
		return "", false
	}
	var all []string
	for i, f := range mixed.Inputs {
		var flat []json.RawMessage
		for _, cell := range cells[i] {
			values := []json.RawMessage{cell}
			if f.Width > 1 && (cell[0] != '[' || json.Unmarshal(cell, &values) != nil || len(values) != f.Width) {
				return "", false
			}
			flat = append(flat, values...)
		}
		if len(flat) != n*f.Width {
			return "", false
		}
		c := engine.Column{Type: f.Type}
		for _, v := range flat {
			if string(v) == "null" {
				if !appendMissing(&c, f.Type) {
					return "", false
				}
			} else if !referenceValue(&c, v) {
				return "", false
			}
		}
		all = append(all, fmt.Sprintf("%s %v", f.Name, columnValues(&c)))
	}
	return strings.Join(all, "; "), true
}

func referenceValue(c *engine.Column, v json.RawMessage) bool {
	switch c.Type {
	case engine.Text:
		var s string
		if v[0] != '"' || !utf8.Valid(v) || json.Unmarshal(v, &s) != nil {
			return false
		}
		if strings.Count(s, "�") != strings.Count(string(v), "�")+strings.Count(strings.ToLower(string(v)), `\ufffd`) {
			return false // half of a surrogate pair
		}
		c.Text = append(c.Text, s)
		return true
	case engine.Int32:
		var w int32
		c.Int32 = append(c.Int32, w)
		return json.Unmarshal(v, &c.Int32[len(c.Int32)-1]) == nil
	case engine.Float32:
		c.Float32 = append(c.Float32, 0)
		return json.Unmarshal(v, &c.Float32[len(c.Float32)-1]) == nil && !math.IsInf(float64(c.Float32[len(c.Float32)-1]), 0)
	default:
		c.Float64 = append(c.Float64, 0)
		return json.Unmarshal(v, &c.Float64[len(c.Float64)-1]) == nil
	}
}

// BenchmarkNamed reads rows of two texts and six numbers.
func BenchmarkNamed(b *testing.B) {
	schema := &engine.Schema{Inputs: []engine.Field{{Name: "title", Type: engine.Text, Width: 1}, {Name: "body", Type: engine.Text, Width: 1}}}
	row := `{"title":"A title of a few words","body":"` + strings.Repeat("Some words of a review, which is neither short nor long. ", 3) + `"`
	for i := range 6 {
		name := fmt.Sprint("number_", i)
		schema.Inputs = append(schema.Inputs, engine.Field{Name: name, Type: engine.Float64, Width: 1})
		row += fmt.Sprintf(`,"%s":%g`, name, 3.25*float64(i*i*i)+0.1)
	}
	row += "}"
	for _, n := range []int{1, 64} {
		body := []byte(`{"instances":[` + strings.Repeat(row+",", n-1) + row + `]}`)
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			var r table
			for b.Loop() {
				r.begin(body, schema, 1024)
				if err := r.parse(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
