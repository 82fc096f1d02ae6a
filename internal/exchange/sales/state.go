package sales

import (
	"fmt"
	"math"
	"time"

	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/people"
)

// State is the truth of one step. Immutable.
type State struct {
	// Active are the campaigns that can be shown.
	Active []*Campaign

	world *World
	step  int64
	begun int                  // campaigns that ever began
	byID  map[string]*Campaign // those active, and those that ended lately
}

// Campaign is a campaign as it is in one state. Immutable.
type Campaign struct {
	ID     string
	Number int     // campaigns are numbered from 0 as they begin
	Rate   float64 // mean probability of a sale when it began

	key       dice.Key
	intercept float64
	own       []float64 // standard normal effects
	logits    []float64 // OwnStd × own + shared
	ended     int64     // the step at which it ended, 0 while it is active
}

// Probability returns the probability that a click of a person at a time becomes a sale.
func (c *Campaign) Probability(p *people.Person, at time.Time) float64 {
	return c.probability(placesOf(p, at))
}

// Find returns a campaign that is active or ended lately; nil: there is none of that name.
func (s *State) Find(id string) *Campaign { return s.byID[id] }

// Probabilities fills out, of the length of Active, with the probability that a click of a person becomes a sale.
func (s *State) Probabilities(p *people.Person, at time.Time, out []float64) {
	of := placesOf(p, at)
	for i, c := range s.Active {
		out[i] = c.probability(of)
	}
}

// places are where a person's effects are among a campaign's.
type places [people.Fields]int

func placesOf(p *people.Person, at time.Time) (of places) {
	for f := range of {
		of[f] = firstOf[f] + p.Code(f, at)
	}
	return of
}

func (c *Campaign) probability(of places) float64 {
	z := c.intercept + c.logits[effects-1]
	for _, i := range of {
		z += c.logits[i]
	}
	return sigmoid(z)
}

// begin puts a new campaign into a slot of a state that nobody has yet.
func (s *State) begin(slot int) {
	w := s.world
	k := w.key.With(3).With(uint64(s.begun))
	c := &Campaign{ID: fmt.Sprintf("campaign-%05d", s.begun), Number: s.begun, key: k, own: make([]float64, effects)}
	c.Rate = w.o.RateMin * math.Pow(w.o.RateMax/w.o.RateMin, k.With(1).Uniform())
	for i := range c.own {
		c.own[i] = k.With(2).With(uint64(i)).Normal()
	}
	c.sum(w)
	c.calibrate(w)
	s.begun++
	s.byID[c.ID] = c
	if slot == len(s.Active) {
		s.Active = append(s.Active, c)
	} else {
		s.Active[slot] = c
	}
}

func (c *Campaign) sum(w *World) {
	c.logits = make([]float64, effects)
	for i, x := range c.own {
		c.logits[i] = w.shared[i] + w.o.OwnStd*x
	}
}

// calibrate finds the intercept that makes the mean probability the rate. Each round multiplies the odds by what lacks.
func (c *Campaign) calibrate(w *World) {
	c.intercept = math.Log(c.Rate)
	for range 20 {
		mean := 0.0
		for _, at := range w.sample {
			mean += c.probability(at) / float64(len(w.sample))
		}
		c.intercept += math.Log(c.Rate / mean)
		if math.Abs(c.Rate/mean-1) < 1e-6 {
			return
		}
	}
}

// next returns the state one step later.
func (s *State) next() *State {
	w := s.world
	n := &State{world: w, step: s.step + 1, begun: s.begun, byID: map[string]*Campaign{}, Active: make([]*Campaign, len(s.Active))}
	for id, c := range s.byID {
		if c.ended > 0 && n.step-c.ended <= kept {
			n.byID[id] = c
		}
	}
	for slot, c := range s.Active {
		moved := *c
		if w.fresh > 0 {
			moved.own = make([]float64, effects)
			k := c.key.With(4).With(uint64(n.step))
			for i, x := range c.own {
				moved.own[i] = w.rho*x + w.fresh*k.With(uint64(i)).Normal()
			}
			moved.sum(w)
		}
		n.Active[slot], n.byID[c.ID] = &moved, &moved
	}
	for i := range w.o.Replaced {
		slot := w.key.With(5).With(uint64(n.step)).With(uint64(i)).Intn(len(n.Active))
		n.Active[slot].ended = n.step
		n.begin(slot)
	}
	return n
}

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// Seed is the seed of the world.
func (s *State) Seed() uint64 { return s.world.o.Seed }
