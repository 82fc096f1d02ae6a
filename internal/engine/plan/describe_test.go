package plan

import (
	"slices"
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	objects := NewObjects(t.TempDir())
	s := adult(10)
	s.plan.Source = "Pipeline()"
	e := membersOf(t, objects, s)[0].Engine.(*Engine)
	d := e.Describe()
	if d.User != "m version 1" || d.Source != "Pipeline()" || d.Nodes != len(s.plan.Nodes) || len(d.Stages) >= d.Nodes || len(d.Inputs) != 9 {
		t.Errorf("%+v", d)
	}
	var rules []string
	for _, f := range d.Rules {
		if f.Count < 1 || len(f.Places) != 1 || f.Places[0] != "test" {
			t.Errorf("%+v", f)
		}
		rules = append(rules, f.Rule)
	}
	for _, want := range []string{"take apart", "split by concat", "read numbers", "fold numbers"} {
		if !slices.Contains(rules, want) {
			t.Errorf("%q lack %q", rules, want)
		}
	}
	parts := d.Stages[len(d.Stages)-2]
	if parts.Op != "parts" || parts.Value != "float64[10]" || !slices.Contains(parts.How, "table") || len(parts.Sums) != 2 || parts.Bytes < 10*100*8 ||
		!strings.Contains(parts.Name, "linear (test)") {
		t.Errorf("%+v", parts)
	}
	if m := d.Memory; m.OwnStages < parts.Bytes || m.SharedStages != 0 || m.SharedMapped != 0 || m.OwnMapped == 0 || len(d.Objects) == 0 {
		t.Errorf("%+v", m)
	}

	other, err := loadAs(t, adult(1).plan, objects, "other")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	d = e.Describe()
	if by := d.SharedBy(); by["other version 1"] != len(d.Stages)-2 || len(by) != 1 {
		t.Errorf("%v", by)
	}
	if m := d.Memory; m.SharedStages == 0 || m.SharedMapped == 0 || m.OwnStages < parts.Bytes {
		t.Errorf("%+v", m)
	}
}
