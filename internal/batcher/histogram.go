package batcher

import (
	"math"
	"slices"
	"sync/atomic"
)

// Histogram counts observations in the buckets of Prometheus's native histograms of schema 3: eight an octave. The bucket of
// index i holds values above 2^((i-1)/8) and up to 2^(i/8).
type Histogram struct {
	// First is the index of the bucket that Counts[1] counts. Counts[0] counts all observations below that bucket, 0
	// included. Counts is empty only in the zero Histogram.
	First  int
	Counts []uint64
	Sum    float64
	Count  uint64 // the sum of Counts
}

// Schema is the Prometheus schema of every Histogram.
const Schema = 3

// Bound is the upper bound of the native bucket of an index: 2^(index/8), equal to Prometheus's to the last bit. A bound
// that is a power of two is exact.
func Bound(index int) float64 {
	return math.Ldexp(halfTo1[index&7], index>>3+1)
}

var halfTo1 = [8]float64{
	0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048,
	0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711,
}

// histogram counts integers of some unit, without a lock. It has 54 octaves from its first bound up, so that no observation
// lies above the last bucket.
type histogram struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Uint64
}

const buckets = 8*54 + 1

// scale maps the integers of one unit to buckets.
type scale struct {
	perUnit float64         // integers in 1 of what is observed
	first   int             // index of the bucket of counts[1]
	bounds  [buckets]uint64 // the greatest integer of each bucket
}

// The scales of what the batcher observes: times in ns from 2^-20 s (about a microsecond) up, rows from 1, ratios in
// units of 2^-20 from 2^-6 up.
var (
	timeScale  = newScale(1e9, -159)
	rowScale   = newScale(1, 0)
	ratioScale = newScale(1<<20, -47)
)

func newScale(perUnit float64, first int) *scale {
	s := &scale{perUnit: perUnit, first: first}
	for i := range s.bounds {
		s.bounds[i] = math.MaxUint64
		if bound := perUnit * Bound(first-1+i); bound < 1<<64 {
			s.bounds[i] = uint64(bound)
		}
	}
	return s
}

// add counts v, times over.
func (h *histogram) add(s *scale, v, times uint64) {
	i, _ := slices.BinarySearch(s.bounds[:], v)
	h.counts[min(i, buckets-1)].Add(times)
	h.sum.Add(v * times)
}

// addTime counts a duration in ns, times over. A negative one counts as 0.
func (h *histogram) addTime(ns int64, times uint64) { h.add(timeScale, uint64(max(ns, 0)), times) }

// addRows counts a number of rows.
func (h *histogram) addRows(rows int) { h.add(rowScale, uint64(rows), 1) }

// addRatio counts a ratio, to a millionth. One above a million counts as a million, NaN or a negative one as 0.
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
