package workers

import (
	"slices"
	"time"
)

// item is one task of one bag.
type item struct {
	bag   *Bag
	task  int
	again bool // it was tried before: it goes alone, and not once more
}

func (it item) classifier() *Classifier { return it.bag.classifiers[it.task] }

// maxBatch bounds the tasks of a batch, whatever they cost.
const maxBatch = 4096

// queue hands waiting tasks to workers. Two exist: shared (one lock, tasks may be stolen) and dealt (a lock a worker, none
// is).
type queue interface {
	// push adds the tasks of a bag: tasks[w] are those whose home is worker w. The queue keeps the slices.
	push(b *Bag, tasks [][]int32)
	// retry adds a task that was tried before, for worker w.
	retry(w int, it item)
	// take appends the next batch of worker w to items: about as many tasks as take it so long, at least one if any
	// wait. Where none does but some may be stolen later, soon is true.
	take(w int, aim time.Duration, items []item) (batch []item, soon bool)
	// remove takes the waiting tasks of a bag out.
	remove(b *Bag)
	// setDown says whether worker w is down; then others take its tasks.
	setDown(w int, down bool)
	// len is the number of waiting tasks.
	len() int
}

// shelf holds the waiting tasks whose home is one worker.
type shelf struct {
	bags    []waiting // in turn: the first is the next to take from
	retries []item
	us      float64 // expected cost of all in bags
	tasks   int     // how many wait, retries included
}

type waiting struct {
	bag   *Bag
	tasks []int32
}

func (s *shelf) push(b *Bag, tasks []int32, typical float32) {
	if len(tasks) == 0 {
		return
	}
	s.bags = append(s.bags, waiting{b, tasks})
	s.tasks += len(tasks)
	for _, t := range tasks {
		s.us += float64(b.classifiers[t].microseconds(typical))
	}
}

func (s *shelf) retry(it item) {
	s.retries = append(s.retries, it)
	s.tasks++
}

// fill appends tasks that take about aim µs. In each round every bag gives an equal share of what is left of the aim, at least
// a task, so that a small bag is in every batch until it is empty. The bag that gave first gives last next time. extra is what a
// task costs besides, for loading its classifier.
func (s *shelf) fill(items []item, aim float64, typical float32, extra func(*Classifier) float64) []item {
	for len(s.retries) > 0 {
		it := s.retries[0]
		s.retries = slices.Delete(s.retries, 0, 1)
		s.tasks--
		if !it.bag.sealed.Load() {
			return append(items, it)
		}
	}
	begin := len(items)
	for aim > 0 && len(s.bags) > 0 && len(items)-begin < maxBatch {
		share := aim / float64(len(s.bags))
		for i := 0; i < len(s.bags) && aim > 0 && len(items)-begin < maxBatch; i++ {
			w := &s.bags[i]
			given := float64(0)
			for len(w.tasks) > 0 && (given == 0 || given < share) && len(items)-begin < maxBatch {
				t := int(w.tasks[0])
				w.tasks = w.tasks[1:]
				c := w.bag.classifiers[t]
				us := float64(c.microseconds(typical))
				s.took(us)
				given += us + extra(c)
				items = append(items, item{bag: w.bag, task: t})
			}
			aim -= given
		}
		s.bags = slices.DeleteFunc(s.bags, func(w waiting) bool { return len(w.tasks) == 0 })
	}
	if len(s.bags) > 1 {
		first := s.bags[0]
		copy(s.bags, s.bags[1:])
		s.bags[len(s.bags)-1] = first
	}
	return items
}

// took is called for each task that leaves bags.
func (s *shelf) took(us float64) {
	s.tasks--
	if s.us -= us; s.us < 0 || s.tasks == len(s.retries) {
		s.us = 0 // costs were learnt meanwhile
	}
}

// steal appends tasks from the end of the first bags, those that may be taken, at most aim µs and at most half of what waits.
// extra is what a task costs more on the thief.
func (s *shelf) steal(items []item, aim float64, typical float32, may func(*Classifier) bool, extra func(*Classifier) float64) []item {
	most := (s.tasks + 1) / 2
	begin := len(items)
	for i := range s.bags {
		w := &s.bags[i]
		for j := len(w.tasks) - 1; j >= 0 && aim > 0 && len(items)-begin < min(most, maxBatch); j-- {
			t := int(w.tasks[j])
			c := w.bag.classifiers[t]
			if !may(c) {
				continue
			}
			w.tasks = slices.Delete(w.tasks, j, j+1)
			us := float64(c.microseconds(typical))
			s.took(us)
			aim -= us + extra(c)
			items = append(items, item{bag: w.bag, task: t})
		}
	}
	s.bags = slices.DeleteFunc(s.bags, func(w waiting) bool { return len(w.tasks) == 0 })
	return items
}

func (s *shelf) remove(b *Bag, typical float32) {
	s.bags = slices.DeleteFunc(s.bags, func(w waiting) bool {
		if w.bag != b {
			return false
		}
		for _, t := range w.tasks {
			s.took(float64(b.classifiers[t].microseconds(typical)))
		}
		return true
	})
	n := len(s.retries)
	s.retries = slices.DeleteFunc(s.retries, func(it item) bool { return it.bag == b })
	s.tasks -= n - len(s.retries)
}
