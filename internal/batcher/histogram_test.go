package batcher

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// indexOf is the reference: the index of the first native bucket whose bound is not below x; -1000 for 0.
func indexOf(x float64) int {
	if x == 0 {
		return -1000
	}
	index := -1000
	for Bound(index) < x {
		index++
	}
	return index
}

// Integers of each unit fall into the bucket that the reference finds.
func TestHistogramAgainstReference(t *testing.T) {
	f := func(name string, s *scale, values []uint64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var h histogram
			want := make([]uint64, len(h.counts))
			var sum, count uint64
			for _, v := range values {
				i := min(max(indexOf(float64(v)/s.perUnit)-s.first+1, 0), len(want)-1)
				h.add(s, v, 3)
				want[i] += 3
				sum, count = sum+3*v, count+3
				if got := h.counts[i].Load(); got != want[i] {
					t.Fatalf("%d did not fall into bucket %d, bound %v", v, i, Bound(s.first+i-1))
				}
			}
			got := h.snapshot(s)
			if !slices.Equal(got.Counts, want) || got.Count != count || got.Sum != float64(sum)/s.perUnit || got.First != s.first {
				t.Errorf("got %+v, want %v, sum %d, count %d", got, want, sum, count)
			}
		})
	}
	random := func(octaves int) (values []uint64) {
		r := rand.New(rand.NewPCG(1, 2))
		for range 20000 {
			values = append(values, r.Uint64()>>(64-octaves)>>r.IntN(octaves))
		}
		return values
	}
	upTo := func(n uint64) (values []uint64) {
		for v := range n + 1 {
			values = append(values, v)
		}
		return values
	}
	// beside returns the integers around each bound: the last one that is not above it, and its neighbours.
	beside := func(s *scale, octaves int) (values []uint64) {
		for index := s.first - 20; index < s.first+8*octaves; index++ {
			v := uint64(Bound(index) * s.perUnit)
			values = append(values, max(v, 1)-1, v, v+1)
		}
		return values
	}
	f("all rows to 70000", rowScale, upTo(70000))
	f("rows beside bounds", rowScale, beside(rowScale, 16))
	f("times", timeScale, random(50))
	f("times beside bounds", timeScale, beside(timeScale, 30))
	f("ratios", ratioScale, random(40))
	f("ratios beside bounds", ratioScale, beside(ratioScale, 25))
}

// A value equal to a bound falls into the bucket below it, the next value into the one above.
func TestHistogramEdges(t *testing.T) {
	f := func(name string, s *scale, v uint64, wantIndex int) {
		t.Helper()
		var h histogram
		h.add(s, v, 1)
		got := h.snapshot(s)
		i := slices.Index(got.Counts, 1)
		if index := got.First + i - 1; index != wantIndex {
			t.Errorf("%s: %d fell into the bucket of index %d, bound %v; want %d, bound %v", name, v, index, Bound(index), wantIndex, Bound(wantIndex))
		}
	}
	below := timeScale.first - 1
	f("0 s", timeScale, 0, below)
	f("a nanosecond", timeScale, 1, below)
	f("just below 2^-20 s", timeScale, 953, below)
	f("just above 2^-20 s", timeScale, 954, below+1)
	f("2^-9 s", timeScale, 1953125, -72)
	f("a nanosecond more", timeScale, 1953126, -71)
	f("a second", timeScale, 1e9, 0)
	f("a nanosecond more", timeScale, 1e9+1, 1)
	f("292 years", timeScale, math.MaxInt64, 265)
	f("0 rows", rowScale, 0, -1)
	f("1 row", rowScale, 1, 0)
	f("2 rows", rowScale, 2, 8)
	f("3 rows", rowScale, 3, 13)
	f("128 rows", rowScale, 128, 56)
	f("129 rows", rowScale, 129, 57)
	f("65536 rows", rowScale, 65536, 128)
	f("a ratio of 1", ratioScale, 1<<20, 0)
	f("a millionth more", ratioScale, 1<<20+1, 1)
	f("a ratio of 1/64", ratioScale, 1<<14, -48)

	var h histogram
	h.addTime(-5, 1)
	h.addRatio(-1)
	h.addRatio(math.NaN())
	h.addRatio(math.Inf(1))
	if got := h.snapshot(ratioScale); got.Counts[0] != 3 || got.Count != 4 || got.Sum != 1e6 {
		t.Errorf("times and ratios out of range: %d below, %d in all, sum %v; want 3, 4, 1e6", got.Counts[0], got.Count, got.Sum)
	}
}

// Bounds are 2^(index/8), exactly so at powers of two.
func TestBound(t *testing.T) {
	for octave := -60; octave <= 60; octave++ {
		for eighth := range 8 {
			got, want := Bound(8*octave+eighth), math.Exp2(float64(octave)+float64(eighth)/8)
			if math.Abs(got/want-1) > 1e-15 || eighth == 0 && got != want {
				t.Errorf("octave %d, eighth %d: %v, want %v", octave, eighth, got, want)
			}
		}
	}
}

func TestHistogramAllocatesNothing(t *testing.T) {
	var h histogram
	if n := testing.AllocsPerRun(100, func() { h.addTime(12345, 8); h.addRows(17); h.addRatio(1.25) }); n != 0 {
		t.Errorf("an observation of each kind makes %v allocations", n)
	}
}

// BenchmarkHistogram measures an observation. The values are spread over six octaves.
func BenchmarkHistogram(b *testing.B) {
	var values [1024]int64
	x := uint64(1)
	for i := range values {
		x = x*6364136223846793005 + 1442695040888963407
		values[i] = int64(20e3 + x>>44) // 20 µs to 1 ms
	}
	b.Run("what=time", func(b *testing.B) {
		b.ReportAllocs()
		var h histogram
		for i := range b.N {
			h.addTime(values[i&1023], 1)
		}
	})
	b.Run("what=rows", func(b *testing.B) {
		b.ReportAllocs()
		var h histogram
		for i := range b.N {
			h.addRows(int(values[i&1023]>>13) + 1)
		}
	})
	b.Run("what=ratio", func(b *testing.B) {
		b.ReportAllocs()
		var h histogram
		for i := range b.N {
			h.addRatio(float64(values[i&1023]) / 300e3)
		}
	})
}
