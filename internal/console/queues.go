package console

import (
	"maps"
	"slices"
	"sync"
	"time"

	"gavel/internal/batcher"
)

// Queues knows the runner pools and the batcher queues of all model versions that were ever loaded. A queue serves one
// version of one model, but is counted by model alone, and a retired version's counts are kept: there are few series,
// and they only grow. Queues is a prometheus.Collector of these counts. Safe for concurrent use.
type Queues struct {
	since time.Time // when it began to count

	mu      sync.Mutex // guards what follows
	pools   []namedPool
	live    []liveQueue              // the oldest first
	retired map[string]batcher.Stats // by model
}

type namedPool struct {
	name string
	pool *batcher.Pool
}

// liveQueue is the queue of a version that serves, or finishes what it began.
type liveQueue struct {
	model string
	queue *batcher.Queue
}

// NewQueues returns a registry without pools and queues; its counts begin now.
func NewQueues() *Queues {
	return &Queues{since: time.Now(), retired: make(map[string]batcher.Stats)}
}

// AddPool adds a pool of runners under the name that its metrics carry as the label pool.
func (q *Queues) AddPool(name string, pool *batcher.Pool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pools = append(q.pools, namedPool{name, pool})
}

// Add adds the queue of a version of model.
func (q *Queues) Add(model string, queue *batcher.Queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.live = append(q.live, liveQueue{model, queue})
}

// Retire drops a closed queue and keeps its counts in its model's sum. A queue that is not known is ignored.
func (q *Queues) Retire(queue *batcher.Queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.live, func(l liveQueue) bool { return l.queue == queue })
	if i < 0 {
		return
	}
	model := q.live[i].model
	q.live = slices.Delete(q.live, i, i+1)
	q.retired[model] = addStats(q.retired[model], countsOf(queue.Stats()))
}

// byModel sums each model's queues, retired ones included.
func (q *Queues) byModel() map[string]batcher.Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	sums := maps.Clone(q.retired)
	for _, l := range q.live {
		sums[l.model] = addStats(sums[l.model], l.queue.Stats())
	}
	return sums
}

// eachPool calls f with the name and the stats of every pool, in the order in which they were added.
func (q *Queues) eachPool(f func(name string, stats *batcher.PoolStats)) {
	q.mu.Lock()
	pools := slices.Clone(q.pools)
	q.mu.Unlock()
	for _, p := range pools {
		stats := p.pool.Stats()
		f(p.name, &stats)
	}
}
