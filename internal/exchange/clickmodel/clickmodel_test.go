package clickmodel

import (
	"fmt"
	"math"
	"testing"
	"time"

	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/lot"
)

var start = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func options() Options {
	return Options{Seed: 1, BaseRate: 0.05, LogitStd: 1, Start: start, DriftEvery: 10 * time.Second, DriftHalfLife: time.Hour}
}

func samples(n int) []Sample {
	out := make([]Sample, n)
	for i := range out {
		k := dice.New(99).With(uint64(i))
		out[i] = Sample{
			Context: lot.Context{
				Domain: fmt.Sprint("d", k.With(1).Intn(200)), Category: fmt.Sprint("IAB", k.With(2).Intn(20)),
				DeviceType: 2 + k.With(3).Intn(4), Country: fmt.Sprint("C", k.With(4).Intn(15)),
				UTCOffset: 60 * k.With(5).Intn(12), Cluster: fmt.Sprint("k", k.With(6).Intn(8)),
			},
			Size: fmt.Sprint("s", k.With(7).Intn(6)),
			Ad:   Ad{Campaign: fmt.Sprint("c", k.With(8).Intn(10)), Creative: fmt.Sprint("r", k.With(9).Intn(20))},
		}
	}
	return out
}

func TestCalibrateMeetsRateAndSpread(t *testing.T) {
	for seed := range uint64(5) {
		o := options()
		o.Seed = seed
		m := New(o)
		all := samples(5000)
		m.Calibrate(all)
		var mean, variance float64
		for _, s := range all {
			mean += m.Probability(&s.Context, s.Size, s.Ad, start) / float64(len(all))
		}
		centre := 0.0
		for _, s := range all {
			centre += logit(m.Probability(&s.Context, s.Size, s.Ad, start)) / float64(len(all))
		}
		for _, s := range all {
			d := logit(m.Probability(&s.Context, s.Size, s.Ad, start)) - centre
			variance += d * d / float64(len(all))
		}
		if math.Abs(mean-0.05) > 1e-6 || math.Abs(math.Sqrt(variance)-1) > 1e-6 {
			t.Errorf("seed %d: rate %.6f and logit std %.6f, want 0.05 and 1", seed, mean, math.Sqrt(variance))
		}
	}
}

func TestDeterministicAndOrderFree(t *testing.T) {
	a, b := New(options()), New(options())
	all := samples(300)
	for i := range all {
		s, r := all[i], all[len(all)-1-i]
		late := start.Add(37 * time.Minute)
		b.Probability(&r.Context, r.Size, r.Ad, start.Add(time.Duration(i)*time.Minute)) // another history of calls
		if x, y := a.Probability(&s.Context, s.Size, s.Ad, late), b.Probability(&s.Context, s.Size, s.Ad, late); x != y {
			t.Fatalf("sample %d: %v, but %v when other questions came first", i, x, y)
		}
	}
	o := options()
	o.Seed = 2
	if New(o).Probability(&all[0].Context, "x", Ad{}, start) == a.Probability(&all[0].Context, "x", Ad{}, start) {
		t.Error("another seed gave the same probability")
	}
}

func TestDriftIsSlowAndStationary(t *testing.T) {
	m := New(options())
	correlation := func(after time.Duration) (r, spread float64) {
		var xy, xx, yy float64
		for _, s := range samples(2000) {
			x := m.sum(&s.Context, s.Size, s.Ad, start)
			c := s.Context
			c.UTCOffset -= int(after / time.Minute) // keep the local hour, so that only the drift changes the result
			y := m.sum(&c, s.Size, s.Ad, start.Add(after))
			xy, xx, yy = xy+x*y, xx+x*x, yy+y*y
		}
		return xy / math.Sqrt(xx*yy), math.Sqrt(yy / xx)
	}
	if r, _ := correlation(90 * time.Second); r < 0.95 {
		t.Errorf("correlation %.3f after 90 s, want above 0.95", r)
	}
	if r, spread := correlation(4 * time.Hour); math.Abs(r) > 0.5 || spread < 0.5 || spread > 2 {
		t.Errorf("after 4 h: correlation %.3f (want near 1/16), spread ratio %.2f (want near 1)", r, spread)
	}
	still := options()
	still.DriftEvery = 0
	s := samples(1)[0]
	n := New(still)
	if n.sum(&s.Context, s.Size, s.Ad, start) != n.sum(&s.Context, s.Size, s.Ad, start.Add(24*time.Hour)) {
		t.Error("a model without drift drifted")
	}
}

func TestCampaignsInteract(t *testing.T) {
	// For some pairs of campaigns the order must differ between categories. Else there is no interaction to learn.
	m := New(options())
	flips := 0
	for i := range 50 {
		a, b := Ad{Campaign: fmt.Sprint("a", i)}, Ad{Campaign: fmt.Sprint("b", i)}
		x, y := lot.Context{Category: "IAB1"}, lot.Context{Category: "IAB2"}
		dx := m.sum(&x, "s", a, start) - m.sum(&x, "s", b, start)
		dy := m.sum(&y, "s", a, start) - m.sum(&y, "s", b, start)
		if dx*dy < 0 {
			flips++
		}
	}
	if flips < 5 {
		t.Errorf("%d of 50 pairs of campaigns change order between categories, want some", flips)
	}
}

func BenchmarkProbability(b *testing.B) {
	m := New(options())
	all := samples(1000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s := &all[i%len(all)]
		m.Probability(&s.Context, s.Size, s.Ad, start.Add(time.Minute))
	}
}
