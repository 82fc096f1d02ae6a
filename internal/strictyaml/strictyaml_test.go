package strictyaml

import (
	"errors"
	"strings"
	"testing"
)

type doc struct {
	Part struct {
		Width  int `yaml:"width"`
		Height int `yaml:"height,omitempty"`
	} `yaml:"part"`
	Name  string `yaml:"name"`
	Count int    `yaml:"count"`
}

func (d *doc) Validate() (faults []error) {
	if d.Name == "" {
		faults = append(faults, errors.New("name: is empty; give it one"))
	}
	if d.Count < 0 {
		faults = append(faults, errors.New("count: is negative"))
	}
	return faults
}

func TestDecode(t *testing.T) {
	f := func(name, input string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			err := Decode("f.yaml", []byte(input), new(doc))
			if len(want) == 0 {
				if err != nil {
					t.Fatalf("unexpected error: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("expected an error")
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error lacks %q:\n%v", w, err)
				}
			}
		})
	}
	f("a good document", "name: a\ncount: 2\n")
	f("unknown keys and wrong types together", "name: a\ncolour: 1\ncount: x\n",
		"f.yaml: line 2: field colour not found; docs/configuration.md lists the keys", "f.yaml: line 3: cannot unmarshal")
	f("an unknown key of a type without a name", "name: a\npart: {widht: 1}\n", "f.yaml: line 2: field widht not found; the keys here are width, height")
	f("every rule is reported", "count: -1\n", "f.yaml: name: is empty", "f.yaml: count: is negative")
	f("an empty document is validated", "", "f.yaml: name: is empty")
	f("two documents", "name: a\n---\nname: b\n", "more than one YAML document")
	f("broken syntax names its line", "name: [a\n", "f.yaml: line 1")
}
