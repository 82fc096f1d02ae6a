// Package ranktest makes synthetic classifiers and profiles for tests and benchmarks.
package ranktest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
)

// Options are the size of a fleet. Zero values take what is in brackets: the fleet that the targets for rankings are about.
type Options struct {
	Seed     uint64
	Features int     // [12]
	Values   int     // of all features together [182,666]; each feature has twice as many as the one before it
	Known    int     // values that a classifier knows [1,795]
	Skew     float64 // of Zipf's law, above 1 [1.05]
	Golden   int     // golden profiles of each file [0]
	// Prior has classifiers be deltas to the prior of version PriorVersion. Without it they stand alone.
	Prior bool
}

// PriorVersion is the version of a fleet's prior.
const PriorVersion = 1000

// A Fleet makes classifiers of one seed. It is immutable: goroutines may share it.
type Fleet struct {
	options  Options
	features []feature
	prior    *classifiers.File
}

// feature has its values by how frequent they are.
type feature struct {
	name   string
	values []string
}

// New makes a fleet.
func New(o Options) *Fleet {
	set := func(to *int, value int) {
		if *to == 0 {
			*to = value
		}
	}
	set(&o.Features, 12)
	set(&o.Values, 182_666)
	set(&o.Known, 1795)
	if o.Skew == 0 {
		o.Skew = 1.05
	}
	f := &Fleet{options: o}
	for i, left := 0, o.Values; i < o.Features; i++ {
		n := left - left/2
		if i == o.Features-1 {
			n = left
		}
		left -= n
		name := fmt.Sprintf("field%02d", i)
		values := make([]string, n)
		for rank, at := range f.random('v', uint64(i)).Perm(n) { // how frequent a value is has nothing to do with its text
			values[rank] = fmt.Sprintf("%s-%06d", name[5:], at)
		}
		f.features = append(f.features, feature{name, values})
	}
	if o.Prior {
		f.prior = f.makePrior()
	}
	return f
}

// random is what part of the fleet is drawn from.
func (f *Fleet) random(part byte, i uint64) *rand.Rand {
	return rand.New(rand.NewPCG(f.options.Seed<<8|uint64(part), i))
}

// Prior is the file that classifiers are deltas to, which knows all values, or nil.
func (f *Fleet) Prior() *classifiers.File { return f.prior }

func (f *Fleet) makePrior() *classifiers.File {
	r := f.random('p', 0)
	p := &classifiers.File{Kind: classifiers.Prior, Version: PriorVersion, Trainer: "ranktest", Intercept: -7}
	for _, feature := range f.features {
		made := classifiers.Feature{Name: feature.name, Of: []string{feature.name}, Values: slices.Sorted(slices.Values(feature.values)), Other: r.NormFloat64() / 4}
		for range made.Values {
			made.Weights = append(made.Weights, r.NormFloat64()/2)
		}
		p.Features = append(p.Features, made)
	}
	f.golden(p, r)
	return p
}

// Campaign is the name of campaign i.
func (f *Fleet) Campaign(i int) string { return fmt.Sprintf("campaign-%05d", i) }

// Classifier is campaign i's file of a version. Each version has other weights and other values: those of a user each, until
// enough are known, so that what is frequent is known by most.
func (f *Fleet) Classifier(i int, version uint64) *classifiers.File {
	r := f.random('c', uint64(i)<<32|version)
	known := make([]map[int]bool, len(f.features))
	draws := make([]*rand.Zipf, len(f.features))
	for j, feature := range f.features {
		known[j] = map[int]bool{}
		draws[j] = rand.NewZipf(r, f.options.Skew, 1, uint64(len(feature.values)-1))
	}
	for count := 0; count < f.options.Known; {
		for j := range f.features {
			if rank := int(draws[j].Uint64()); !known[j][rank] && count < f.options.Known {
				known[j][rank] = true
				count++
			}
		}
	}
	c := &classifiers.File{Kind: classifiers.Classifier, Campaign: f.Campaign(i), Version: version, Trainer: "ranktest", Rows: 1000, Positives: 10,
		Intercept: r.NormFloat64() - 6, Variance: 0.1 + r.Float64()}
	spread := 0.5
	if f.options.Prior {
		c.Prior, c.Intercept, spread = PriorVersion, r.NormFloat64(), 0.2
	}
	for j, feature := range f.features {
		made := classifiers.Feature{Name: feature.name, Of: []string{feature.name}, Other: r.NormFloat64() * spread / 2}
		for rank := range known[j] {
			made.Values = append(made.Values, feature.values[rank])
		}
		slices.Sort(made.Values)
		for range made.Values {
			made.Weights = append(made.Weights, r.NormFloat64()*spread)
		}
		c.Features = append(c.Features, made)
	}
	f.golden(c, r)
	return c
}

func (f *Fleet) golden(c *classifiers.File, r *rand.Rand) {
	for _, feature := range f.features {
		c.Golden.Fields = append(c.Golden.Fields, feature.name)
	}
	for range f.options.Golden {
		p := f.profile(r)
		var values []string
		for _, field := range p {
			values = append(values, field.Value)
		}
		c.Golden.Profiles = append(c.Golden.Profiles, values)
		c.Golden.Probabilities = append(c.Golden.Probabilities, classifiers.Probability(f.Logit(c, p)))
	}
}

// Logit is a file's logit of a profile, the prior included, computed plainly.
func (f *Fleet) Logit(c *classifiers.File, p score.Profile) float64 {
	logit := c.Logit(p)
	if c.Prior > 0 {
		logit += f.prior.Logit(p)
	}
	return logit
}

// Profile is user i's: frequent values are frequent. One value in 50 was never seen in training, and one in 50 is missing.
func (f *Fleet) Profile(i int) score.Profile { return f.profile(f.random('u', uint64(i))) }

func (f *Fleet) profile(r *rand.Rand) score.Profile {
	p := make(score.Profile, len(f.features))
	for j, feature := range f.features {
		rank := rand.NewZipf(r, f.options.Skew, 1, uint64(len(feature.values)-1)).Uint64()
		p[j] = score.Field{Name: feature.name, Value: feature.values[rank]}
		switch r.IntN(50) {
		case 0:
			p[j].Value = strings.Repeat("unseen", 1+r.IntN(3))
		case 1:
			p[j].Value = ""
		}
	}
	return p
}
