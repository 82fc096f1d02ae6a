package admission_test

import (
	"math/rand/v2"
	"testing"

	"gavel/internal/admission"
)

// TestStays is that of things that are used at random, with room for a third, those that are used most stay, and that the policy
// never has more than its bound.
func TestStays(t *testing.T) {
	const things, size = 300, 10 << 10
	p, err := admission.New[int](things / 3 * size)
	if err != nil {
		t.Fatal(err)
	}
	there := map[int]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 40_000 {
		key := things/4 + r.IntN(things*3/4)
		if r.IntN(10) > 0 {
			key = r.IntN(things / 4) // used thirty times as often as others
		}
		if !p.Use(key) {
			p.Ask(key, size)
			there[key] = true
		}
		for _, lost := range p.Settle() {
			delete(there, lost)
		}
		if p.Bytes() > things/3*size || int64(len(there))*size != p.Bytes() {
			t.Fatalf("%d things, %d bytes", len(there), p.Bytes())
		}
	}
	often := 0
	for key := range things / 4 {
		if there[key] {
			often++
		}
	}
	if often < things/4*9/10 {
		t.Errorf("%d of %d that are used often are there", often, things/4)
	}
}

func TestBound(t *testing.T) {
	p, err := admission.New[string](100 << 10)
	if err != nil {
		t.Fatal(err)
	}
	p.Ask("a", 60<<10)
	if lost := p.Settle(); len(lost) != 0 || !p.Use("a") || !p.Fits(40<<10) || p.Fits(41<<10) {
		t.Errorf("lost %v, %d bytes", lost, p.Bytes())
	}
	if p.Ask("large", 101<<10); len(p.Settle()) != 1 || p.Use("large") {
		t.Error("what is larger than the bound has room")
	}
	p.SetBound(50 << 10)
	if lost := p.Settle(); len(lost) != 1 || lost[0] != "a" || p.Bytes() != 0 {
		t.Errorf("lost %v, %d bytes", lost, p.Bytes())
	}
	p.Ask("b", 1)
	p.Forget("b")
	if lost := p.Settle(); len(lost) != 0 || p.Bytes() != 0 {
		t.Errorf("what was forgotten is %v, %d bytes", lost, p.Bytes())
	}
}
