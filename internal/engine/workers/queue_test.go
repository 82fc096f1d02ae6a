package workers

import (
	"sync/atomic"
	"testing"
	"time"
)

// fake is a classifier of so many µs that lives on some of two workers.
func fake(us float32, home int, on ...int) *Classifier {
	c := &Classifier{home: home, outputs: 1, copies: make([]atomic.Uint32, 2)}
	for _, w := range on {
		c.copies[w].Store(loaded)
	}
	c.took(us)
	return c
}

func bagOf(c *Classifier, n int) (*Bag, [][]int32) {
	b, tasks := NewBag(1, n), make([][]int32, 2)
	for t := range n {
		b.Add(c, nil)
		tasks[c.home] = append(tasks[c.home], int32(t))
	}
	b.begin(nil)
	return b, tasks
}

// count says how many tasks of each bag a batch has.
func count(items []item, bags ...*Bag) []int {
	n := make([]int, len(bags))
	for _, it := range items {
		for i, b := range bags {
			if it.bag == b {
				n[i]++
			}
		}
	}
	return n
}

func TestQueues(t *testing.T) {
	queues := map[string]func() queue{
		"shared": func() queue { return newShared(2, 10*time.Millisecond, newCosts(), nil) },
		"dealt":  func() queue { return newDealt(2, newCosts(), nil) },
	}
	for name, make := range queues {
		t.Run(name, func(t *testing.T) {
			q := make()
			large, tasks := bagOf(fake(100, 0, 0), 1000)
			q.push(large, tasks)
			batch, _ := q.take(0, 5*time.Millisecond, nil)
			if len(batch) != 50 {
				t.Errorf("a batch of %d tasks of 100 µs, want 50 for 5 ms", len(batch))
			}
			small, tasks := bagOf(fake(100, 0, 0), 20)
			q.push(small, tasks)
			batch, _ = q.take(0, 5*time.Millisecond, nil)
			if n := count(batch, large, small); n[1] != 20 || n[0] != 30 {
				t.Errorf("the next batch has %v tasks of the large and the small request, want 30 and all 20", n)
			}
			slow, tasks := bagOf(fake(20_000, 0, 0), 3)
			q.push(slow, tasks)
			batch, _ = q.take(0, 5*time.Millisecond, nil)
			if n := count(batch, large, slow); n[0]+n[1] != len(batch) || n[1] > 1 {
				t.Errorf("%v tasks of 100 µs and of 20 ms; want one of the latter at most", n)
			}
			q.retry(0, item{bag: large, task: 0, again: true})
			if batch, _ = q.take(0, 5*time.Millisecond, nil); len(batch) != 1 || !batch[0].again {
				t.Errorf("a task that is tried again goes with %d others", len(batch)-1)
			}
			q.remove(large)
			q.remove(slow)
			if q.len() != 0 {
				t.Errorf("%d tasks wait after all were removed", q.len())
			}
			if batch, _ = q.take(0, 5*time.Millisecond, nil); len(batch) != 0 {
				t.Errorf("%d tasks of removed bags", len(batch))
			}
		})
	}
}

func TestStealing(t *testing.T) {
	f := func(name string, n int, on []int, down bool, want int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			q := newShared(2, 10*time.Millisecond, newCosts(), nil)
			b, tasks := bagOf(fake(100, 0, on...), n)
			q.push(b, tasks)
			q.setDown(0, down)
			batch, soon := q.take(1, 5*time.Millisecond, nil)
			if len(batch) != want || want == 0 && !soon {
				t.Errorf("%d tasks, soon %v; want %d", len(batch), soon, want)
			}
			if q.len() != n-want {
				t.Errorf("%d tasks wait, want %d", q.len(), n-want)
			}
		})
	}
	f("tasks are stolen where their classifier is loaded, half at most", 20, []int{0, 1}, false, 10)
	f("and at most as many as a batch takes", 1000, []int{0, 1}, false, 50)
	f("a home with little to do keeps its classifiers", 50, []int{0}, false, 0)
	f("one with much lets others load them, which costs 300 µs each", 1000, []int{0}, false, 13)
	f("so does one that is down", 50, []int{0}, true, 13)
}
