package explore

import (
	"math"
	"math/rand/v2"
	"testing"

	"gavel/internal/race"
)

// shares are how often each of n arms is chosen, and the propensity that each choice said.
func shares(t *testing.T, c *Chooser, policy Policy, n, best int, a *Arms, choices int) (share, said []float64) {
	t.Helper()
	share, said = make([]float64, n), make([]float64, n)
	var s Scratch
	for range choices {
		choice := c.Choose(policy, n, best, a, &s)
		share[choice.Arm] += 1 / float64(choices)
		said[choice.Arm] = choice.Propensity
	}
	return share, said
}

func newChooser(t *testing.T, epsilon float64, seed uint64) *Chooser {
	t.Helper()
	c, err := New(Options{Epsilon: epsilon, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEpsilonGreedy(t *testing.T) {
	f := func(epsilon float64, best int, wantPolicy Policy, want ...float64) {
		t.Helper()
		const choices = 200_000
		c := newChooser(t, epsilon, 7)
		share, said := shares(t, c, EpsilonGreedy, len(want), best, nil, choices)
		for i, w := range want {
			if spread := 5 * math.Sqrt(w*(1-w)/choices); math.Abs(share[i]-w) > spread+1e-9 {
				t.Errorf("epsilon %v: arm %d has the share %v, want %v ± %v", epsilon, i, share[i], w, spread)
			}
			if w > 0 && math.Abs(said[i]-w) > 1e-12 {
				t.Errorf("epsilon %v: arm %d says %v, is %v", epsilon, i, said[i], w)
			}
		}
		if choice := c.Choose(EpsilonGreedy, len(want), best, nil, new(Scratch)); choice.Policy != wantPolicy {
			t.Errorf("policy %s, want %s", choice.Policy, wantPolicy)
		}
	}
	f(0.1, 1, EpsilonGreedy, 0.025, 0.925, 0.025, 0.025)
	f(0, 2, EpsilonGreedy, 0, 0, 1)
	f(1, 0, EpsilonGreedy, 0.5, 0.5)
	f(0.1, -1, Uniform, 0.25, 0.25, 0.25, 0.25)
	f(0.5, 0, EpsilonGreedy, 1)
}

func TestBest(t *testing.T) {
	c := newChooser(t, 0.5, 1)
	if got := c.Choose(Best, 9, 4, nil, new(Scratch)); got != (Choice{4, Best, 1}) {
		t.Errorf("%+v", got)
	}
}

func TestSeed(t *testing.T) {
	a := &Arms{Logits: []float64{-5, -5, -5, -5}, Variances: []float64{1, 1, 1, 1}}
	run := func(seed uint64) (arms [64]int) {
		c := newChooser(t, 0.5, seed)
		for i := range arms {
			arms[i] = c.Choose(Thompson, 4, 0, a, new(Scratch)).Arm
		}
		return arms
	}
	if run(3) != run(3) {
		t.Error("one seed gives different choices")
	}
	if run(3) == run(4) {
		t.Error("two seeds give the same choices")
	}
	if run(0) == run(0) {
		t.Error("seed 0 gives the same choices twice")
	}
}

// The propensity that Thompson says is within its bound of how often the arm is chosen.
func TestThompson(t *testing.T) {
	choices := 100_000
	if race.Enabled {
		choices = 5_000
	}
	f := func(name string, a *Arms) {
		t.Helper()
		c := newChooser(t, 0, 11)
		n := len(a.Logits)
		var s Scratch
		share := make([]float64, n)
		rng := rand.New(rand.NewPCG(5, 6))
		for range choices {
			share[draw(rng, a)] += 1 / float64(choices)
		}
		sum := 0.0
		for i := range n {
			if math.IsNaN(a.Logits[i]) {
				continue
			}
			p := Propensity(a, i, &s)
			sum += p
			limit := 5*math.Sqrt(max(share[i], p, 1/float64(choices))/float64(choices)) + MaxRelativeError*p + MaxAbsoluteError
			if math.Abs(p-share[i]) > limit {
				t.Errorf("%s: arm %d has the propensity %v, is chosen in %v", name, i, p, share[i])
			}
		}
		if math.Abs(sum-1) > 0.005 { // far within the bound: errors are small and of both signs
			t.Errorf("%s: the propensities sum to %v", name, sum)
		}
		choice := c.Choose(Thompson, n, 0, a, &s)
		if choice.Policy != Thompson || choice.Propensity != max(Propensity(a, choice.Arm, &s), MaxAbsoluteError) {
			t.Errorf("%s: %+v", name, choice)
		}
	}
	nan := math.NaN()
	f("two alike", &Arms{Logits: []float64{-7, -7}, Variances: []float64{0.5, 0.5}})
	f("one certain", &Arms{Logits: []float64{-7, -6.5, -6}, Variances: []float64{0.5, 0, 0.1}})
	f("certain alone", &Arms{Logits: []float64{-7, -6, -6, -8}, Variances: []float64{0, 0, 0, 0}})
	f("one not scored", &Arms{Logits: []float64{nan, -6, -6.2}, Variances: []float64{1, 0.3, 0.3}})
	f("by value", &Arms{Logits: []float64{-7, -6, 2, -1}, Variances: []float64{1, 0.5, 1, 0.2},
		LogValues: []float64{math.Log(300), math.Log(80), 0, math.Log(2)}})
	rng := rand.New(rand.NewPCG(1, 2))
	many := &Arms{}
	for range 60 {
		many.Logits = append(many.Logits, -7+rng.NormFloat64())
		many.Variances = append(many.Variances, rng.ExpFloat64()*0.3)
		many.LogValues = append(many.LogValues, rng.NormFloat64())
	}
	f("many", many)
	f("many by probability", &Arms{Logits: many.Logits, Variances: many.Variances})
}

func TestFaults(t *testing.T) {
	for _, epsilon := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := New(Options{Epsilon: epsilon}); err == nil {
			t.Errorf("epsilon %v: no error", epsilon)
		}
	}
}

// BenchmarkThompson chooses among 5,000 campaigns; logits and variances are those of rare sales.
func BenchmarkThompson(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	a := &Arms{}
	for range 5000 {
		a.Logits = append(a.Logits, -7+1.5*rng.NormFloat64())
		a.Variances = append(a.Variances, 0.02+rng.ExpFloat64()*0.3)
		a.LogValues = append(a.LogValues, 2+rng.NormFloat64())
	}
	run := func(name string, a *Arms) {
		b.Run(name, func(b *testing.B) {
			c, err := New(Options{Seed: 1})
			if err != nil {
				b.Fatal(err)
			}
			var s Scratch
			b.ReportAllocs()
			for b.Loop() {
				c.Choose(Thompson, 5000, 0, a, &s)
			}
		})
	}
	run("value", a)
	run("probability", &Arms{Logits: a.Logits, Variances: a.Variances})
}
