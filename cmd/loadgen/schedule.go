package main

import (
	"math/rand/v2"
	"time"
)

// schedule gives the times at which open-loop requests are due, ns from the start.
type schedule struct {
	gap    float64 // mean, ns
	at     float64 // of the next request
	random *rand.Rand
}

// newSchedule returns a Poisson process with rate a second, or evenly spaced requests.
func newSchedule(rate float64, arrivals string, seed uint64) *schedule {
	s := &schedule{gap: float64(time.Second) / rate}
	if arrivals == "poisson" {
		s.random = rand.New(rand.NewPCG(seed, 0x6761_7665_6c))
	}
	return s
}

// next returns when the next request is due. take advances to the one after.
func (s *schedule) next() int64 { return int64(s.at) }

func (s *schedule) take() {
	if s.random == nil {
		s.at += s.gap
		return
	}
	s.at += s.gap * s.random.ExpFloat64()
}
