package batcher

import (
	"math/bits"
	"time"
)

// curve learns the time of a run, by its number of rows. Sizes fall into buckets: 1, 2, 3–4, 5–8, …. Each bucket keeps
// exponentially weighted means of rows, of time, and of the absolute deviation of time. Their weight is 1/16; the first 16
// observations count alike.
//
// Between the means of two neighbouring buckets, time is linear in rows. Above the largest bucket it is proportional to
// rows; below the smallest it is constant. The high estimate is mean + 4 deviations, as in TCP's retransmission timeout.
// It lies above the 99th percentile except for heavy tails.
//
// After 16 observations, a time is clipped to mean + 8 deviations, or to twice the mean if that is more. So one run whose
// thread lost its processor does not make batches look slow. A lasting change still doubles the mean within 16 runs.
//
// The queue's lock guards it.
type curve struct {
	buckets [17]costs // index is bits.Len(rows-1): up to 65536 rows
}

// costs is one bucket.
type costs struct {
	rows, mean, deviation float64 // moving means: of rows, of time, of its absolute deviation, ns
	count                 uint64
	allRows, allTime      uint64 // sums of all observations, ns
}

// observe adds a run of rows that took ns.
func (c *curve) observe(rows int, ns int64) {
	k := &c.buckets[bits.Len(uint(rows-1))]
	k.count++
	k.allRows += uint64(rows)
	k.allTime += uint64(max(ns, 0))
	w := 1 / float64(min(k.count, 16))
	x := float64(ns)
	if k.count > 16 {
		x = min(x, k.mean+max(8*k.deviation, k.mean))
	}
	d := x - k.mean
	if k.count == 1 {
		k.deviation = x / 4
	} else {
		k.deviation += w * (max(d, -d) - k.deviation)
	}
	k.mean += w * d
	k.rows += w * (float64(rows) - k.rows)
}

// known says whether anything was observed.
func (c *curve) known() bool {
	for i := range c.buckets {
		if c.buckets[i].count > 0 {
			return true
		}
	}
	return false
}

// predict returns the expected time of a run of rows and the high estimate, in ns; zeros if nothing was observed.
func (c *curve) predict(rows int) (mean, high float64) {
	var lo, hi *costs // the neighbours by mean rows: lo.rows ≤ rows < hi.rows
	r := float64(rows)
	for i := range c.buckets {
		k := &c.buckets[i]
		if k.count == 0 {
			continue
		}
		if k.rows <= r {
			lo = k
		} else {
			hi = k
			break
		}
	}
	var deviation float64
	switch {
	case lo == nil && hi == nil:
		return 0, 0
	case lo == nil:
		mean, deviation = hi.mean, hi.deviation
	case hi == nil:
		f := r / lo.rows
		mean, deviation = lo.mean*f, lo.deviation*f
	default:
		f := (r - lo.rows) / (hi.rows - lo.rows)
		mean = lo.mean + f*(hi.mean-lo.mean)
		deviation = lo.deviation + f*(hi.deviation-lo.deviation)
	}
	return mean, mean + 4*deviation
}

// fixed is the expected time of a run besides its rows, in ns: where the line through the smallest and the largest rows that
// were observed meets zero rows. ok is false if nothing was observed.
func (c *curve) fixed() (ns float64, ok bool) {
	var lo, hi *costs
	for i := range c.buckets {
		if k := &c.buckets[i]; k.count > 0 {
			if lo == nil {
				lo = k
			}
			hi = k
		}
	}
	switch {
	case lo == nil:
		return 0, false
	case lo.rows == hi.rows: // not known apart from its rows
		return lo.mean, true
	default:
		return max(lo.mean-lo.rows*(hi.mean-lo.mean)/(hi.rows-lo.rows), 0), true
	}
}

// points returns the curve at 1, 2, 4, … and maxRows rows, nil if nothing was observed.
func (c *curve) points(maxRows int) (ps []CurvePoint) {
	if !c.known() {
		return nil
	}
	for rows := 1; ; rows = min(2*rows, maxRows) {
		mean, high := c.predict(rows)
		ps = append(ps, CurvePoint{Rows: rows, Mean: time.Duration(mean), High: time.Duration(high)})
		if rows == maxRows {
			return ps
		}
	}
}

// sizes returns the sums of each bucket that has observations.
func (c *curve) sizes() (ss []SizeStats) {
	for i := range c.buckets {
		if k := &c.buckets[i]; k.count > 0 {
			ss = append(ss, SizeStats{MaxRows: 1 << i, Runs: k.count, Rows: k.allRows, Seconds: float64(k.allTime) / 1e9})
		}
	}
	return ss
}
