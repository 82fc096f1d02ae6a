package plan

import (
	"path/filepath"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// What engines say of their memory is all objects and stages, each once, and a little of their own.
func TestMemoryCountsPartsOnce(t *testing.T) {
	objects, root := NewObjects(t.TempDir()), t.TempDir()
	open := func(name string, own float64) engine.Engine {
		t.Helper()
		p := plantest.Plan{
			Inputs: []plantest.Input{{Name: "x", Type: "float64", Width: 4}},
			Nodes: []plantest.Node{
				{Op: "project", In: []int{0}, Set: map[string]any{"finite": true}, Obj: map[string]plantest.Tensor{"matrix": plantest.Of(make([]float64, 4000), 1000, 4)}},
				{Op: "function", In: []int{1}, Set: map[string]any{"name": "tanh"}},
				{Op: "linear", In: []int{2}, Set: map[string]any{"finite": true},
					Obj: map[string]plantest.Tensor{"coef": plantest.Of(make([]float64, 1000), 1, 1000), "intercept": plantest.Of([]float64{own})}},
			},
			Outputs: []plantest.Output{{Name: "value", Value: 3}},
		}
		folder := filepath.Join(root, name)
		p.Write(t, folder, objects.dir)
		e, err := Loader(objects, Options{})(t.Context(), engine.Version{Model: name, Number: 1, Dir: folder})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	memory := func(e engine.Engine) int64 { return e.(engine.Sized).Memory() }
	whole := func() (bytes int64) {
		for _, u := range objects.Uses() {
			bytes += u.Bytes
		}
		_, stages := objects.stages.count()
		return bytes + stages
	}
	a := open("a", 1)
	alone := memory(a)
	if own := alone - whole(); own < 0 || own > 4096 {
		t.Errorf("one engine takes %d bytes, its parts %d", alone, whole())
	}
	b := open("b", 2)
	if got := memory(a); got >= alone*3/4 {
		t.Errorf("an engine takes %d bytes where another shares its matrix, %d alone", got, alone)
	}
	if own := memory(a) + memory(b) - whole(); own < -100 || own > 8192 {
		t.Errorf("two engines take %d and %d bytes, their parts %d", memory(a), memory(b), whole())
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := memory(a); got != alone {
		t.Errorf("alone again, an engine takes %d bytes, before %d", got, alone)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got := memory(a); got > 4096 {
		t.Errorf("a closed engine takes %d bytes", got)
	}
}
