package openloop

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestArrivals(t *testing.T) {
	const n, rate = 100_000, 500.0
	for _, kind := range []string{"poisson", "uniform"} {
		a, err := NewArrivals(kind, rate, 3)
		if err != nil {
			t.Fatal(err)
		}
		var last time.Duration
		var sum, sum2 float64
		for range n {
			at := a.Next()
			gap := (at - last).Seconds() * rate
			sum, sum2, last = sum+gap, sum2+gap*gap, at
		}
		mean := sum / n
		std := math.Sqrt(sum2/n - mean*mean)
		wantStd := map[string]float64{"poisson": 1, "uniform": 0}[kind]
		if math.Abs(mean-1) > 0.01 || math.Abs(std-wantStd) > 0.02 {
			t.Errorf("%s: gap mean %.4f, std %.4f; want 1 and %v", kind, mean, std, wantStd)
		}
	}
	a, _ := NewArrivals("poisson", rate, 3)
	b, _ := NewArrivals("poisson", rate, 4)
	c, _ := NewArrivals("poisson", rate, 3)
	x, y, z := a.Next(), b.Next(), c.Next()
	if x == y || x != z {
		t.Errorf("seeds 3, 4, 3 gave %v, %v, %v", x, y, z)
	}
}

func TestNewArrivalsRefuses(t *testing.T) {
	for _, rate := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := NewArrivals("poisson", rate, 1); err == nil {
			t.Errorf("rate %v was taken", rate)
		}
	}
	if _, err := NewArrivals("burst", 1, 1); err == nil {
		t.Error("arrivals burst were taken")
	}
}

func every(gap time.Duration, n int) func() (time.Duration, bool) {
	i := -1
	return func() (time.Duration, bool) { i++; return time.Duration(i) * gap, i < n }
}

func TestRunFiresOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		i := 0
		Run(t.Context(), start, every(3*time.Millisecond, 5), func(due time.Time) {
			want := start.Add(time.Duration(i) * 3 * time.Millisecond)
			if !due.Equal(want) || !time.Now().Equal(want) {
				t.Errorf("arrival %d: due %v, fired %v; want both %v", i, due.Sub(start), time.Since(start), want.Sub(start))
			}
			i++
		})
		if i != 5 {
			t.Errorf("%d fired, want 5", i)
		}
	})
}

func TestRunOmitsNothingWhenHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var dues, fired []time.Duration
		Run(t.Context(), start, every(10*time.Millisecond, 6), func(due time.Time) {
			dues = append(dues, due.Sub(start))
			fired = append(fired, time.Since(start))
			if len(dues) == 2 {
				time.Sleep(25 * time.Millisecond) // the sender stalls from 10 to 35 ms
			}
		})
		wantFired := []time.Duration{0, 10, 35, 35, 40, 50}
		for i := range wantFired {
			if dues[i] != time.Duration(i)*10*time.Millisecond || fired[i] != wantFired[i]*time.Millisecond {
				t.Errorf("arrival %d: due %v, fired %v; want %v, %v", i, dues[i], fired[i], i*10, wantFired[i])
			}
		}
	})
}

func TestRunEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Millisecond)
		defer cancel()
		start, n := time.Now(), 0
		Run(ctx, start, every(10*time.Millisecond, 1000), func(time.Time) { n++ })
		if n != 3 || time.Since(start) != 25*time.Millisecond {
			t.Errorf("%d fired in %v, want 3 in 25 ms", n, time.Since(start))
		}
	})
}
