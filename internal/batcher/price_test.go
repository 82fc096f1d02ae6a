package batcher

import "testing"

// A price that was calibrated at all sizes, and then sees one size at twice the cost, knows that all savings doubled.
func TestPrice(t *testing.T) {
	var p price
	if p.known() || p.saving(1, 1) != 0 {
		t.Error("a price that has seen nothing knows something")
	}
	cost := func(rows int) float64 { return 40e3 + float64(rows)*3e3 }
	for range 3 {
		for _, n := range []int{1, 4, 16, 64, 128} {
			p.observe(n, cost(n))
		}
	}
	near(t, "the saving of two small batches", p.saving(4, 4), 40e3)
	near(t, "the saving of one row more", p.saving(12, 1), 40e3)
	for range 200 {
		p.observe(13, 2*cost(13))
	}
	for what, s := range map[string]float64{"at the size that showed it": p.saving(12, 1), "at others": p.saving(4, 4)} {
		if s < 74e3 || s > 82e3 { // a little went into the shape
			t.Errorf("runs cost twice as much: the saving %s is %v, want about 80e3", what, s)
		}
	}
}

// A shape that is not what calibration said is learnt in time.
func TestPriceShape(t *testing.T) {
	var p price
	for range 3 {
		for _, n := range []int{1, 2, 4, 8, 16} {
			p.observe(n, 40e3)
		}
	}
	for range 5000 {
		for _, n := range []int{1, 2, 4, 8, 16} {
			p.observe(n, float64(n)*10e3) // nothing is saved by joining
		}
	}
	if s := p.saving(4, 4); s > 2e3 {
		t.Errorf("joining is thought to save %v ns, it saves nothing", s)
	}
}

// One stolen time slice moves the scale by a quarter at most.
func TestPriceOutlier(t *testing.T) {
	var p price
	for range 100 {
		p.observe(8, 50e3)
		p.observe(1, 40e3)
		p.observe(9, 52e3)
	}
	was := p.saving(8, 1)
	p.observe(8, 100e6)
	if s := p.saving(8, 1); s > 1.25*was {
		t.Errorf("the saving went from %v to %v by one outlier", was, s)
	}
}
