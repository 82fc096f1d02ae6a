package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
)

func TestSchemaCheck(t *testing.T) {
	one := []engine.Field{{Name: "x", Type: engine.Int32, Width: 1}}
	out := []engine.Field{{Name: "y", Type: engine.Float32, Width: 1}}
	f := func(name string, s engine.Schema, wants ...string) {
		t.Helper()
		err := s.Check()
		if (err == nil) != (len(wants) == 0) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range wants {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error lacks %q: %v", name, want, err)
			}
		}
	}
	f("sound", engine.Schema{Inputs: one, Outputs: out})
	f("every type of column", enginetest.Typed())
	f("empty", engine.Schema{}, "no input", "no output")
	f("outputs that are no floats", engine.Schema{Inputs: one, Outputs: []engine.Field{{Name: "a", Type: engine.Int32, Width: 1}, {Name: "b", Type: engine.Text, Width: 1}}},
		`output "a" cannot be of int32`, `output "b" cannot be of text`)
	f("names and widths", engine.Schema{Inputs: []engine.Field{one[0], one[0], {Type: 9, Width: 0}}, Outputs: out},
		`input "x": the name is empty or stands twice`, `input "": the name`, `input "" has width 0`, `input "" cannot be of type 9`)
}

// typed is a batch of the fake engine whose row i holds values made of i.
func typed(t *testing.T, rows int) []engine.Column {
	t.Helper()
	b, err := enginetest.NewFake(enginetest.Typed()).NewBatch(rows)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		write(b.Inputs(), i, i)
	}
	return b.Inputs()
}

func write(columns []engine.Column, row, value int) {
	for _, c := range columns {
		for j := row * c.Width; j < (row+1)*c.Width; j++ {
			v := 10*value + j%c.Width + 1
			switch c.Type {
			case engine.Int32:
				c.Int32[j] = int32(v)
			case engine.Float32:
				c.Float32[j] = float32(v) / 4
			case engine.Float64:
				c.Float64[j] = float64(v) / 8
			case engine.Text:
				c.Text[j] = fmt.Sprint(v)
			}
		}
	}
}

func TestMoveAndClear(t *testing.T) {
	f := func(name string, change func(columns []engine.Column), want ...int) { // -1: zeros
		t.Helper()
		got, wanted := typed(t, len(want)), typed(t, len(want))
		change(got)
		for i, value := range want {
			if value >= 0 {
				write(wanted, i, value)
			} else {
				for k := range wanted {
					c := &wanted[k]
					for j := i * c.Width; j < (i+1)*c.Width; j++ {
						switch c.Type {
						case engine.Int32:
							c.Int32[j] = 0
						case engine.Float32:
							c.Float32[j] = 0
						case engine.Float64:
							c.Float64[j] = 0
						case engine.Text:
							c.Text[j] = ""
						}
					}
				}
			}
		}
		if !reflect.DeepEqual(got, wanted) {
			t.Errorf("%s: got %+v, want %+v", name, got, wanted)
		}
	}
	f("one row", func(c []engine.Column) { engine.Move(c, 0, 3, 1) }, 3, 1, 2, 3)
	f("down, overlapping", func(c []engine.Column) { engine.Move(c, 0, 1, 3) }, 1, 2, 3, 3)
	f("up, overlapping", func(c []engine.Column) { engine.Move(c, 1, 0, 3) }, 0, 0, 1, 2)
	f("nothing", func(c []engine.Column) { engine.Move(c, 2, 0, 0) }, 0, 1, 2, 3)
	f("clear in the middle", func(c []engine.Column) { engine.Clear(c, 1, 2) }, 0, -1, -1, 3)
}

func TestFit(t *testing.T) {
	schema := enginetest.Typed()
	if err := engine.Fit(typed(t, 3), schema.Inputs, 3); err != nil {
		t.Error(err)
	}
	f := func(name, want string, change func(columns []engine.Column) []engine.Column) {
		t.Helper()
		if err := engine.Fit(change(typed(t, 3)), schema.Inputs, 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("a column missing", "4 columns for 5 fields", func(c []engine.Column) []engine.Column { return c[:4] })
	f("another type", `"age" is int32`, func(c []engine.Column) []engine.Column { c[1].Type = engine.Int32; return c })
	f("too short", `"words" is text of width 2`, func(c []engine.Column) []engine.Column { c[4].Text = c[4].Text[:5]; return c })
	f("two kinds of values", `"age"`, func(c []engine.Column) []engine.Column { c[1].Int32 = make([]int32, 1); return c })
}

func TestLoaders(t *testing.T) {
	fake := enginetest.NewFake(enginetest.Indices(2))
	loaders := engine.Loaders{"b": nil, "a": func(_ context.Context, v engine.Version) (engine.Engine, error) {
		if v.Number == 2 {
			return nil, engine.ErrLoad
		}
		return fake, nil
	}}
	if e, err := loaders.Load(t.Context(), "a", engine.Version{Number: 1}); e != fake || err != nil {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := loaders.Load(t.Context(), "a", engine.Version{Number: 2}); !errors.Is(err, engine.ErrLoad) {
		t.Error(err)
	}
	_, err := loaders.Load(t.Context(), "c", engine.Version{Model: "ctr", Number: 7})
	if !errors.Is(err, engine.ErrFormat) || !strings.Contains(err.Error(), `"c" of ctr version 7; this program has ["a" "b"]`) {
		t.Error(err)
	}
}

func TestRowErrorUnwraps(t *testing.T) {
	cause := errors.New("too tall")
	err := fmt.Errorf("run: %w", &engine.RowError{Row: 3, Err: cause})
	if !errors.Is(err, cause) || err.Error() != "run: row 3: too tall" {
		t.Error(err)
	}
}
