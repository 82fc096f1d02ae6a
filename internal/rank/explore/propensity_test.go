package explore

import (
	"math"
	"math/rand/v2"
	"testing"
)

// exact is the propensity by its definition: the integral over the arm's draw of the product of all others' chances to be below.
func exact(a *Arms, arm int) float64 {
	chance := func(x float64) float64 {
		key, p := a.key(arm, x), 1.0
		for i, mean := range a.Logits {
			if i == arm || math.IsNaN(mean) || p == 0 {
				continue
			}
			limit := x
			if a.LogValues != nil {
				log := key - a.LogValues[i]
				limit = math.Inf(1)
				if log < 0 {
					limit = log - math.Log1p(-math.Exp(log))
				}
			}
			deviation := math.Sqrt(a.Variances[i])
			switch {
			case deviation > 0:
				p *= 0.5 * math.Erfc((mean-limit)/deviation/math.Sqrt2)
			case mean > limit || mean == limit && i < arm:
				p = 0
			}
		}
		return p
	}
	mean, deviation := a.Logits[arm], math.Sqrt(a.Variances[arm])
	if deviation == 0 {
		return chance(mean)
	}
	const nodes = 600
	sum := 0.0
	for i := range nodes {
		z := 16*(float64(i)+0.5)/nodes - 8
		sum += 16.0 / nodes * math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) * chance(mean+deviation*z)
	}
	return sum
}

// The bound holds for arms that are often and that are hardly ever chosen, among few and many, certain and not.
func TestPropensity(t *testing.T) {
	var s Scratch
	worst := 0.0
	f := func(name string, a *Arms, arm int) {
		t.Helper()
		got, want := Propensity(a, arm, &s), exact(a, arm)
		if wrong := math.Abs(got - want); wrong > MaxRelativeError*want+MaxAbsoluteError {
			t.Errorf("%s: arm %d of %d has the propensity %v, want %v", name, arm, len(a.Logits), got, want)
		} else if want > 1e-3 {
			worst = max(worst, wrong/want)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 3, 10, 100, 400} {
		for _, mean := range []float64{-7, 0} { // of logits: near 0, a value's logarithm is not an addend of the logit
			for _, certain := range []float64{0, 0.3} {
				a := &Arms{}
				for range n {
					v := 0.02 + rng.ExpFloat64()*0.3
					if rng.Float64() < certain {
						v = 0
					}
					a.Logits = append(a.Logits, mean+1.5*rng.NormFloat64())
					a.Variances = append(a.Variances, v)
					a.LogValues = append(a.LogValues, 2+rng.NormFloat64())
				}
				if n > 2 {
					a.Logits[n/2] = math.NaN()
				}
				byProbability := &Arms{Logits: a.Logits, Variances: a.Variances}
				for range 4 {
					f("value", a, draw(rng, a))
					f("probability", byProbability, draw(rng, byProbability))
				}
				f("any", a, 0)
			}
		}
	}
	t.Logf("largest relative error from 0.001 on: %.4f", worst)
}

func TestBelow(t *testing.T) {
	for z := -sigmas + 1e-9; z < sigmas; z += 0.00173 {
		if got, want := below(z), tail(-z); math.Abs(got-want) > 1e-8 {
			t.Fatalf("below(%v) is %v, want %v", z, got, want)
		}
	}
}
