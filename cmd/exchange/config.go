package main

import (
	"fmt"
	"time"

	"gavel/internal/exchange/clickmodel"
	"gavel/internal/exchange/engine"
	"gavel/internal/exchange/replay"
	"gavel/internal/exchange/shoppers"
	"gavel/internal/exchange/sim"
	"gavel/internal/strictyaml"
)

// config is the YAML file. Flags override what they name.
type config struct {
	engine.Options `yaml:",inline"`
	StatusListen   string           `yaml:"status_listen"` // host:port of GET /status; empty: none
	Start          time.Time        `yaml:"start"`         // RFC 3339; what the traffic takes as its start; empty: now
	Traffic        sim.Options      `yaml:"traffic"`
	Replay         replay.Options   `yaml:"replay"`
	Clicks         teacher          `yaml:"clicks"`
	Conversions    teacher          `yaml:"conversions"`
	Ranking        shoppers.Options `yaml:"ranking"`
}

// teacher describes a hidden model.
type teacher struct {
	BaseRate      float64       `yaml:"base_rate"` // mean probability over the calibration sample
	LogitStd      float64       `yaml:"logit_std"`
	DriftEvery    time.Duration `yaml:"drift_every"`     // 0: no drift
	DriftHalfLife time.Duration `yaml:"drift_half_life"` // correlation with the past halves in so long
}

func defaults() config {
	return config{
		Options:      engine.Defaults(),
		StatusListen: "127.0.0.1:8093",
		Traffic:      sim.Defaults(),
		Replay:       replay.Defaults(),
		Clicks:       teacher{BaseRate: 0.05, LogitStd: 1, DriftEvery: 10 * time.Second, DriftHalfLife: time.Hour},
		Ranking:      shoppers.Defaults(),
		Conversions:  teacher{BaseRate: 0.15, LogitStd: 0.6, DriftEvery: 10 * time.Second, DriftHalfLife: time.Hour},
	}
}

var _ strictyaml.Validator = (*config)(nil)

// Validate returns every fault.
func (c *config) Validate() []error {
	faults := append(c.Options.Validate(), c.Traffic.Validate()...)
	faults = append(faults, c.Replay.Validate()...)
	faults = append(faults, c.Ranking.Validate()...)
	faults = append(faults, c.Clicks.validate("clicks")...)
	return append(faults, c.Conversions.validate("conversions")...)
}

func (t *teacher) validate(name string) []error {
	var faults []error
	if !(t.BaseRate > 0 && t.BaseRate < 1) {
		faults = append(faults, fmt.Errorf("%s.base_rate: %v is not in (0, 1)", name, t.BaseRate))
	}
	if !(t.LogitStd >= 0 && t.LogitStd <= 10) {
		faults = append(faults, fmt.Errorf("%s.logit_std: %v is not in 0 … 10", name, t.LogitStd))
	}
	if t.DriftEvery < 0 || t.DriftHalfLife < 0 {
		faults = append(faults, fmt.Errorf("%s: drift_every %v and drift_half_life %v may not be negative", name, t.DriftEvery, t.DriftHalfLife))
	}
	return faults
}

func (t *teacher) options(seed uint64, start time.Time) clickmodel.Options {
	return clickmodel.Options{Seed: seed, BaseRate: t.BaseRate, LogitStd: t.LogitStd, Start: start,
		DriftEvery: t.DriftEvery, DriftHalfLife: t.DriftHalfLife}
}
