package batcher

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// Histogram counts observations in the buckets of Prometheus's native histograms of schema 3: eight an octave, that of
// index i above 2^((i-1)/8), at most 2^(i/8). A bound that is a power of two is one exactly.
type Histogram struct {
	// First is the index of the bucket that Counts[1] counts. Counts[0] is of all observations below that bucket, 0
	// included; there is always at least that count, but in the zero Histogram.
	First  int
	Counts []uint64
	Sum    float64
	Count  uint64 // the sum of Counts
}

// Schema is that of every Histogram, as Prometheus numbers them.
const Schema = 3

// Bound is the upper bound of the native bucket of an index: 2^(index/8), to the last bit as Prometheus has it.
func Bound(index int) float64 {
	return math.Ldexp(halfTo1[index&7], index>>3+1)
}

var halfTo1 = [8]float64{
	0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048,
	0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711,
}

// A histogram counts integers of some unit without a lock: an addition to one of 433 counters, found without a
// logarithm, and one to the sum. From its first bound up it has 54 octaves, so that nothing lies above its last.
type histogram struct {
	counts [8*54 + 1]atomic.Uint64
	sum    atomic.Uint64
}

// scale is how the integers of one unit find their buckets. Shifted so that its leading one is bit 63, an integer has
// its octave in the shift and its place in the octave in the bits below. The four of them after the leading one make a
// slot, narrower than any bucket, so that a slot holds one bound at most, and one comparison decides.
type scale struct {
	perUnit float64 // integers in 1 of what is observed
	first   int     // index of the bucket of counts[1]
	slots   [16]sixteenth
}

type sixteenth struct {
	bucket int    // counts[bucket+8*octave] counts the integers of this slot up to bound
	bound  uint64 // shifted as the integers are; those above are counted one further
}

// What the batcher observes: times in ns from 2^-20 s (about a microsecond) up, rows from 1, ratios in 2^-20ths from
// 2^-6.
var (
	timeScale  = newScale(1e9, -159)
	rowScale   = newScale(1, 0)
	ratioScale = newScale(1<<20, -47)
)

func newScale(perUnit float64, first int) *scale {
	s := &scale{perUnit: perUnit, first: first}
	index := first
	for perUnit*Bound(index) >= 1 {
		index--
	}
	for i := range s.slots {
		for perUnit*Bound(index) < 1+float64(i)/16 {
			index++
		}
		s.slots[i] = sixteenth{bucket: index - first + 1, bound: math.MaxUint64}
		if bound := perUnit * Bound(index); bound < 2 {
			s.slots[i].bound = uint64(math.Ldexp(bound, 63))
		}
	}
	return s
}

// add counts v, times over.
func (h *histogram) add(s *scale, v, times uint64) {
	shift := bits.LeadingZeros64(v)
	shifted := v << shift
	at := &s.slots[shifted>>59&15]
	_, above := bits.Sub64(at.bound, shifted, 0)
	i := at.bucket + 8*(63-shift) + int(above)
	h.counts[min(max(i, 0), len(h.counts)-1)].Add(times)
	h.sum.Add(v * times)
}

// addTime counts a duration in ns, times over; one below 0 as 0.
func (h *histogram) addTime(ns int64, times uint64) { h.add(timeScale, uint64(max(ns, 0)), times) }

// addRows counts a number of rows.
func (h *histogram) addRows(rows int) { h.add(rowScale, uint64(rows), 1) }

// addRatio counts a ratio, to a millionth; one above a million as a million, what is no number as 0.
func (h *histogram) addRatio(ratio float64) {
	if !(ratio > 0) {
		ratio = 0
	} else if ratio > 1e6 {
		ratio = 1e6
	}
	h.add(ratioScale, uint64(ratio*(1<<20)+0.5), 1)
}

func (h *histogram) snapshot(s *scale) Histogram {
	out := Histogram{First: s.first, Counts: make([]uint64, len(h.counts)), Sum: float64(h.sum.Load()) / s.perUnit}
	for i := range h.counts {
		out.Counts[i] = h.counts[i].Load()
		out.Count += out.Counts[i]
	}
	return out
}
