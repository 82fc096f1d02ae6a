package sales

import (
	"math"
	"slices"
	"testing"
	"time"

	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/people"
)

var start = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func world(t *testing.T, change func(*Options)) *World {
	t.Helper()
	o := Defaults()
	o.Seed, o.Start, o.Campaigns = 1, start, 60
	if change != nil {
		change(&o)
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// The mean probability over people is the campaign's rate, and rates span what the options say.
func TestRates(t *testing.T) {
	s := world(t, nil).At(start)
	var rates []float64
	for _, c := range s.Active {
		mean := 0.0
		const n = 20_000
		for i := range n {
			k := dice.New(77).With(uint64(i))
			p := people.Draw(k)
			mean += c.Probability(&p, start.Add(time.Duration(k.With(3).Intn(24))*time.Hour)) / n
		}
		if mean < 0.8*c.Rate || mean > 1.25*c.Rate { // the calibration sample has 1,000 people
			t.Errorf("%s: %.3g sales a click, want %.3g", c.ID, mean, c.Rate)
		}
		rates = append(rates, c.Rate)
	}
	if low, high := slices.Min(rates), slices.Max(rates); low > 1e-5 || high < 1e-3 || low < 1e-6 || high > 1e-2 {
		t.Errorf("rates from %.3g to %.3g, want nearly 1e-6 to 1e-2", low, high)
	}
}

// The logit is the sum that the package's doc states: its own part has the stated deviation and drifts at the stated pace.
func TestDrift(t *testing.T) {
	w := world(t, func(o *Options) { o.Replaced = 0 })
	before := w.At(start)
	correlation := func(after time.Duration) float64 {
		var xy, xx, yy float64
		now := w.At(start.Add(after))
		for i, c := range before.Active {
			for j, x := range c.own {
				y := now.Active[i].own[j]
				xy, xx, yy = xy+x*y, xx+x*x, yy+y*y
			}
		}
		n := float64(len(before.Active) * effects)
		if math.Abs(xx/n-1) > 0.1 || math.Abs(yy/n-1) > 0.1 {
			t.Errorf("variances %.3f and %.3f of the standard effects, want 1", xx/n, yy/n)
		}
		return xy / math.Sqrt(xx*yy)
	}
	for _, after := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour} {
		if got, want := correlation(after), math.Exp2(-after.Hours()); math.Abs(got-want) > 0.05 {
			t.Errorf("after %v the correlation is %.3f, want %.3f", after, got, want)
		}
	}
}

func TestCampaignsComeAndGo(t *testing.T) {
	a, b := world(t, nil), world(t, nil)
	for step := range 12 {
		a.At(start.Add(time.Duration(step) * 10 * time.Second))
	}
	now := start.Add(110 * time.Second)
	x, y := a.At(now), b.At(now)
	began := 0
	p := people.Draw(dice.New(5))
	for i, c := range x.Active {
		if c.ID != y.Active[i].ID || c.Probability(&p, now) != y.Active[i].Probability(&p, now) {
			t.Fatalf("slot %d: the state depends on what was asked before", i)
		}
		if x.Find(c.ID) != c {
			t.Errorf("%s is active and not found", c.ID)
		}
		if i >= 60 || c.ID >= "campaign-00060" {
			began++
		}
	}
	if len(x.Active) != 60 || began < 6 || began > 11 {
		t.Errorf("%d active, %d of which began later, want 60 and nearly 11", len(x.Active), began)
	}
	ended := 0
	for _, c := range a.At(start).byID {
		if c.ended > 0 {
			ended++
		}
	}
	if ended == 0 || ended > kept+1 {
		t.Errorf("%d ended campaigns are remembered, want 1 to %d", ended, kept+1)
	}
	if still := world(t, func(o *Options) { o.Every = 0 }); still.At(now) != still.At(start) {
		t.Error("a world without steps changed")
	}
}

func TestOptionsNameTheirFaults(t *testing.T) {
	o := Options{Campaigns: 0, RateMin: 0.1, RateMax: 0.01, SharedStd: -1, OwnStd: 9, Every: -1, Replaced: 3}
	if faults := o.Validate(); len(faults) != 6 {
		t.Errorf("%d faults, want 6: %v", len(faults), faults)
	}
}

func BenchmarkProbabilities(b *testing.B) {
	o := Defaults()
	o.Start = start
	w, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	out := make([]float64, o.Campaigns)
	p := people.Draw(dice.New(1))
	b.ReportAllocs()
	for b.Loop() {
		w.At(start).Probabilities(&p, start, out)
	}
}
