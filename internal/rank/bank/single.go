package bank

import (
	"cmp"
	"slices"
	"strings"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
)

// exactness is what float32 may cost a probability, over all features of a classifier. A slope of 1/4 is the steepest that a
// logistic curve has.
const exactness = 2.5e-7

// single makes a segment of one file. Unless it is exact, rounding to float32 may cost what exactness says.
func single(account *mapped, seed uint64, f *classifiers.File, exact bool) (*segment, error) {
	order := make([]int, len(f.Features))
	features := make([]feature, len(f.Features))
	for i := range f.Features {
		order[i], features[i] = i, newFeature(f.Features[i].Of)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(features[a].key, features[b].key) })
	limit := exactness * 4 / float64(len(f.Features))
	if exact || f.Kind == classifiers.Prior {
		limit = 0 // a prior has one row only, and its logit goes into every other
	}
	// split returns what a weight adds to its feature's other weight, in two floats.
	split := func(weight, other float64) (delta, rest float32) {
		delta = float32(weight - other)
		if rest = float32(weight - other - float64(delta)); max(rest, -rest) <= float32(limit) {
			rest = 0
		}
		return delta, rest
	}

	s := sizes{rows: 1, features: len(order)}
	for _, i := range order {
		for j, value := range f.Features[i].Values {
			delta, rest := split(f.Features[i].Weights[j], f.Features[i].Other)
			if delta == 0 {
				continue
			}
			s.values++
			s.text += len(value)
			s.entries++
			if rest != 0 {
				s.entries++
			}
		}
	}
	g, err := newSegment(account, seed, s)
	if err != nil {
		return nil, err
	}
	g.base[0] = f.Intercept
	value, text, entries := 0, 0, 0
	for at, i := range order {
		g.features = append(g.features, features[i])
		g.first[at] = uint32(value)
		g.base[0] += f.Features[i].Other
		for j, name := range f.Features[i].Values {
			delta, rest := split(f.Features[i].Weights[j], f.Features[i].Other)
			if delta == 0 {
				continue
			}
			g.setValue(value, text, entries, -1)
			value++
			text += copy(g.text[text:], name)
			g.entries[entries] = newEntry(0, delta)
			entries++
			if rest != 0 {
				g.entries[entries] = newEntry(fine, rest)
				entries++
			}
		}
	}
	g.first[len(order)] = uint32(value)
	g.setValue(value, text, entries, -1)
	g.known = s.values
	g.campaigns = []score.Campaign{{ID: strings.Clone(f.Campaign), Version: f.Version, Prior: f.Prior, Variance: f.Variance}}
	g.finish()
	return g, nil
}
