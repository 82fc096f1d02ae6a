package classifiers

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gavel/internal/rank/score"
)

// Logit is what this file gives a profile, without the prior that it may be deltas to.
func (f *File) Logit(p score.Profile) float64 {
	sum := f.Intercept
	for i := range f.Features {
		sum += f.Features[i].weight(p)
	}
	return sum
}

func (f *Feature) weight(p score.Profile) float64 {
	values := make([]string, len(f.Of))
	for i, name := range f.Of {
		if at := slices.IndexFunc(p, func(field score.Field) bool { return field.Name == name }); at >= 0 {
			values[i] = p[at].Value
		}
	}
	if at, known := slices.BinarySearch(f.Values, strings.Join(values, Separator)); known {
		return f.Weights[at]
	}
	return f.Other
}

// Probability is that of a logit.
func Probability(logit float64) float64 { return 1 / (1 + math.Exp(-logit)) }

// Profile is the golden profile i.
func (g *Golden) Profile(i int) score.Profile {
	p := make(score.Profile, len(g.Fields))
	for j, name := range g.Fields {
		p[j] = score.Field{Name: name, Value: g.Profiles[i][j]}
	}
	return p
}

// ErrGolden is that golden probabilities differ: who wrote the file computes otherwise than who reads it.
var ErrGolden = errors.New("its golden probabilities differ")

// Check compares the golden probabilities with those of a scorer, whose logits include the prior. None may differ by more than the
// tolerance. Its error wraps ErrGolden and names the profile that differs.
func (g *Golden) Check(tolerance float64, logit func(score.Profile) float64) error {
	for i, want := range g.Probabilities {
		if got := Probability(logit(g.Profile(i))); !(math.Abs(got-want) <= tolerance) {
			return fmt.Errorf("classifiers: %w: profile %d, %q, has %v, the trainer computed %v", ErrGolden, i, g.Profiles[i], got, want)
		}
	}
	return nil
}
