package batcher

// How a claim is taken in:
//
//	joins    it shares batches with others; a runner runs them, or the caller that completes one
//	alone    it has batches of its own, and its caller runs them when it commits, without a runner
//	chunked  it has batches of its own, of at most chunkTime, and runners run them
//
// Under adaptive the queue chooses, by its engine's cost curve. A claim whose run takes no longer than chunkTime is run by its
// caller at once, if joining others does not pay, and shares batches if it does; one that would take longer runs in chunks. Chunks
// run in the order of their claims, so that what has begun ends before what has not, and after each chunk the oldest batch of
// small claims runs.
//
// Joining saves a claim the fixed cost of a run (see curve.fixed), and costs it handOver: another goroutine runs the rows, and
// wakes their caller. If the fixed cost is below leastRun, no batch is held open (see Leave). Then only claims that come while runners
// are busy share it. So joining does not pay if less than one claim is expected during a run. Chunks make a claim pay the fixed cost
// once a chunk. So that this is at most a quarter of a run, chunks take longer than chunkTime where the fixed cost is above a quarter
// of it. docs/decisions/0019-two-ways.md has the measurements.
//
// Under off every claim is alone. Under window none is, and none is chunked. Under eager none is alone.
type how uint8

const (
	joins how = iota
	alone
	chunked
)

const (
	chunkTime = 200e3 // ns of CPU time
	handOver  = 3e3   // ns of CPU time
)

// way is how a claim is taken in, and the most rows in one of its batches.
type way struct {
	how  how
	rows int
}

// way returns how n rows are taken in. The lock is held.
func (q *Queue) way(n int) way {
	w := way{joins, q.o.MaxRows}
	if q.o.Policy == Off {
		w.how = alone
	}
	if q.o.Policy == Off || q.o.Policy == Window {
		return w
	}
	fixed, known := q.cpu.fixed()
	most := max(chunkTime, 4*fixed)
	mean, _ := q.cpu.predict(n)
	if q.o.Policy == Adaptive && known && !q.joiningPays(fixed, mean) && mean <= chunkTime && q.pool.o.Nice == 0 && q.mayCall() {
		w.how = alone
	} else if rows := q.within(most, min(n, w.rows)); rows < n {
		return way{chunked, rows}
	}
	return w
}

// joiningPays says whether a claim saves by joining others more than it costs. Its run is expected to take mean ns of CPU time, of
// which fixed are not its rows'. The lock is held.
func (q *Queue) joiningPays(fixed, mean float64) bool {
	switch {
	case fixed < handOver:
		return false
	case fixed >= leastRun:
		return true
	}
	return q.arrivals.gap() < mean // 0: not known
}

// within returns how many rows, 1 to n, run within ns.
func (q *Queue) within(ns float64, n int) int {
	if mean, _ := q.cpu.predict(n); mean <= ns {
		return n
	}
	least := 1
	for n-least > 1 {
		half := (least + n) / 2
		if mean, _ := q.cpu.predict(half); mean <= ns {
			least = half
		} else {
			n = half
		}
	}
	return least
}

// mayCall says whether one more caller may run its claim: MaxRunners bounds them, apart from the runners. Under Off it bounds
// both together, and batches that wait for a runner go first.
func (q *Queue) mayCall() bool {
	if q.o.Policy == Off {
		return q.running < q.o.MaxRunners && len(q.ready) == 0
	}
	return q.calling < q.o.MaxRunners
}

// Quick says that a caller of n rows would run them itself, within leastRun: it need not leave an event loop for that.
func (q *Queue) Quick(n int) bool {
	if q.o.Policy != Adaptive {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	mean, _ := q.cpu.predict(n)
	return mean < leastRun && q.way(n).how == alone
}

// Crowded says that a claim is likely to be joined by others: the next claim is expected before a row alone would have been
// run. If it is false, as always where callers run their own claims, a caller is answered soonest by Wait.
func (q *Queue) Crowded() bool {
	if q.o.Policy == Off {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	mean, _ := q.curve.predict(1)
	gap := q.arrivals.gap()
	return gap > 0 && gap < mean && q.way(1).how != alone
}
