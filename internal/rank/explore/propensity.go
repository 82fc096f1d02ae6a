package explore

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

// Scratch is the memory of one choice. It must not be used by two at once.
type Scratch struct {
	source rand.PCG
	rivals []rival
}

// rival is an arm that could beat the chosen one.
type rival struct {
	mean, deviation float64
	shift           float64 // log of the chosen arm's value over the rival's
	reach           float64 // no draw of it has a larger key
	earlier         bool    // it wins a tie
}

// The integral over the chosen arm's draw is taken over its upper tail probability u, from 1 down to 2^−octaves, in octaves of
// as many equal strata each, at the middle of each stratum.
//
// The chance that a draw wins rises as u falls, since a higher draw wins more often. For a monotone function, the middle
// of a stratum is wrong by at most half the stratum's width times the rise over it. Octave m has strata of the width
// 2^−m−1/strata, and the propensity is at least 2^−m−1 times the chance at the octave's end. Summed over the octaves, the
// error is at most 1/strata of the propensity; in practice it is far smaller, because the function is smooth. What
// is beyond the last octave adds at most 2^−octaves.
const (
	octaves = 16
	strata  = 8
	// sigmas is beyond which deviations a rival's draw counts as impossible: 1e-9.
	sigmas = 6
)

// MaxRelativeError and MaxAbsoluteError bound the error of Propensity together.
const (
	MaxRelativeError = 1.0 / strata
	MaxAbsoluteError = 1.0 / (1 << octaves)
)

// node is a stratum: the draw in standard deviations, and the stratum's width.
type node struct{ z, width float64 }

// nodes are the strata, from the highest draw to the lowest.
var nodes = sync.OnceValue(func() []node {
	var all []node
	for m := range octaves {
		width := math.Ldexp(1, -m-1) / strata
		for i := range strata {
			u := math.Ldexp(1, -m) - (float64(i)+0.5)*width
			all = append(all, node{math.Sqrt2 * math.Erfcinv(2*u), width})
		}
	}
	slices.Reverse(all)
	return all
})

// Propensity returns the probability that Thompson chooses an arm, with an error of at most MaxRelativeError of it plus
// MaxAbsoluteError. The arm must be scored.
func Propensity(a *Arms, arm int, s *Scratch) float64 {
	mean, deviation := a.Logits[arm], math.Sqrt(a.Variances[arm])
	s.rivals = a.rivals(s.rivals[:0], arm)
	if deviation == 0 {
		return a.wins(arm, mean, s.rivals)
	}
	all := nodes()
	chance := a.wins(arm, mean+deviation*all[0].z, s.rivals)
	p := MaxAbsoluteError * chance
	for _, n := range all {
		chance = a.wins(arm, mean+deviation*n.z, s.rivals)
		p += n.width * chance
		if chance < 1e-6*p { // lower draws win no more often
			break
		}
	}
	return min(p, 1)
}

// rivals appends the arms that could beat a draw of arm that could win itself, the farthest reach first.
func (a *Arms) rivals(to []rival, arm int) []rival {
	low := a.key(arm, a.Logits[arm]-sigmas*math.Sqrt(a.Variances[arm]))
	for i, mean := range a.Logits { // a draw that loses to another's lowest never wins
		if i == arm || math.IsNaN(mean) {
			continue
		}
		if x := mean - sigmas*math.Sqrt(a.Variances[i]); a.bound(i, x) > low {
			low = max(low, a.key(i, x))
		}
	}
	for i, mean := range a.Logits {
		if i == arm || math.IsNaN(mean) {
			continue
		}
		deviation := math.Sqrt(a.Variances[i])
		reach := a.bound(i, mean+sigmas*deviation)
		if reach < low {
			continue
		}
		shift := 0.0
		if a.LogValues != nil {
			shift = a.LogValues[arm] - a.LogValues[i]
		}
		to = append(to, rival{mean, deviation, shift, reach, i < arm})
	}
	slices.SortFunc(to, func(a, b rival) int { return cmp.Compare(b.reach, a.reach) })
	return to
}

// bound is at least the key of an arm's draw, and cheaper.
func (a *Arms) bound(arm int, x float64) float64 {
	if a.LogValues == nil {
		return x
	}
	return a.LogValues[arm] + min(x, 0)
}

// wins returns the probability that an arm whose draw is x beats all rivals.
func (a *Arms) wins(arm int, x float64, rivals []rival) float64 {
	chance, log, key := 1.0, 0.0, x
	if a.LogValues != nil {
		log = logSigmoid(x)
		key = a.LogValues[arm] + log
	}
	for i := range rivals {
		r := &rivals[i]
		if r.reach < key { // so are the rest
			break
		}
		limit := x // the rival loses if its draw is below it
		if r.shift != 0 {
			if limit = logitOf(log + r.shift); math.IsInf(limit, 1) {
				continue
			}
		}
		if r.deviation == 0 {
			if r.mean > limit || r.mean == limit && r.earlier {
				return 0
			}
			continue
		}
		z := (limit - r.mean) / r.deviation
		if z > sigmas {
			continue
		}
		if chance *= 0.5 * math.Erfc(-z/math.Sqrt2); chance < 1e-9 {
			return 0
		}
	}
	return chance
}

// logitOf returns the logit of the probability with this logarithm; +Inf from 0 on.
func logitOf(log float64) float64 {
	if log >= 0 {
		return math.Inf(1)
	}
	return log - math.Log1p(-math.Exp(log))
}
