// Package dice draws random numbers by hashing their purpose, not from a sequence. So the draw for (seed, lot 17,
// impression 0, click) does not depend on which goroutine draws it, or when. A run is deterministic by its seed,
// although hundreds of auctions are answered at once.
package dice

import "math"

// Key names one draw.
type Key uint64

// New starts a key from a seed.
func New(seed uint64) Key { return Key(mix(seed ^ 0x9e3779b97f4a7c15)) }

// With returns the key of a part: the n-th lot, the n-th impression, a purpose, a hash of a name.
func (k Key) With(n uint64) Key { return Key(mix(uint64(k) + 0x9e3779b97f4a7c15*(n+1))) }

// Uniform returns a number in [0, 1).
func (k Key) Uniform() float64 { return float64(mix(uint64(k))>>11) / (1 << 53) }

// Intn returns a number in [0, n). n must be above 0.
func (k Key) Intn(n int) int { return int(k.Uniform() * float64(n)) }

// Chance returns true with probability p.
func (k Key) Chance(p float64) bool { return k.Uniform() < p }

// Exp returns an exponential number with mean 1.
func (k Key) Exp() float64 { return -math.Log1p(-k.Uniform()) }

// Normal returns a standard normal number (Box and Muller).
func (k Key) Normal() float64 {
	r := math.Sqrt(2 * k.With(1).Exp())
	return r * math.Cos(2*math.Pi*k.With(2).Uniform())
}

// mix is the finalizer of splitmix64: every bit of x changes half of the result's bits.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
