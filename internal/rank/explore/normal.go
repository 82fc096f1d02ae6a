package explore

import "math"

// A standard normal draw is below z with the probability below(z), for z between −sigmas and sigmas: cubic interpolation
// between knots with the exact values and slopes, within 1e-8.
const (
	sigmas = 6  // a draw farther from its mean, 1e-9, counts as impossible
	knots  = 32 // in a standard deviation
)

// knot is a point of the distribution function: its value, and its slope times the distance to the next knot.
type knot struct{ value, slope float64 }

var normal = func() (all [2*sigmas*knots + 2]knot) {
	for i := range all {
		z := float64(i)/knots - sigmas
		all[i] = knot{tail(-z), math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) / knots}
	}
	return all
}()

func below(z float64) float64 {
	at := (z + sigmas) * knots
	i := int(at)
	t := at - float64(i)
	a, b := normal[i], normal[i+1]
	rise := b.value - a.value
	return a.value + t*(a.slope+t*(3*rise-2*a.slope-b.slope+t*(a.slope+b.slope-2*rise)))
}

// tail is the probability that a standard normal draw is above z.
func tail(z float64) float64 { return 0.5 * math.Erfc(z/math.Sqrt2) }
