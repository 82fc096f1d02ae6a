package workers

import (
	"sync/atomic"
	"time"
)

// shared is one queue for all workers: a shelf a home, under one lock.
type shared struct {
	pool    *costs
	after   float64 // µs of work that must wait at a home before others load its classifiers
	mu      lock
	shelves []shelf
	down    []bool
}

func newShared(workers int, after time.Duration, c *costs, waited *atomic.Int64) *shared {
	return &shared{pool: c, after: float64(after) / 1e3, mu: lock{waited: waited}, shelves: make([]shelf, workers), down: make([]bool, workers)}
}

func (q *shared) push(b *Bag, tasks [][]int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := range tasks {
		q.shelves[w].push(b, tasks[w], q.pool.task())
	}
}

func (q *shared) retry(w int, it item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shelves[w].retry(it)
}

func (q *shared) take(w int, aim time.Duration, items []item) ([]item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	us, typical, extra := float64(aim)/1e3, q.pool.task(), q.pool.loadOn(w)
	if got := q.shelves[w].fill(items, us, typical, extra); len(got) > len(items) {
		return got, false
	}
	has := func(c *Classifier) bool { return c.copies[w].Load() == loaded }
	soon := false
	for v := 1; v < len(q.shelves); v++ {
		home := (w + v) % len(q.shelves)
		s := &q.shelves[home]
		if s.tasks == 0 {
			continue
		}
		soon = true
		may := has
		if q.down[home] || s.us > q.after {
			may = func(*Classifier) bool { return true }
		}
		if got := s.steal(items, us, typical, may, extra); len(got) > len(items) {
			return got, false
		}
		if q.down[home] && len(s.retries) > 0 {
			if got := s.fill(items, 0, typical, extra); len(got) > len(items) {
				return got, false
			}
		}
	}
	return items, soon
}

func (q *shared) remove(b *Bag) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := range q.shelves {
		q.shelves[w].remove(b, q.pool.task())
	}
}

func (q *shared) setDown(w int, down bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.down[w] = down
}

func (q *shared) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for w := range q.shelves {
		n += q.shelves[w].tasks
	}
	return n
}

// dealt is a queue a worker, each with its own lock.
type dealt struct {
	pool   *costs
	queues []own
}

type own struct {
	mu    lock
	shelf shelf
	_     [64]byte // locks of neighbours do not share a cache line
}

func newDealt(workers int, c *costs, waited *atomic.Int64) *dealt {
	q := &dealt{pool: c, queues: make([]own, workers)}
	for w := range q.queues {
		q.queues[w].mu.waited = waited
	}
	return q
}

func (q *dealt) push(b *Bag, tasks [][]int32) {
	for w := range tasks {
		own := &q.queues[w]
		own.mu.Lock()
		own.shelf.push(b, tasks[w], q.pool.task())
		own.mu.Unlock()
	}
}

func (q *dealt) retry(w int, it item) {
	own := &q.queues[w]
	own.mu.Lock()
	defer own.mu.Unlock()
	own.shelf.retry(it)
}

func (q *dealt) take(w int, aim time.Duration, items []item) ([]item, bool) {
	own := &q.queues[w]
	own.mu.Lock()
	defer own.mu.Unlock()
	return own.shelf.fill(items, float64(aim)/1e3, q.pool.task(), q.pool.loadOn(w)), false
}

func (q *dealt) remove(b *Bag) {
	for w := range q.queues {
		own := &q.queues[w]
		own.mu.Lock()
		own.shelf.remove(b, q.pool.task())
		own.mu.Unlock()
	}
}

func (q *dealt) setDown(int, bool) {}

func (q *dealt) len() int {
	n := 0
	for w := range q.queues {
		own := &q.queues[w]
		own.mu.Lock()
		n += own.shelf.tasks
		own.mu.Unlock()
	}
	return n
}
