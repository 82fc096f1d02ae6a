package plan

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/engine/plan/plantest"
)

// edited is logistic's plan.msgpack, with changes to what it holds.
func edited(t *testing.T, change func(plan map[string]any)) []byte {
	t.Helper()
	data, _ := logistic().Encode()
	var plan map[string]any
	if err := msgpack.Unmarshal(data, &plan); err != nil {
		t.Fatal(err)
	}
	change(plan)
	data, err := msgpack.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeReportsFaults(t *testing.T) {
	f := func(name string, change func(plan map[string]any), wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			_, err := decode(edited(t, change))
			if (err == nil) != (len(wants) == 0) {
				t.Fatal(err)
			}
			for _, want := range wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
		})
	}
	node := func(plan map[string]any, i int) map[string]any { return plan["nodes"].([]any)[i].(map[string]any) }
	input := func(plan map[string]any, i int) map[string]any { return plan["inputs"].([]any)[i].(map[string]any) }
	f("sound", func(map[string]any) {})
	f("several at once", func(p map[string]any) {
		p["plan"] = 2
		p["more"] = []any{1, "two"}
		delete(p, "source")
		input(p, 0)["type"] = "int64"
		input(p, 1)["width"] = 0
		node(p, 0)["set"].(map[string]any)["columns"] = []any{1, map[string]any{}, []byte{1}}
		node(p, 1)["at"] = 7
		node(p, 3)["obj"].(map[string]any)["coef"] = "../../etc/passwd"
		p["tolerance"] = 0.5
	}, `the plan has the unknown key "more"`, `the plan lacks the key "source"`, "inputs[0]: type \"int64\" is not", "inputs[1]",
		"nodes[0].set.columns holds a map", "nodes[0].set.columns holds a binary", "at is a integer, must be a text", "nodes[3].obj.coef is \"../../etc/passwd\", not a sha256")
	f("values", func(p map[string]any) {
		p["plan"] = 2
		input(p, 1)["name"] = "x"
		input(p, 0)["width"] = 1<<24 + 1
		node(p, 2)["in"] = []any{4}
		p["outputs"].([]any)[0].(map[string]any)["value"] = 99
		p["outputs"].([]any)[1].(map[string]any)["name"] = ""
		p["labels"] = []any{1, "two"}
		p["tolerance"] = 0.5
	}, "plan is 2, this program reads 1", `inputs[1]: the name "x" is empty or stands twice`, "the width 16777217", "tolerance is 0.5",
		"node 2 concat (join) reads value 4; it may read values below its own number", "outputs[0] names value 99, there are 7",
		`outputs[1]: the name "" is empty`, "labels[1] is \"two\"; labels must be")
	f("nothing", func(p map[string]any) { p["inputs"], p["outputs"] = []any{}, []any{} }, "inputs is empty", "outputs is empty")
	f("a text of width 2", func(p map[string]any) { input(p, 0)["type"] = "text" }, "or not 1 for a text")
	f("a negative number", func(p map[string]any) { node(p, 2)["in"] = []any{-1} }, "in is -1, must be a number from 0 on")
	f("what is no list", func(p map[string]any) { p["nodes"] = "none" }, "nodes is a text, must be a list")
	f("binary in a setting", func(p map[string]any) { node(p, 0)["set"].(map[string]any)["columns"] = []byte{1} }, "nodes[0].set.columns holds a binary")
	f("a list in a list", func(p map[string]any) { node(p, 0)["set"].(map[string]any)["columns"] = []any{[]any{}} }, "nodes[0].set.columns holds a list")
	f("too many reads", func(p map[string]any) { node(p, 2)["in"] = make([]int, maxInputs+1) }, "nodes[2].in has 1025 elements")
}

func TestDecodeRefusesBytes(t *testing.T) {
	data, _ := logistic().Encode()
	f := func(name string, data []byte, want string) {
		t.Helper()
		if _, err := decode(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	f("nothing", nil, "byte 0: the data ends within a value")
	f("more behind it", append(bytes.Clone(data), 0xc0), "1 bytes follow the plan")
	f("a key twice", []byte("\x82\xa4plan\x01\xa4plan\x01"), `the plan has the key "plan" twice`)
	f("no such value", []byte("\x81\xa4plan\xc1"), "no msgpack value that begins with 0xc1")
	f("a huge integer", []byte("\x81\xa4plan\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "is too large")
	for n := range data {
		if _, err := decode(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are a plan", n, len(data))
		}
	}
}

// What a plan claims to hold reserves nothing.
func TestDecodeIsBounded(t *testing.T) {
	claims := map[string]string{
		"nodes":   "\x81\xa5nodes\xdd\x00\x01\x00\x00",
		"a text":  "\x81\xa6source\xdb\x7f\xff\xff\xff",
		"a list":  "\x81\xa6labels\xdd\x00\x3f\xff\xff",
		"a map":   "\xdf\xff\xff\xff\xff",
		"a large": "\x81\xa6labels\xdd\xff\xff\xff\xff",
	}
	for name, claim := range claims {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := decode([]byte(claim)); err == nil {
			t.Errorf("%s: no error", name)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<16 {
			t.Errorf("%s: %d bytes were allocated", name, grown)
		}
	}
	if _, err := decode(make([]byte, maxPlanBytes+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Error(err)
	}
	many := plantest.Plan{Outputs: make([]plantest.Output, 500)}
	data, _ := many.Encode()
	if _, err := decode(data); err == nil || strings.Count(err.Error(), "\n") != maxFaults || !strings.Contains(err.Error(), "more than 100 faults") {
		t.Error(err)
	}
}
