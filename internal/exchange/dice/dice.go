// Package dice draws random numbers by hashing what they are for, instead of taking the next of a sequence: the draw
// for (seed, lot 17, impression 0, click) is the same whichever goroutine asks, and in whatever order. That keeps a run
// deterministic by its seed while hundreds of auctions are answered at once.
package dice

import "math"

// Key names one draw.
type Key uint64

// New starts a key from a seed.
func New(seed uint64) Key { return Key(mix(seed ^ 0x9e3779b97f4a7c15)) }

// With is the key of a part: the n-th lot, the n-th impression, a purpose, a hash of a name.
func (k Key) With(n uint64) Key { return Key(mix(uint64(k) + 0x9e3779b97f4a7c15*(n+1))) }

// Uniform is in [0, 1).
func (k Key) Uniform() float64 { return float64(mix(uint64(k))>>11) / (1 << 53) }

// Intn is in [0, n); n > 0.
func (k Key) Intn(n int) int { return int(k.Uniform() * float64(n)) }

// Chance is true with probability p.
func (k Key) Chance(p float64) bool { return k.Uniform() < p }

// Exp is exponential with mean 1.
func (k Key) Exp() float64 { return -math.Log1p(-k.Uniform()) }

// Normal is standard normal (Box and Muller).
func (k Key) Normal() float64 {
	r := math.Sqrt(2 * k.With(1).Exp())
	return r * math.Cos(2*math.Pi*k.With(2).Uniform())
}

// mix is the finalizer of splitmix64: every bit of x changes half of the result's.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
