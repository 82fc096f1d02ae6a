package predict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gavel/internal/race"
)

// small is the shape of most tests: rows of two indices below 10.
var small = shape{rowLen: 2, tableRows: 10, signature: "serving_default", input: "rows", maxRows: 4}

func TestParse(t *testing.T) {
	var r request // one for all, so that the tests see anything left of an earlier request
	f := func(name, body string, want ...int32) {
		t.Helper()
		if err := r.parse([]byte(body), small); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !slices.Equal(r.rows, want) || r.n != len(want)/2 {
			t.Errorf("%s: %d rows %v, want %v", name, r.n, r.rows, want)
		} else if r.columnar != strings.Contains(body, `"inputs"`) {
			t.Errorf("%s: columnar is %v", name, r.columnar)
		}
	}
	f("one row", `{"instances":[[1,2]]}`, 1, 2)
	f("most rows", `{"instances":[[1,2],[3,4],[5,6],[7,9]]}`, 1, 2, 3, 4, 5, 6, 7, 9)
	f("by name", `{"instances":[{"rows":[1,2]},[3,4]]}`, 1, 2, 3, 4)
	f("columns", `{"inputs":[[1,2],[3,4]]}`, 1, 2, 3, 4)
	f("columns by name", `{"inputs":{"rows":[[1,2],[3,4]]}}`, 1, 2, 3, 4)
	f("white space", " \r\n{\t\"instances\" : [ [ 1 ,\n2 ] , {\n\"rows\" : [ 3 , 4 ] } ] } \n", 1, 2, 3, 4)
	f("a signature", `{"signature_name":"serving_default","instances":[[1,2]]}`, 1, 2)
	f("the default signature", `{"signature_name":"","instances":[[1,2]]}`, 1, 2)
	f("a signature behind", `{"instances":[[1,2]],"signature_name": "serving_default" }`, 1, 2)
	f("a signature, escaped", `{"signature_name":"serving\u005fdefault","instances":[[1,2]]}`, 1, 2)
	f("keys escaped", `{"\u0069nstances":[{"row\u0073":[1,2]}]}`, 1, 2)
	f("unknown keys", `{"parameters":{"a":[1,{"instances":[[7,7]]}],"b":"]}"},"instances":[[1,2]],"x":-1.5e-3,"":null}`, 1, 2)
	f("no sign of it", `{"instances":[[-0,0]]}`, 0, 0)
}

// Numbers of every length, followed by every separator.
func TestParseNumbers(t *testing.T) {
	wide := shape{rowLen: 1, tableRows: 1<<31 - 1, maxRows: 1}
	var r request
	f := func(n int64) {
		t.Helper()
		for _, behind := range []string{"]]}", " ]]}", "\n]]}", "]]            }"} {
			err := r.parse(fmt.Appendf(nil, `{"instances":[[%d%s`, n, behind), wide)
			if n < int64(wide.tableRows) && (err != nil || r.rows[0] != int32(n)) {
				t.Errorf("%d%s: got %v, %v", n, behind, r.rows, err)
			} else if n >= int64(wide.tableRows) && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("is %d, not in", n))) {
				t.Errorf("%d%s: %v", n, behind, err)
			}
		}
	}
	for tens := int64(1); tens < 1e18; tens *= 10 {
		for _, n := range []int64{tens - 1, tens, tens + 7, 123456789012345678 % (10 * tens)} {
			f(n)
		}
	}
	f(1<<31 - 2)
	f(1<<31 - 1)
}

func TestParseRefuses(t *testing.T) {
	var r request
	f := func(name, body, want string) {
		t.Helper()
		err := r.parse([]byte(body), small)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	f("nothing", ``, "ends where { is expected, at byte 0")
	f("no object", `[[1,2]]`, `'[' where { is expected, at byte 0`)
	f("an empty object", `{}`, `neither "instances" nor "inputs"`)
	f("a misspelt key", `{"instance":[[1,2]]}`, `neither "instances" nor "inputs"`)
	f("a key that is none", `{1:2}`, `'1' where a key is expected, at byte 1`)
	f("a comma too many", `{"instances":[[1,2]],}`, `'}' where a key is expected`)
	f("a comma too few", `{"instances":[[1,2]]"x":1}`, `'"' where , or } is expected`)
	f("more behind", `{"instances":[[1,2]]}{}`, `'{' where the end is expected, at byte 21`)
	f("cut short", `{"instances":[[1,2]`, "ends where , or ] is expected, at byte 19")
	f("cut in a number", `{"instances":[[1,2`, "ends where , or ] is expected")
	f("no colon", `{"instances" [[1,2]]}`, `'[' where : is expected`)
	f("rows twice", `{"instances":[[1,2]],"inputs":[[1,2]]}`, "given twice")
	f("no rows", `{"instances":[]}`, "at least one")
	f("no list", `{"instances":7}`, `'7' where a list of rows is expected`)
	f("no columns", `{"inputs":{"rows":7}}`, `'7' where a list of rows is expected`)
	f("another input", `{"instances":[[1,2],{"x":[1,2]}]}`, `row 1 names input "x"; the model has only "rows"`)
	f("two inputs", `{"instances":[{"rows":[1,2],"x":1}]}`, "one input")
	f("two columns", `{"inputs":{"rows":[[1,2]],"x":1}}`, "one input")
	f("another signature", `{"signature_name":"classify","instances":[[1,2]]}`, `signature_name is "classify"; the model has only "serving_default"`)
	f("a signature that is none", `{"signature_name":[],"instances":[[1,2]]}`, `'[' where the name of a signature is expected`)
	f("a bad value of an unknown key", `{"x":"\x","instances":[[1,2]]}`, `not JSON: "\x" at byte 5 is not a value`)
	f("NaN", `{"instances":[[NaN,2]]}`, `NaN at byte 15 is not a value; write null for a missing number`)
	f("an infinite number", `{"instances":[[-Infinity,2]]}`, `-Infinity at byte 15 is not a value; JSON has no infinite numbers`)
	f("a leading zero", `{"instances":[[01,2]]}`, `not JSON: 01 at byte 15 is not a value`)
	f("a bracket of another kind", `{"x":[{]},"instances":[[1,2]]}`, `not JSON: [{]} at byte 5`)
	f("a string without end", `{"x":"\"`, `not JSON: "\" at byte 5`)
	f("nothing behind a comma", `{"instances":[[1,]]}`, `where a value is expected`)

	f("short", `{"instances":[[1,2],[3]]}`, "1 of 2 rows are refused (rows and indices are numbered from 0): row 1 has 1 indices, the model needs 2")
	f("long", `{"instances":[[1,2,3]]}`, "row 0 has 3 indices, the model needs 2")
	f("empty", `{"instances":[[]]}`, "row 0 has 0 indices")
	f("too large", `{"instances":[[1,10]]}`, "index 1 of row 0 is 10, not in [0, 10)")
	f("far too large", `{"instances":[[4294967297,18446744073709551617]]}`, "index 0 of row 0 is 4294967297, not in [0, 10)")
	f("beyond 64 bits", `{"instances":[[1,18446744073709551617]]}`, "index 1 of row 0 is 18446744073709551617, not in [0, 10)")
	f("negative", `{"instances":[[-1,2]]}`, "index 0 of row 0 is -1, not in [0, 10)")
	f("fractions", `{"instances":[[1.0,2]]}`, "index 0 of row 0 is 1.0, not an integer")
	f("strings", `{"instances":[["1",2]]}`, `index 0 of row 0 is "1", not an integer`)
	f("nested", `{"instances":[[[1,2]]]}`, "index 0 of row 0 is [1,2], not an integer")
	f("no row", `{"instances":[1,null]}`, "row 0 is 1, not a list of 2 indices; row 1 is null, not a list")
	f("each row, its first fault", `{"instances":[[1,10,-1],[1,2],["x"],[3]]}`,
		`3 of 4 rows are refused (rows and indices are numbered from 0): index 1 of row 0 is 10, not in [0, 10); index 0 of row 2 is "x", not an integer; row 3 has 1`)

	many := small
	many.maxRows = 100
	err := r.parse([]byte(`{"instances":[`+strings.Repeat("[1],", 19)+`[1]]}`), many)
	if err == nil || !strings.HasSuffix(err.Error(), "row 7 has 1 indices, the model needs 2; 12 more are refused") {
		t.Errorf("many refused rows: %v", err)
	}
	if err := r.parse([]byte(`{"instances":[[1,2],[1,2],[1,2],[1,2],[1,2]]}`), small); !errors.Is(err, errTooManyRows) {
		t.Errorf("one row too many: %v", err)
	}
}

// FuzzParse compares the reader with encoding/json. What it accepts must be JSON; it must accept every body with valid
// rows, and read the same indices.
func FuzzParse(f *testing.F) {
	for _, body := range []string{
		`{"instances":[[1,2],{"rows":[3,4]}]}`, `{"inputs":{"rows":[[1,2]]},"signature_name":"serving_default"}`,
		`{"x":{"y":["\u0041",-1.5e3]},"inputs":[[0,9]]}`, `{"instances":[[1,10],[-0,1.0],[]]}`, `{"inst\u0061nces":[[007,1]]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r request
		err := r.parse(body, small)
		rows, columnar, ok := reference(body)
		if (err == nil) != ok {
			t.Fatalf("%q: error %v, by encoding/json %v", body, err, ok)
		}
		if ok && (!slices.Equal(r.rows, rows) || r.columnar != columnar || r.n != len(rows)/2) {
			t.Fatalf("%q: rows %v, by encoding/json %v", body, r.rows, rows)
		}
	})
}

// reference reads a body as parse does, by encoding/json.
func reference(body []byte) (rows []int32, columnar, ok bool) {
	if !json.Valid(body) {
		return nil, false, false
	}
	members, ok := membersOf(body)
	if !ok {
		return nil, false, false
	}
	given := 0
	for _, m := range members {
		switch m.key {
		case "signature_name":
			var name string
			if m.value[0] != '"' || json.Unmarshal(m.value, &name) != nil || name != small.signature && name != "" {
				return nil, false, false
			}
		case "instances", "inputs":
			given++
			columnar = m.key == "inputs"
			list := m.value
			if columnar && list[0] == '{' {
				if list, ok = inputOf(list); !ok {
					return nil, false, false
				}
			}
			var items []json.RawMessage
			if list[0] != '[' || json.Unmarshal(list, &items) != nil || len(items) == 0 || len(items) > small.maxRows {
				return nil, false, false
			}
			for _, item := range items {
				if !columnar && item[0] == '{' {
					if item, ok = inputOf(item); !ok {
						return nil, false, false
					}
				}
				var numbers []json.RawMessage
				if item[0] != '[' || json.Unmarshal(item, &numbers) != nil || len(numbers) != small.rowLen {
					return nil, false, false
				}
				for _, n := range numbers {
					var v int32
					if n[0] == 'n' || json.Unmarshal(n, &v) != nil || v < 0 || int(v) >= small.tableRows {
						return nil, false, false
					}
					rows = append(rows, v)
				}
			}
		}
	}
	return rows, columnar, given == 1
}

type member struct {
	key   string
	value json.RawMessage
}

// membersOf returns an object's keys and values in order, including repeated ones.
func membersOf(data []byte) (members []member, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, false
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, false
		}
		members = append(members, member{fmt.Sprint(key), bytes.TrimSpace(value)})
	}
	return members, true
}

// inputOf is the value of the one member that must be the input.
func inputOf(data []byte) (json.RawMessage, bool) {
	members, ok := membersOf(data)
	if !ok || len(members) != 1 || members[0].key != small.input {
		return nil, false
	}
	return members[0].value, true
}

func TestParseAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	var r request
	f := func(name, body string) {
		t.Helper()
		data := []byte(body)
		if n := testing.AllocsPerRun(100, func() {
			if err := r.parse(data, small); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	f("rows", `{"signature_name":"serving_default","instances":[[1,2],[3,4]]}`)
	f("by name", `{"instances":[{"rows":[1,2]},{"rows":[3,4]}]}`)
	f("columns", `{"inputs":{"rows":[[1,2],[3,4]]}}`)
}

// BenchmarkParse reads rows of 32 indices of six and seven digits.
func BenchmarkParse(b *testing.B) {
	wide := shape{rowLen: 32, tableRows: 1 << 20, signature: "serving_default", input: "rows", maxRows: 1024}
	for _, n := range []int{1, 64} {
		row := "[" + strings.Repeat("987654,", 31) + "1048575]"
		body := []byte(`{"instances":[` + strings.Repeat(row+",", n-1) + row + `]}`)
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			var r request
			for b.Loop() {
				if err := r.parse(body, wide); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
