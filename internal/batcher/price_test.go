package batcher

import (
	"math"
	"math/rand/v2"
	"testing"
)

func calibratedPrice(cost func(rows int) float64) *price {
	var p price
	for range 3 {
		for n := 1; n <= 128; n *= 2 {
			p.calibrate(n, int64(cost(n)))
		}
	}
	return &p
}

func line(fixed, row float64) func(int) float64 {
	return func(rows int) float64 { return fixed + row*float64(rows) }
}

// amongBatches has the price see enough batches that single claims are an exception.
func (p *price) amongBatches() *price {
	for range 2 * enough {
		p.observe(24, 24, int64(line(40e3, 3e3)(24)), false)
	}
	return p
}

// The price of a batch is found whatever sizes traffic brings, and whatever calibration thought.
func TestPrice(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	f := func(name string, calibration, traffic func(int) float64, size func() int, low, high float64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			p := &price{}
			if calibration != nil {
				p = calibratedPrice(calibration)
			}
			for range 6000 {
				n := size()
				p.observe(n, float64(n), int64(traffic(n)), n == 1 && rng.IntN(2) == 0)
			}
			if got := p.ofBatch(); got < low || got > high {
				t.Errorf("a batch costs %.0f ns, want %.0f to %.0f", got, low, high)
			}
		})
	}
	fixed := func(n int) func() int { return func() int { return n } }
	varied := func(low, high int) func() int { return func() int { return low + rng.IntN(high-low+1) } }
	f("as calibrated", line(40e3, 3e3), line(40e3, 3e3), varied(1, 30), 39e3, 41e3)
	f("as calibrated, one size", line(40e3, 3e3), line(40e3, 3e3), fixed(13), 39e3, 41e3)
	f("as calibrated, hardly any batches", line(40e3, 3e3), line(40e3, 3e3), fixed(1), 39e3, 41e3)
	f("twice as dear, hardly any batches", line(40e3, 3e3), line(80e3, 6e3), fixed(1), 78e3, 82e3)
	f("twice as dear, sizes vary", line(40e3, 3e3), line(80e3, 6e3), varied(1, 30), 75e3, 85e3)
	f("twice as dear, never a single row: less, for how dear one is now nobody saw",
		line(40e3, 3e3), line(80e3, 6e3), fixed(13), 30e3, 40e3)
	f("rows alone cost more, sizes vary", line(40e3, 3e3), line(40e3, 9e3), varied(1, 30), 37e3, 43e3)
	f("batches alone cost more, sizes vary", line(40e3, 3e3), line(120e3, 3e3), varied(1, 30), 110e3, 125e3)
	f("never calibrated, sizes vary", nil, line(40e3, 3e3), varied(1, 30), 37e3, 43e3)
	f("nothing to save", line(0, 10e3), line(0, 10e3), varied(1, 30), 0, 2e3)
	f("rows for nothing", line(50e3, 0), line(50e3, 0), varied(1, 30), 49e3, 51e3)
	// Of a big batch each row may cost what it costs alone while the first few hardly do: what is saved is what is
	// saved of the size that is run.
	f("concave", line(40e3, 3e3), func(rows int) float64 { return 90e3 * math.Sqrt(float64(rows)) }, varied(1, 7), 55e3, 68e3)
}

// Claims may be of several rows: what is saved is saved a claim.
func TestPriceOfLargeClaims(t *testing.T) {
	p := calibratedPrice(line(40e3, 3e3))
	for range 1000 {
		p.observe(4, 1, int64(line(120e3, 9e3)(4)), false)
	}
	if got := p.ofBatch(); got < 110e3 || got > 125e3 {
		t.Errorf("with single claims a batch costs %.0f ns, want 120e3", got)
	}
	for range 1000 {
		p.observe(24, 6, int64(line(120e3, 9e3)(24)), false)
	}
	if got := p.ofBatch(); got < 115e3 || got > 125e3 {
		t.Errorf("with batches of six claims a batch costs %.0f ns, want 120e3", got)
	}
}

func TestPriceKnown(t *testing.T) {
	var p price
	p.observe(4, 4, 0, false) // was not measured
	for range enough {
		p.observe(4, 4, 50e3, false)
	}
	if p.known() || p.ofBatch() != 0 {
		t.Error("it knows what nobody told it")
	}
	if got := calibratedPrice(line(40e3, 3e3)).ofBatch(); got < 39e3 || got > 41e3 {
		t.Errorf("after calibration alone a batch costs %.0f ns, want 40e3", got)
	}
}

// The few single rows between large batches don't move the price, unless they were looked for.
func TestPriceOfRareSingles(t *testing.T) {
	p := calibratedPrice(line(40e3, 3e3))
	traffic := func(looking bool) {
		for range 100 {
			p.observe(1, 1, 90e3, looking)
			for range 100 {
				p.observe(24, 24, int64(line(40e3, 3e3)(24)), false)
			}
		}
	}
	traffic(false)
	if got := p.ofOne(); got < 42e3 || got > 44e3 {
		t.Errorf("a row alone costs %.0f ns after dear ones that came by themselves, want 43e3", got)
	}
	traffic(true)
	if got := p.ofOne(); got < 80e3 || got > 90e3 {
		t.Errorf("a row alone costs %.0f ns after dear ones that were looked for, want near 90e3", got)
	}
}

// What calibration thought far too dear is forgotten after a look or two, and then no single run moves it much. Of what
// varies, the lower third counts.
func TestPriceOfLooks(t *testing.T) {
	p := calibratedPrice(line(240e3, 3e3)).amongBatches()
	rng := rand.New(rand.NewPCG(3, 4))
	look := func() { p.observe(1, 1, int64(90e3*(1+2*rng.Float64())), true) } // a third of them below 150e3
	for range 2 * enough {
		look()
	}
	if got := p.ofOne(); got < 110e3 || got > 200e3 {
		t.Errorf("a row alone costs %.0f ns after two looks, want near 150e3", got)
	}
	sum := 0.0
	for range 1000 {
		was := p.ofOne()
		look()
		got := p.ofOne()
		if sum += got; got > 1.03*was || got < 0.95*was {
			t.Fatalf("a row alone costs %.0f ns, and %.0f one look later", was, got)
		}
	}
	if mean := sum / 1000; mean < 140e3 || mean > 160e3 {
		t.Errorf("a row alone costs %.0f ns in the mean of a thousand looks, want 150e3", mean)
	}
}

// One stolen time slice hardly moves it.
func TestPriceOutlier(t *testing.T) {
	p := calibratedPrice(line(40e3, 3e3))
	for i := range 500 {
		p.observe(1+i%20, float64(1+i%20), int64(line(40e3, 3e3)(1+i%20)), i%20 == 0)
	}
	was := p.ofBatch()
	p.observe(8, 8, 100e6, false)
	if got := p.ofBatch(); got > 1.1*was {
		t.Errorf("a batch cost %.0f ns, and %.0f after one outlier", was, got)
	}
}

// Single claims that were interrupted hardly move what one costs alone, though a look may bring but a few of them;
// that it costs more by now is believed all the same.
func TestPriceOfInterruptedSingles(t *testing.T) {
	p := calibratedPrice(line(40e3, 3e3)).amongBatches()
	for range 200 {
		p.observe(1, 1, 100e3, true)
	}
	for i := range 40 {
		cost := int64(100e3)
		if i%8 == 0 {
			cost = 1e6
		}
		p.observe(1, 1, cost, true)
	}
	if got := p.ofOne(); got < 95e3 || got > 125e3 {
		t.Errorf("a row alone costs %.0f ns after some interrupted ones, want near 100e3", got)
	}
	for range 160 {
		p.observe(1, 1, 300e3, true)
	}
	if got := p.ofOne(); got < 280e3 || got > 301e3 {
		t.Errorf("a row alone costs %.0f ns after it became dear, want near 300e3", got)
	}
}

// What calibration thinks too dear does not keep claims from being looked at alone.
func TestMayLook(t *testing.T) {
	q := &Queue{price: *calibratedPrice(line(270e3, 3e3))}
	f := func(name string, gap float64, want bool) {
		t.Helper()
		if got := q.mayLook(gap); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("calibrated, a claim each 230 µs", 230e3, true)
	f("calibrated, callers that wait", 30e3, false)
	for range 2 * enough {
		q.price.observe(1, 1, 100e3, false)
	}
	f("seen, a claim each 60 µs", 60e3, true)
	f("seen, callers that wait", 40e3, false)
}
