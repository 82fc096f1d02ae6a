package auction

import (
	"math/rand/v2"
	"testing"
)

// TestShardFinds compares a shard with a map while ids come and go.
func TestShardFinds(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var s shard
		s.init()
		want := map[idKey]int64{}
		most := 0
		for step := range 5000 {
			id := idKey{uint64(rng.IntN(20)), uint64(rng.IntN(20))}
			expires, known := want[id]
			i := s.find(id)
			if known != (i != none) {
				t.Fatalf("seed %d step %d: found is %v, want %v", seed, step, i != none, known)
			}
			if known && (s.slab[i].id != id || !s.slab[i].booked && s.slab[i].expires != expires) {
				t.Fatalf("seed %d step %d: found %+v for %v, which expires at %d", seed, step, s.slab[i], id, expires)
			}
			switch {
			case !known:
				want[id] = rng.Int64N(100)
				s.addOpen(entry{id: id, expires: want[id]})
			case rng.IntN(3) > 0:
				s.remove(i)
				delete(want, id)
			case !s.slab[i].booked:
				s.unlink(i)
				s.markBooked(i, 1)
			}
			most = max(most, len(want))
		}
		for id := range want {
			if s.find(id) == none {
				t.Errorf("seed %d: %v is lost", seed, id)
			}
		}
		if len(s.slab) != most {
			t.Errorf("seed %d: a slab of %d entries for %d ids at most", seed, len(s.slab), most)
		}
	}
}
