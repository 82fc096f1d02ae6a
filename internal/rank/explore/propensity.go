package explore

import (
	"math"
	"math/rand/v2"
)

// Scratch is the memory of one choice. It must not be used by two at once.
type Scratch struct {
	source    rand.PCG
	strongest []strong
	rivals    []rival
	spans     []span
}

// strong is an arm by the key of its mean.
type strong struct {
	arm int
	key float64
}

// rival is an arm with an uncertain logit that could beat the chosen one.
type rival struct {
	mean, perDeviation float64 // 1/deviation
	worth, logWorth    float64 // the chosen arm's value over the rival's, and its logarithm
	reach              float64 // no draw of it that counts has a larger key
}

// span is a part of the chosen arm's distribution: the mass between two draws, given in standard deviations, and the chances
// to win with each of them.
type span struct {
	lowZ, highZ     float64
	lowTail         float64 // probability of a draw above lowZ
	highTail        float64
	low, high       float64 // chances
	estimate, error float64 // of the integral over the span; its largest error
}

// The propensity is the integral, over the chosen arm's draw, of the chance that the draw beats all rivals. Three facts make
// it cheap among thousands of arms:
//
//   - Draws that would win with a chance below lowest add less than lowest. So the integral begins where already the
//     strongest rivals leave no more than that.
//   - A rival whose draw is above that point with a probability of at most dropped/n matters little: all such rivals together
//     take at most the share dropped of the chance, so they are left out. Few of thousands remain.
//   - The chance rises with the draw. Over a span of the mass m between draws with the chances a and b, the integral is between
//     m·a and m·b, so the middle is wrong by at most m·(b−a)/2. The span with the largest error is halved until the sum
//     of errors is at most tolerance of the estimate. In practice the error is far smaller, because the chance is smooth.
//
// Arms whose logit is certain (variance 0) are no rivals: the best of them is a floor, below which no draw wins.
const (
	lowest      = 1e-6
	dropped     = 0.01
	tolerance   = 0.05
	subset      = 32 // strongest rivals that say where the integral begins
	mostSpans   = 64
	bisections  = 16
	smallSeries = 1e-3 // below it, the series of log1p is exact to 1e-9
)

// MaxRelativeError and MaxAbsoluteError bound the error of Propensity together.
const (
	MaxRelativeError = 1.0 / 16
	MaxAbsoluteError = 1.0 / (1 << 16)
)

// Propensity returns the probability that Thompson chooses an arm, with an error of at most MaxRelativeError of it plus
// MaxAbsoluteError. The arm must be scored.
func Propensity(a *Arms, arm int, s *Scratch) float64 {
	mean, deviation := a.Logits[arm], math.Sqrt(a.Variances[arm])
	floor, above := a.floor(arm)
	from := max(floor, a.begin(arm, s))
	a.gather(arm, from, s)
	if deviation == 0 {
		if mean > floor || mean == floor && above {
			return a.wins(arm, mean, s.rivals)
		}
		return 0
	}
	low, high := max(-sigmas, (from-mean)/deviation), float64(sigmas)
	if low >= high {
		return 0
	}
	at := func(z float64) float64 { return a.wins(arm, mean+deviation*z, s.rivals) }
	s.spans = append(s.spans[:0], span{lowZ: low, highZ: high, lowTail: tail(low), highTail: tail(high), low: at(low), high: at(high)})
	s.spans[0].measure()
	for {
		p, wrong, widest := 0.0, 0.0, 0
		for i := range s.spans {
			p += s.spans[i].estimate
			wrong += s.spans[i].error
			if s.spans[i].error > s.spans[widest].error {
				widest = i
			}
		}
		if wrong <= tolerance*p || wrong <= lowest || len(s.spans) == mostSpans {
			return min(p, 1)
		}
		whole := &s.spans[widest]
		z := (whole.lowZ + whole.highZ) / 2
		upper := *whole
		upper.lowZ, upper.lowTail, upper.low = z, tail(z), at(z)
		whole.highZ, whole.highTail, whole.high = z, upper.lowTail, upper.low
		whole.measure()
		upper.measure()
		s.spans = append(s.spans, upper)
	}
}

// measure sets the estimate and its error.
func (s *span) measure() {
	mass := s.lowTail - s.highTail
	s.estimate, s.error = mass*(s.low+s.high)/2, mass*(s.high-s.low)/2
}

// floor returns the logit at which arm is as good as the best other arm whose logit is certain, and whether arm wins then. It
// is −Inf if there is none, and +Inf if no draw is as good.
func (a *Arms) floor(arm int) (logit float64, wins bool) {
	best, bestKey := -1, math.Inf(-1)
	for i, mean := range a.Logits {
		if i == arm || math.IsNaN(mean) || a.Variances[i] > 0 || a.bound(i, mean) <= bestKey {
			continue
		}
		if key := a.key(i, mean); key > bestKey {
			best, bestKey = i, key
		}
	}
	if best < 0 || a.LogValues == nil {
		return bestKey, arm < best
	}
	log := bestKey - a.LogValues[arm]
	return logitOf(log, math.Exp(log)), arm < best
}

// begin returns a draw of arm's logit that wins with a chance of at most lowest. It is −Inf if there is no such draw.
func (a *Arms) begin(arm int, s *Scratch) float64 {
	s.strongest = s.strongest[:0]
	for i, mean := range a.Logits {
		if i == arm || math.IsNaN(mean) || a.Variances[i] == 0 {
			continue
		}
		key := a.bound(i, mean)
		if n := len(s.strongest); n == subset && key <= s.strongest[n-1].key {
			continue
		} else if n < subset {
			s.strongest = append(s.strongest, strong{})
		}
		j := len(s.strongest) - 1
		for ; j > 0 && s.strongest[j-1].key < key; j-- {
			s.strongest[j] = s.strongest[j-1]
		}
		s.strongest[j] = strong{i, key}
	}
	s.rivals = s.rivals[:0]
	for _, r := range s.strongest {
		s.rivals = append(s.rivals, a.rival(arm, r.arm, math.Inf(1)))
	}
	deviation := math.Sqrt(a.Variances[arm])
	low, high := a.Logits[arm]-sigmas*deviation, a.Logits[arm]+sigmas*deviation
	if a.wins(arm, low, s.rivals) > lowest {
		return math.Inf(-1)
	}
	for range bisections {
		if middle := (low + high) / 2; a.wins(arm, middle, s.rivals) > lowest {
			high = middle
		} else {
			low = middle
		}
	}
	return low
}

// gather sets the scratch's rivals to those that count against draws of arm from a logit on.
func (a *Arms) gather(arm int, from float64, s *Scratch) {
	key := math.Inf(-1)
	if !math.IsInf(from, -1) {
		key = a.key(arm, from)
	}
	reach := min(sigmas, math.Sqrt2*math.Erfcinv(2*dropped/float64(len(a.Logits)+1)))
	s.rivals = s.rivals[:0]
	for i, mean := range a.Logits {
		if i == arm || math.IsNaN(mean) || a.Variances[i] == 0 {
			continue
		}
		if most := a.bound(i, mean+reach*math.Sqrt(a.Variances[i])); most >= key {
			s.rivals = append(s.rivals, a.rival(arm, i, most))
		}
	}
}

// rival returns arm i as a rival of arm.
func (a *Arms) rival(arm, i int, reach float64) rival {
	logWorth := 0.0
	if a.LogValues != nil {
		logWorth = a.LogValues[arm] - a.LogValues[i]
	}
	return rival{a.Logits[i], 1 / math.Sqrt(a.Variances[i]), math.Exp(logWorth), logWorth, reach}
}

// bound is at least the key of an arm's draw, and cheaper.
func (a *Arms) bound(arm int, x float64) float64 {
	if a.LogValues == nil {
		return x
	}
	return a.LogValues[arm] + min(x, 0)
}

// wins returns the probability that arm beats all rivals with a draw of x.
func (a *Arms) wins(arm int, x float64, rivals []rival) float64 {
	chance, log, p, key := 1.0, 0.0, 0.0, x
	if a.LogValues != nil {
		log = logSigmoid(x)
		p = math.Exp(log)
		key = a.LogValues[arm] + log
	}
	for i := range rivals {
		r := &rivals[i]
		if r.reach < key {
			continue
		}
		limit := x // the rival loses if its draw is below it
		if r.logWorth != 0 {
			limit = logitOf(log+r.logWorth, p*r.worth)
		}
		z := (limit - r.mean) * r.perDeviation
		if z >= sigmas {
			continue
		}
		if z <= -sigmas {
			return 0
		}
		if chance *= below(z); chance < 1e-12 {
			return 0
		}
	}
	return chance
}

// logitOf returns the logit of the probability p with the logarithm log; +Inf from p = 1 on.
func logitOf(log, p float64) float64 {
	switch {
	case log >= 0 || p >= 1:
		return math.Inf(1)
	case p < smallSeries:
		return log + p*(1+p/2)
	}
	return log - math.Log1p(-p)
}
