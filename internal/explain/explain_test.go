package explain

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"gavel/internal/engine"
	"gavel/internal/engine/plan"
)

// forest is a report of a model with two numbers, three equal lookups of texts, and trees over all.
func forest() *Report {
	r := &Report{
		Model: "churn", Version: 3, Load: 2 * time.Millisecond, Beside: 2, Failed: []string{"other: it is <damaged>"},
		Sharing: []SharedStage{{"a version 1", 3}},
		Description: plan.Description{
			User: "churn version 3", Source: "RandomForestClassifier(<x>)", Nodes: 9,
			Inputs: []engine.Field{
				{Name: "age", Type: engine.Float64, Width: 1}, {Name: "height", Type: engine.Float64, Width: 1},
				{Name: "city", Type: engine.Text, Width: 1}, {Name: "job", Type: engine.Text, Width: 1}, {Name: "sex", Type: engine.Text, Width: 1},
			},
			Outputs: []engine.Field{{Name: "probability", Type: engine.Float64, Width: 2}},
			Gives:   []int{9},
			Rules:   []plan.Fired{{Rule: "merge equal", Count: 2, Places: []string{"a", "b"}}},
			Objects: []plan.ObjectUse{{Sum: strings.Repeat("0a", 32), Kind: "float64[3]", Bytes: 88, Users: []string{"a version 1", "churn version 3"}}},
			Memory:  plan.MemoryOfModel{Program: 1 << 10, OwnStages: 2 << 20, SharedMapped: 88},
		},
	}
	stage := func(op string, cost float64, users int, reads ...int) {
		s := plan.StageUse{Name: fmt.Sprintf("node 1 %s (model: Pipeline > steps[0] %s)", op, op), Op: op, Value: "float64[1]", Reads: reads, Bytes: 64, Users: []string{"churn version 3"}}
		for i := range users {
			s.Users = append(s.Users, fmt.Sprint("other ", i))
		}
		r.Stages, r.Costs = append(r.Stages, s), append(r.Costs, Cost{One: 2 * cost, Row: cost})
		r.Total.One, r.Total.Row = r.Total.One+2*cost, r.Total.Row+cost
	}
	stage("lookup", 5, 3, 2)
	stage("lookup", 5, 2, 3)
	stage("lookup", 5, 3, 4)
	stage("concat", 15, 0, 0, 1, 5, 6, 7)
	stage("trees", 70, 0, 8)
	return r
}

func TestDrawing(t *testing.T) {
	d := forest().draw()
	var heads []string
	for _, b := range d.Boxes {
		heads = append(heads, fmt.Sprintf("%s: %s: %s", b.Head(), b.Note, b.Below()))
	}
	want := []string{
		"2 × inputs: age, height: ", "3 × inputs: city, job, sex: ", "3 × lookup: steps[0] lookup: 15 ns, float64[1], 2 share it",
		"concat: steps[0] concat: 15 ns, float64[1]", "trees: steps[0] trees: 70 ns, float64[1]", "probability: float64[2]: ",
	}
	if got := strings.Join(heads, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the boxes are\n%s", got)
	}
	if len(d.Arrows) != 7 { // inputs → beside the lookups → concat, inputs → lookups → concat → trees → probability
		t.Errorf("%d arrows: %+v", len(d.Arrows), d.Arrows)
	}
	if share := d.Boxes[4].Share; share != 70 {
		t.Errorf("the trees' share is %g %%", share)
	}
	for i, a := range d.Boxes {
		if a.X < margin || a.X+boxWidth > d.Width-margin || a.Y < margin || a.Y+boxHeight > d.Height-margin {
			t.Errorf("box %d is outside the drawing", i)
		}
		for _, b := range d.Boxes[:i] {
			if a.Y == b.Y && a.X < b.X+boxWidth && b.X < a.X+boxWidth {
				t.Errorf("%q and %q overlap", a.Title, b.Title)
			}
		}
	}
	for _, a := range d.Arrows {
		if a.Y1 >= a.Y2 {
			t.Errorf("an arrow goes up: %+v", a)
		}
		for _, b := range d.Boxes {
			if a.Y1 <= b.Y && b.Y+boxHeight <= a.Y2 && b.X < max(a.X1, a.X2) && min(a.X1, a.X2) < b.X+boxWidth {
				t.Errorf("an arrow leads through %q: %+v", b.Title, a)
			}
		}
	}
}

func TestForms(t *testing.T) {
	r := forest()
	for name, write := range map[string]func(io.Writer) error{"text": r.Text, "svg": r.SVG, "html": r.HTML} {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wanted := []string{"churn", "lookup", "trees"}
		if name != "svg" {
			wanted = append(wanted, "200 ns", "100 ns", "2.0 MiB", "merge equal", "a version 1", "0a0a0a0a0a0a", "70 %", "other: it is")
		}
		for _, want := range wanted {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, out.String())
			}
		}
		if name != "text" && strings.Contains(out.String(), "<damaged>") {
			t.Errorf("%s does not escape texts", name)
		}
		if name == "svg" {
			for d := xml.NewDecoder(&out); ; {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("the drawing is no XML: %v", err)
				}
			}
		}
	}
}

// TestAlone: where no other model was loaded, nothing is said of who shares stages.
func TestAlone(t *testing.T) {
	r := forest()
	r.Beside, r.Sharing = 0, nil
	for name, write := range map[string]func(io.Writer) error{"text": r.Text, "html": r.HTML} {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.Contains(out.String(), "Who shares") || !strings.Contains(out.String(), "rewrote") {
			t.Errorf("%s of a model alone:\n%s", name, out.String())
		}
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{duration(9.4), "9 ns"}, {duration(2130), "2.13 µs"}, {duration(5.9e6), "5.9 ms"},
		{size(72), "72 B"}, {size(34560), "33.8 KiB"}, {size(3 << 20), "3.0 MiB"},
		{short("äöü", 3), "äöü"}, {short("äöüß", 3), "äö…"}, {end("äöüß", 3), "…üß"},
		{near("Pipeline > steps[1] model: Ridge"), "steps[1] model: Ridge"}, {near("Ridge"), "Ridge"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
