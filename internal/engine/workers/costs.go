package workers

import (
	"math"
	"sync/atomic"
)

// costs are what is expected of tasks and loads that were not measured yet: exponential means of those that were.
type costs struct {
	taskUS, loadUS atomic.Uint32 // float32
}

// What a linear model and its load take, roughly; a few batches correct it.
const (
	firstTaskUS = 100
	firstLoadUS = 300
)

func newCosts() *costs {
	c := new(costs)
	c.taskUS.Store(math.Float32bits(firstTaskUS))
	c.loadUS.Store(math.Float32bits(firstLoadUS))
	return c
}

func (c *costs) task() float32 { return math.Float32frombits(c.taskUS.Load()) }
func (c *costs) load() float32 { return math.Float32frombits(c.loadUS.Load()) }

// loadOn returns the µs that worker w takes to load a classifier before its task: 0 if it has it.
func (c *costs) loadOn(w int) func(*Classifier) float64 {
	us := float64(c.load())
	return func(classifier *Classifier) float64 {
		if classifier.copies[w].Load() == loaded {
			return 0
		}
		return us
	}
}

// learnTask and learnLoad take the mean of a batch. Two handlers at once may lose one of their means, which does no harm.
func (c *costs) learnTask(us float32) { learn(&c.taskUS, us) }
func (c *costs) learnLoad(us float32) { learn(&c.loadUS, us) }

func learn(mean *atomic.Uint32, us float32) {
	if us > 0 && us < 1e9 {
		old := math.Float32frombits(mean.Load())
		mean.Store(math.Float32bits(old + (us-old)/8))
	}
}
