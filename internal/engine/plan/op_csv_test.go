package plan

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// lines are the settings of csv.
func lines(fields int, columns ...int) map[string]any {
	return map[string]any{"separator": ",", "missing": "", "fields": fields, "columns": columns}
}

// column adds a column of a csv node, read as a number.
func (s *sketch) column(csv, i int) int {
	return s.node("parse", map[string]any{"to": "float64"}, nil, s.node("select", columns(i), nil, csv))
}

func TestCSV(t *testing.T) {
	s := &sketch{}
	csv := s.node("csv", lines(4, 0, 1, 2, 3), nil, s.input(engine.Text, 1))
	obj := dictionary("Oslo", "a \"b\", c", "\xff", "two\nlines")
	obj["codes"] = plantest.Of([]float64{1, 2, 3, 4})
	code := s.node("lookup", map[string]any{"unknown": 0.0}, obj, s.node("select", columns(0), nil, csv))
	whole := s.node("cast", map[string]any{"to": "float64"}, nil, s.node("parse", map[string]any{"to": "int32"}, nil, s.node("select", columns(3), nil, csv)))
	s.output(s.node("concat", nil, nil, code, s.column(csv, 2), whole))
	for _, c := range []struct {
		line  string
		want  []float64
		fault string
	}{
		{"Oslo,x,1.5,-3", []float64{1, 1.5, -3}, ""},
		{"\"a \"\"b\"\", c\",,,0\r\n", []float64{2, nan, 0}, ""},
		{",,\"\",+7", []float64{3, nan, 7}, ""},
		{"\"two\nlines\",, 1e-3 , 12\t", []float64{4, 1e-3, 12}, ""},
		{"a\"b,\"\",inf,2147483647", []float64{0, inf, math.MaxInt32}, ""},
		{"Oslo,x,1.5", nil, "node 0 csv (test): the line has fewer or more fields"},
		{"Oslo,x,1.5,3,", nil, "fewer or more fields"},
		{"", nil, "fewer or more fields"},
		{"Oslo,\"x,1.5,3", nil, "a quoted field does not end"},
		{"Oslo,\"x\"y,1.5,3", nil, "a quoted field does not end"},
		{"city,age,size,rooms\nOslo,x,1.5,3", nil, "more than one line"},
		{"Oslo,x,1;5,3", nil, "node 7 parse (test): the field is no number"},
		{"Oslo,x,1e999,3", nil, "the field is no number"},
		{"Oslo,x,1.5,3.0", nil, "node 4 parse (test): the field is no whole number"},
		{"Oslo,x,1.5,2147483648", nil, "the field is no whole number"},
		{"Oslo,x,1.5,", nil, "the field is no whole number"},
		{"\xff", nil, "a text is missing"},
	} {
		e, _ := opened(t, s.plan)
		b, err := e.NewBatch(3)
		if err != nil {
			t.Fatal(err)
		}
		copy(b.Inputs()[0].Text, []string{"Oslo,,2,2", c.line, "Oslo,,2,2"})
		err = b.Run(3)
		got := slices.Clone(b.Outputs()[0].Float64)
		b.Close()
		for _, row := range []int{0, 2} {
			if !slices.Equal(got[3*row:3*row+3], []float64{1, 2, 2}) {
				t.Errorf("%q: the row beside it gives %v", c.line, got[3*row:3*row+3])
			}
		}
		var rows *engine.RowErrors
		switch {
		case c.fault == "" && (err != nil || !near(got[3:6], c.want, 0)):
			t.Errorf("%q: got %v and %v, want %v", c.line, got[3:6], err, c.want)
		case c.fault != "" && (!errors.As(err, &rows) || len(rows.Rows) != 1 || rows.Rows[0].Row != 1 || !strings.Contains(rows.Rows[0].Err.Error(), c.fault)):
			t.Errorf("%q: got %v, want %q for row 1 alone", c.line, err, c.fault)
		}
	}
}

// randomLine is a line of fields, some of them of no use.
func randomLine(r *rand.Rand, fields int) string {
	var line []string
	for range fields - r.IntN(40)/39 {
		line = append(line, []string{"1", "-2.5e3", "", "\"7\"", "0.1", fmt.Sprint(r.NormFloat64())}[r.IntN(6)])
	}
	if r.IntN(20) == 0 {
		line[r.IntN(len(line))] = []string{"x", "\"", "1,2", "\"1\"2", "\"a\"\"b\""}[r.IntN(5)]
	}
	return strings.Join(line, ",")
}

func TestFewerFieldsAreRead(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		s := &sketch{}
		fields := 2 + r.IntN(8)
		all := make([]int, fields)
		for i := range all {
			all[i] = i
		}
		text := s.input(engine.Text, 1)
		var used []int
		for range 1 + r.IntN(2) { // equal nodes become one, whatever each is read for
			csv := s.node("csv", lines(fields, all...), nil, text)
			for range 1 + r.IntN(3) {
				used = append(used, s.column(csv, r.IntN(fields)))
			}
		}
		s.output(s.node("concat", nil, nil, used...))
		rows := make([]string, 70)
		for i := range rows {
			rows[i] = randomLine(r, fields)
		}
		if _, ops := s.same(t, []any{rows}, len(rows), 0); len(ops) > 0 && (ops[0] != "csv" || slices.Contains(ops[1:], "csv")) {
			t.Errorf("stages %v, want one csv", ops)
		}
	}
	s := &sketch{}
	csv := s.node("csv", lines(9, 1, 3, 5, 8), nil, s.input(engine.Text, 1))
	s.output(s.column(csv, 2))
	if _, ops := s.same(t, []any{[]string{"0,1,2,3,4,5,6,7,8", "0,x,2,x,4,5,6,7,8", "5"}}, 3, 0); !slices.Equal(ops, []string{"csv", "parse"}) {
		t.Errorf("stages %v, want csv of one field, and parse", ops)
	}
}

func TestCSVAllocatesNothing(t *testing.T) {
	s := &sketch{}
	csv := s.node("csv", lines(3, 0, 1, 2), nil, s.input(engine.Text, 1))
	s.output(s.node("concat", nil, nil, s.column(csv, 0), s.column(csv, 2)))
	run := s.open(t, 8)
	rows := []any{[]string{"1,\"a \"\"b\"\"\",2", "3,x,4.000000000000000000000000000001", "\"5\",\"\"\"\",6", "7,,8", "1,1,1", "1,1,1", "1,1,1", "1,1,1"}}
	run.score(rows, 8)
	if n := testing.AllocsPerRun(100, func() { _ = run.batch.Run(8) }); n > 0 {
		t.Errorf("%v allocations a run", n)
	}
}

func TestCSVIsRefused(t *testing.T) {
	text := kind{of: engine.Text, width: 1}
	set := func(name string, value any) map[string]any {
		s := lines(3, 0, 2)
		s[name] = value
		return s
	}
	for _, separator := range []any{"", "\"", "\n", "\r", ",,", "é", "\x00", 1} {
		refused(t, "csv", set("separator", separator), nil, text, "separator")
	}
	refused(t, "csv", set("missing", 1), nil, text, "missing", "must be a text")
	refused(t, "csv", set("fields", 0), nil, text, "fields", "in [1, 65536]")
	refused(t, "csv", set("columns", []int{0, 3}), nil, text, "columns", "in [0, 2]")
	refused(t, "csv", set("columns", []int{2, 0}), nil, text, "columns", "does not ascend at 1")
	refused(t, "csv", set("columns", []int{1, 1}), nil, text, "columns", "does not ascend at 1")
	refused(t, "csv", set("columns", []int{}), nil, text, "width 0")
	refused(t, "csv", lines(3, 0), nil, dense(1), "it takes dense [text]")
	refused(t, "parse", map[string]any{"to": "float32"}, nil, text, "to", "int32")
	refused(t, "parse", map[string]any{"to": "int32"}, nil, dense(1), "it takes dense [text]")
	for _, op := range []string{"lower", "parse", "csv", "ngrams", "hashing", "replace_characters"} { // two texts a row
		sketch := &sketch{}
		csv := sketch.node("csv", lines(2, 0, 1), nil, sketch.input(engine.Text, 1))
		sketch.output(sketch.node(op, nil, nil, csv))
		if _, err := load(t, sketch.plan, NewObjects(t.TempDir())); err == nil || !strings.Contains(err.Error(), "input 0 is text[2], it takes one column") {
			t.Errorf("%s of two texts: %v", op, err)
		}
	}
}

func BenchmarkCSV(b *testing.B) {
	for _, used := range []int{1, 14} {
		for _, written := range []bool{true, false} {
			b.Run(fmt.Sprintf("used=%d/as_written=%v/rows=64", used, written), func(b *testing.B) {
				s := &sketch{}
				all := make([]int, 14)
				for i := range all {
					all[i] = i
				}
				csv := s.node("csv", lines(14, all...), nil, s.input(engine.Text, 1))
				var read []int
				for i := range used {
					read = append(read, s.column(csv, i))
				}
				s.output(s.node("concat", nil, nil, read...))
				run, _ := s.openAs(b, written, 64)
				rows := make([]string, 64)
				for i := range rows {
					rows[i] = "39,77516,13,2174,0,40,1.25,-3.5,0.0625,12345.678,1e-3,7,\"8\",9"
				}
				run.score([]any{rows}, 64)
				b.ReportAllocs()
				for b.Loop() {
					if err := run.batch.Run(64); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
