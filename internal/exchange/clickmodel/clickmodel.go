// Package clickmodel is the hidden truth of the simulation: the probability that a user clicks an ad, and that a click
// converts. The bidder never sees it and can only learn it from events.
//
// # The model
//
// A logistic regression over categories:
//
//	p = sigmoid(bias + scale · Σ effects)
//
// Every value of every feature has an effect: a normal number, the hash of (seed, feature, value). So no table is
// needed, and unknown campaigns have effects too. The features and the standard deviations of their effects are the
// tables below. Main effects carry most of the variance; a few pairs of features interact. Calibrate chooses scale and
// bias by a sample of traffic: the logit gets the standard deviation, and the probability the mean, that the options
// ask for.
//
// # Drift
//
// Each effect drifts. Every DriftEvery it becomes ρ·effect + √(1−ρ²)·sd·ε with a fresh normal ε, hashed from (seed,
// feature, value, step). This random walk is pulled back to zero, so that its variance stays constant. ρ makes the
// correlation with the past halve every DriftHalfLife. The state at a time depends only on the time, not on earlier
// calls.
package clickmodel

import (
	"math"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/lot"
)

// Options describe one model.
type Options struct {
	Seed          uint64
	BaseRate      float64       // mean probability over the calibration sample
	LogitStd      float64       // standard deviation of the logit over the calibration sample
	Start         time.Time     // when the effects begin to drift
	DriftEvery    time.Duration // 0: no drift
	DriftHalfLife time.Duration // 0: no drift
}

// Ad is the part of the winning bid that the model may depend on.
type Ad struct {
	Campaign string // bid.cid, else the first of bid.adomain
	Creative string // bid.crid
}

// The numbers of features are part of the seed, so new ones must be appended.
const (
	domain = iota
	category
	deviceType
	hour
	country
	size
	cluster
	campaign
	creative
	features // the number of features
)

// mainStd are the standard deviations of the main effects, before scaling.
var mainStd = [features]float64{
	domain: 0.50, category: 0.25, deviceType: 0.35, hour: 0.20, country: 0.30, size: 0.35, cluster: 0.30,
	campaign: 0.35, creative: 0.10,
}

// pairs are the interactions.
var pairs = [...]struct {
	a, b int
	std  float64
}{
	{campaign, category, 0.25},
	{campaign, deviceType, 0.25},
	{hour, country, 0.15},
}

// Model is safe for concurrent use after Calibrate.
type Model struct {
	o           Options
	rho, fresh  float64 // of one drift step
	bias, scale float64

	mu      sync.Mutex
	effects map[dice.Key]effect // guarded by mu; one entry per (feature, value) seen
}

type effect struct {
	step  int64
	value float64 // standard normal at that step
}

// New returns a model with scale 1 and the base rate's logit as bias. Calibrate refines both.
func New(o Options) *Model {
	m := &Model{o: o, rho: 1, scale: 1, bias: logit(o.BaseRate), effects: map[dice.Key]effect{}}
	if o.DriftEvery > 0 && o.DriftHalfLife > 0 {
		m.rho = math.Exp2(-float64(o.DriftEvery) / float64(o.DriftHalfLife))
		m.fresh = math.Sqrt(1 - m.rho*m.rho)
	}
	return m
}

// Sample is one impression for the calibration.
type Sample struct {
	Context lot.Context
	Size    string
	Ad      Ad
}

// Calibrate sets scale and bias by a sample of traffic at the start time. It must not run at the same time as
// Probability. An empty sample changes nothing.
func (m *Model) Calibrate(samples []Sample) {
	if len(samples) == 0 {
		return
	}
	sums := make([]float64, len(samples))
	var mean, variance float64
	for i, s := range samples {
		sums[i] = m.sum(&s.Context, s.Size, s.Ad, m.o.Start)
		mean += sums[i] / float64(len(samples))
	}
	for _, x := range sums {
		variance += (x - mean) * (x - mean) / float64(len(samples))
	}
	if variance > 0 {
		m.scale = m.o.LogitStd / math.Sqrt(variance)
	}
	low, high := -30.0, 30.0
	for range 60 { // bisection: the mean probability grows with the bias
		m.bias = (low + high) / 2
		rate := 0.0
		for _, x := range sums {
			rate += sigmoid(m.bias+m.scale*x) / float64(len(sums))
		}
		if rate < m.o.BaseRate {
			low = m.bias
		} else {
			high = m.bias
		}
	}
}

// Probability returns the probability of a click if ad is shown in an impression of that size at that time.
func (m *Model) Probability(c *lot.Context, size string, ad Ad, at time.Time) float64 {
	return sigmoid(m.bias + m.scale*m.sum(c, size, ad, at))
}

func (m *Model) sum(c *lot.Context, sizeName string, ad Ad, at time.Time) float64 {
	values := [features]uint64{
		domain:     xxhash.Sum64String(c.Domain),
		category:   xxhash.Sum64String(c.Category),
		deviceType: uint64(c.DeviceType),
		hour:       uint64(at.UTC().Add(time.Duration(c.UTCOffset) * time.Minute).Hour()),
		country:    xxhash.Sum64String(c.Country),
		size:       xxhash.Sum64String(sizeName),
		cluster:    xxhash.Sum64String(c.Cluster),
		campaign:   xxhash.Sum64String(ad.Campaign),
		creative:   xxhash.Sum64String(ad.Creative),
	}
	var step int64
	if m.fresh > 0 {
		step = max(0, int64(at.Sub(m.o.Start)/m.o.DriftEvery))
	}
	root := dice.New(m.o.Seed)
	total := 0.0
	m.mu.Lock()
	defer m.mu.Unlock()
	for f, v := range values {
		total += mainStd[f] * m.effect(root.With(uint64(f)).With(v), step)
	}
	for i, p := range pairs {
		total += p.std * m.effect(root.With(uint64(1000+i)).With(values[p.a]).With(values[p.b]), step)
	}
	return total
}

// effect returns the standard normal of a value at a step. If the step is before the cached one (a late outcome), it
// walks from the origin again. mu is held.
func (m *Model) effect(k dice.Key, step int64) float64 {
	e, ok := m.effects[k]
	if !ok || e.step > step {
		e = effect{value: k.Normal()}
	}
	for e.step < step {
		e.step++
		e.value = m.rho*e.value + m.fresh*k.With(uint64(e.step)).Normal()
	}
	if old, ok := m.effects[k]; !ok || old.step < e.step {
		m.effects[k] = e
	}
	return e.value
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func logit(p float64) float64 { return math.Log(p / (1 - p)) }
