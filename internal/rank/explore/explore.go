// Package explore chooses the campaign to show. To always show the best one would leave the others without sales to learn from. So
// a policy sometimes shows another, and says with which probability it would have shown the one that it chose: its
// propensity. Trainers weigh the click with the inverse of it.
//
//   - Best shows the best campaign; propensity 1.
//   - EpsilonGreedy shows the best campaign, but with the probability epsilon one of all campaigns, each alike. The propensity is
//     exact: epsilon/n, and 1 − epsilon more for the best.
//   - Thompson draws a logit for each campaign from the normal distribution that its classifier's variance gives, and shows
//     the best by these draws. Its propensity has no closed form; Propensity integrates it numerically within a stated bound.
//   - Uniform shows one of all campaigns, each alike; propensity 1/n. It stands in for the others when nothing is scored.
//
// Draws are seeded: a chooser with a seed repeats its choices for the same clicks in the same order.
package explore

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
)

// Policy says how the campaign to show is chosen.
type Policy string

// The policies. Uniform cannot be configured.
const (
	Best          Policy = "best"
	EpsilonGreedy Policy = "epsilon-greedy"
	Thompson      Policy = "thompson"
	Uniform       Policy = "uniform"
)

// Policies are those that can be configured.
var Policies = []Policy{Best, EpsilonGreedy, Thompson}

// Arms are the campaigns of which one is chosen, by position. Where the best is wanted by value, LogValues has the logarithm
// of what a sale of each is worth; if it is nil, the best is the most probable.
type Arms struct {
	Logits    []float64 // NaN: not scored, and never the best
	Variances []float64 // of the logits; 0: the logit is certain. Thompson alone needs them
	LogValues []float64
}

// key is the logarithm of the expected value of an arm if its logit were x; or, by probability, x itself. The largest is best.
func (a *Arms) key(arm int, x float64) float64 {
	if a.LogValues == nil {
		return x
	}
	return a.LogValues[arm] + logSigmoid(x)
}

// logSigmoid is log(1/(1+exp(−x))).
func logSigmoid(x float64) float64 {
	if x < 0 {
		return x - math.Log1p(math.Exp(x))
	}
	return -math.Log1p(math.Exp(-x))
}

// Options configure a Chooser.
type Options struct {
	Epsilon float64 // of EpsilonGreedy: 0 to 1
	Seed    uint64  // 0: another at each start
}

// Chooser chooses by any of the policies. Safe for concurrent use.
type Chooser struct {
	epsilon float64
	seed    uint64
	choices atomic.Uint64 // so far: each has random numbers of its own
}

// New returns a chooser. The error says what is wrong with the options.
func New(o Options) (*Chooser, error) {
	if !(o.Epsilon >= 0 && o.Epsilon <= 1) {
		return nil, fmt.Errorf("explore: epsilon %v must be 0 to 1", o.Epsilon)
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return &Chooser{epsilon: o.Epsilon, seed: o.Seed}, nil
}

// Choice is the arm that was chosen.
type Choice struct {
	Arm        int
	Policy     Policy
	Propensity float64 // with which probability Policy chooses Arm
}

// Choose chooses one of n arms, n above 0. best is the best arm by its logit, or negative if none is scored; then the
// policy is Uniform. arms is used by Thompson alone.
func (c *Chooser) Choose(policy Policy, n, best int, arms *Arms, s *Scratch) Choice {
	if best >= 0 && policy == Best {
		return Choice{best, Best, 1}
	}
	// One generator a choice, so that concurrent choices share nothing. The stream is mixed, since PCG's first numbers of
	// neighbouring streams are alike.
	s.source.Seed(c.seed, mix(c.choices.Add(1)))
	rng := rand.New(&s.source)
	switch {
	case best < 0:
		return Choice{rng.IntN(n), Uniform, 1 / float64(n)}
	case policy == Thompson:
		arm := draw(rng, arms)
		return Choice{arm, Thompson, max(Propensity(arms, arm, s), MaxAbsoluteError)} // it was chosen, so it is not 0
	}
	if rng.Float64() < c.epsilon {
		arm := rng.IntN(n)
		return Choice{arm, EpsilonGreedy, c.greedy(n, arm == best)}
	}
	return Choice{best, EpsilonGreedy, c.greedy(n, true)}
}

// greedy is the propensity of EpsilonGreedy.
func (c *Chooser) greedy(n int, best bool) float64 {
	p := c.epsilon / float64(n)
	if best {
		p += 1 - c.epsilon
	}
	return p
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draw draws a logit for each scored arm, and returns the best by them; of equals the first. At least one must be scored.
func draw(rng *rand.Rand, a *Arms) int {
	best, bestKey := -1, math.Inf(-1)
	for i, mean := range a.Logits {
		if math.IsNaN(mean) {
			continue
		}
		x := mean
		if v := a.Variances[i]; v > 0 {
			x += math.Sqrt(v) * rng.NormFloat64()
		}
		if a.LogValues != nil { // most arms are far from the best: a bound on the key saves its logarithm
			if best >= 0 && a.bound(i, x) <= bestKey {
				continue
			}
			x = a.key(i, x)
		}
		if best < 0 || x > bestKey {
			best, bestKey = i, x
		}
	}
	return best
}
