package dice

import (
	"math"
	"testing"
)

func TestMoments(t *testing.T) {
	f := func(name string, draw func(Key) float64, wantMean, wantVar float64) {
		t.Helper()
		const n = 200_000
		var sum, sum2 float64
		for i := range uint64(n) {
			x := draw(New(7).With(i))
			sum += x
			sum2 += x * x
		}
		mean := sum / n
		variance := sum2/n - mean*mean
		if math.Abs(mean-wantMean) > 0.01 || math.Abs(variance-wantVar) > 0.03 {
			t.Errorf("%s: mean %.4f, variance %.4f; want %.4f and %.4f", name, mean, variance, wantMean, wantVar)
		}
	}
	f("uniform", Key.Uniform, 0.5, 1.0/12)
	f("exponential", Key.Exp, 1, 1)
	f("normal", Key.Normal, 0, 1)
}

func TestKeysAreIndependentOfOrder(t *testing.T) {
	a, b := New(1).With(2).With(3), New(1).With(2).With(3)
	if a.Uniform() != b.Uniform() {
		t.Error("the same key drew two numbers")
	}
	seen := map[Key]bool{}
	for i := range uint64(1000) {
		for j := range uint64(100) {
			seen[New(1).With(i).With(j)] = true
		}
	}
	if len(seen) != 100_000 {
		t.Errorf("%d distinct keys of 100000", len(seen))
	}
}
