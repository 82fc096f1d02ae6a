package console

import (
	"maps"
	"slices"
	"sync"
	"time"

	"gavel/internal/batcher"
)

// Queues is a prometheus.Collector of the runner pools and of the queues of all model versions. It implements
// scoring.Queues.
//
// Each queue serves one version, but the metrics are labelled by model. So Queues adds the counts of a model's queues, and
// keeps those of retired versions: no count falls, and a new version makes no new series. Safe for concurrent use.
type Queues struct {
	since time.Time // when counting began

	mu      sync.Mutex // guards the fields below
	pools   []namedPool
	live    []liveQueue              // in the order of Add
	retired map[string]batcher.Stats // sums by model
}

type namedPool struct {
	name string
	pool *batcher.Pool
}

// liveQueue is the queue of a version that serves or still answers its last rows.
type liveQueue struct {
	model string
	queue *batcher.Queue
}

// NewQueues returns a collector that has no pools and no queues yet.
func NewQueues() *Queues {
	return &Queues{since: time.Now(), retired: make(map[string]batcher.Stats)}
}

// AddPool adds a pool of runners. name is the value of the label pool in the pool's metrics.
func (q *Queues) AddPool(name string, pool *batcher.Pool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pools = append(q.pools, namedPool{name, pool})
}

// Add adds the queue of a new version of model.
func (q *Queues) Add(model string, queue *batcher.Queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.live = append(q.live, liveQueue{model, queue})
}

// Retire drops a closed queue, and keeps its counts in the sum of its model. Unknown queues are ignored.
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

// byModel returns the sum of each model's queues, retired ones included.
func (q *Queues) byModel() map[string]batcher.Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	sums := maps.Clone(q.retired)
	for _, l := range q.live {
		sums[l.model] = addStats(sums[l.model], l.queue.Stats())
	}
	return sums
}

// eachPool calls f with the name and the statistics of every pool, in the order of AddPool.
func (q *Queues) eachPool(f func(name string, stats *batcher.PoolStats)) {
	q.mu.Lock()
	pools := slices.Clone(q.pools)
	q.mu.Unlock()
	for _, p := range pools {
		stats := p.pool.Stats()
		f(p.name, &stats)
	}
}
