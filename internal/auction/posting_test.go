package auction

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCursor compares cursors over random conjunctions, several blocks and random ranges with plain sets.
func TestCursor(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	for range 400 {
		n := 1 + rng.IntN(13_000)
		density := []float64{0.0005, 0.01, 0.3, 0.98, 1}
		want := make([]bool, n)
		for i := range want {
			want[i] = true
		}
		var q query
		clauses := 1 + rng.IntN(4)
		for c := range clauses {
			negative := c > 0 && rng.IntN(3) == 0
			q.begin(negative)
			in := make([]bool, n)
			for range 1 + rng.IntN(3) {
				var members []int32
				share := one(rng, density...)
				for o := range n {
					if rng.Float64() < share {
						members = append(members, int32(o))
						in[o] = true
					}
				}
				p := newPosting(n, members)
				q.or(p)
				if p.count != len(members) {
					t.Fatalf("count %d of %d", p.count, len(members))
				}
			}
			q.end()
			for o := range want {
				want[o] = want[o] && in[o] != negative
			}
		}
		q.sortClauses()
		from := rng.IntN(n + 1)
		to := from + rng.IntN(n-from+1)
		var expected, got []int
		for o := from; o < to; o++ {
			if want[o] {
				expected = append(expected, o)
			}
		}
		var c cursor
		c.start(&q, from, to)
		for o := c.next(); o >= 0; o = c.next() {
			got = append(got, o)
		}
		if !slices.Equal(got, expected) {
			t.Fatalf("n %d from %d to %d, %d clauses: %d matches, want %d", n, from, to, clauses, len(got), len(expected))
		}
		if c.next() != -1 {
			t.Fatal("a match after the last")
		}
	}
}
