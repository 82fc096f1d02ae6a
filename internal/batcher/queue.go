package batcher

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Queue fills and flushes the batches of one engine. All methods are safe for concurrent use.
//
// Locks are taken in the order Queue.mu, Pool.mu. No engine is called, and no caller woken with results, under either.
type Queue struct {
	pool   *Pool
	engine Engine
	o      QueueOptions
	rowLen int
	check  func(row []int32) error // nil error: the row may join

	mu        sync.Mutex // guards what follows, up to the counters
	all       []*batch   // every batch there is; it grows under Off alone
	making    int        // batches that are being made, beside the lock
	idle      []*batch   // those in state free
	open      *batch     // the one that rows join, nil if none
	ready     []*batch   // waiting for a runner, oldest first
	queued    int        // rows claimed whose run has not begun
	high      int
	running   int   // batches in state running
	rescuing  int   // callers that run a batch because no runner came
	announced bool  // the pool knows that a runner is wanted
	ahead     int64 // predicted run time of sealed and ready batches, ns
	closing   bool
	destroyed bool
	curve     curve // of durations: when a run will have ended
	price     price // of runs, to weigh waiting against
	arrivals  pace  // claims
	holds     holds
	looks     looks

	claims, rows, batches, reached uint64
	flushes                        [causes]uint64
	predicted, actual              int64 // ns

	overdue []*Ticket // the clock's: expired in this tick, their receivers not told yet

	aborted atomic.Bool   // rows that have not begun get ErrClosed
	drained chan struct{} // closed when every batch is freed

	share share // belongs to the pool's lock
	count counters
	hist  histograms
}

// counters are of rows, but for runs and what follows.
type counters struct {
	answered, refused, expired, failed, closed, abandoned, shedFull, shedLate, dropped atomic.Uint64
	runs, runRows, runErrors, panics, rescued, inline, empty                           atomic.Uint64
}

type histograms struct{ batchRows, queueTime, runTime, ratio histogram }

// NewQueue makes a queue for engine and all batches it will ever need: enough for QueueRows in full batches, one on each
// runner, and two that fill. Under Off, where each claim takes one, more are made when so many claims come at once as
// never before. The engine must stay usable until Close has returned nil.
func (p *Pool) NewQueue(engine Engine, o QueueOptions) (*Queue, error) {
	if err := o.fill(p.o); err != nil {
		return nil, err
	}
	predecessor := o.Predecessor
	if predecessor != nil && predecessor.pool != p {
		return nil, fmt.Errorf("batcher: cannot make queue %q: its predecessor %q is another pool's", o.Name, predecessor.o.Name)
	}
	o.Predecessor = nil // or each would keep all before it
	q := &Queue{pool: p, engine: engine, o: o, rowLen: engine.RowLen(), drained: make(chan struct{})}
	if q.rowLen < 1 {
		return nil, fmt.Errorf("batcher: cannot make queue %q: the engine's rows have %d values, must be at least 1", o.Name, q.rowLen)
	}
	q.check = p.rowCheck(engine, o)
	for range (o.QueueRows+o.MaxRows-1)/o.MaxRows + len(p.runners) + 2 {
		b, err := q.newBatch()
		if err != nil {
			q.freeMemory()
			return nil, fmt.Errorf("batcher: cannot make queue %q: %w", o.Name, err)
		}
		q.all = append(q.all, b)
	}
	q.idle = append(make([]*batch, 0, len(q.all)), q.all...)
	q.ready = make([]*batch, 0, len(q.all))
	if err := q.calibrate(); err != nil {
		q.freeMemory()
		return nil, err
	}
	if predecessor != nil {
		q.inherit(predecessor)
	}
	if !p.add(q) {
		q.freeMemory()
		return nil, fmt.Errorf("batcher: cannot make queue %q: %w", o.Name, ErrClosed)
	}
	return q, nil
}

func (q *Queue) newBatch() (*batch, error) {
	rows := q.o.MaxRows
	mem, err := q.engine.NewBatch(rows)
	if err == nil && (len(mem.Rows()) != rows*q.rowLen || len(mem.Probabilities()) != rows) {
		err = fmt.Errorf("the engine's batch has %d values and %d results, want %d × %d and %d",
			len(mem.Rows()), len(mem.Probabilities()), rows, q.rowLen, rows)
		mem.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("batch of %d rows: %w", rows, err)
	}
	return &batch{q: q, mem: mem, rows: mem.Rows(), len: q.rowLen,
		slots: make([]slot, rows), live: make([]int32, 0, rows)}, nil
}

func (p *Pool) rowCheck(engine Engine, o QueueOptions) func([]int32) error {
	if v, ok := engine.(Validator); ok {
		return func(row []int32) (err error) {
			defer func() {
				if v := recover(); v != nil { // a ticket that is never committed would hold its batch for ever
					err = rowRefused(o.Name, fmt.Errorf("panic in its check: %v", v))
					p.panicked(err)
				}
			}()
			if err := v.Validate(row); err != nil {
				return rowRefused(o.Name, err)
			}
			return nil
		}
	}
	return func(row []int32) error {
		if o.TableRows == 0 {
			return nil
		}
		for i, x := range row {
			if uint(x) >= uint(o.TableRows) { // negative ones too
				return rowRefused(o.Name, fmt.Errorf("value %d is %d, must lie in [0, %d)", i, x, o.TableRows))
			}
		}
		return nil
	}
}

// calibrate runs rows at growing sizes, as traffic would find things: with indices from all over the table, and with
// caches that other work has filled since. Rows of zeros in a loop cost a third of what traffic's rows do, and a row
// more next to nothing. The first run of each size only warms the engine up.
func (q *Queue) calibrate() error {
	if q.o.CalibrationRuns == 0 {
		return nil
	}
	b := q.all[0]
	rows, others := b.mem.Rows(), make([]byte, cacheBytes)
	defer clear(rows)
	for n := 1; ; n = min(2*n, q.o.MaxRows) {
		for i := range q.o.CalibrationRuns + 1 {
			if q.o.TableRows > 0 {
				for k := range rows[:n*q.rowLen] {
					rows[k] = rand.Int32N(int32(q.o.TableRows))
				}
			}
			for k := 0; k < len(others); k += cacheLine {
				others[k]++
			}
			start := q.pool.now()
			if err := b.mem.Run(n); err != nil {
				return fmt.Errorf("batcher: cannot calibrate queue %q: run of %d random rows: %w", q.o.Name, n, err)
			}
			if i > 0 {
				took := q.pool.now() - start
				cost := metered(b.mem, took)
				q.curve.observe(n, cmp.Or(cost, took)) // a version is prepared in a thread that others interrupt
				q.price.calibrate(n, cost)
			}
		}
		if n == q.o.MaxRows {
			return nil
		}
	}
}

// What calibration writes between two runs, to be as cold as traffic: more than a core's own caches hold.
const cacheBytes, cacheLine = 4 << 20, 64

// Claim takes n ≥ 1 places for rows that must be answered by deadline (zero: no deadline), all or none. They may lie in
// several batches. The error is ErrShed where the queue is full or no answer can be expected in time, ErrExpired where
// the deadline has passed, ErrClosed. The ticket must be ended by Wait, Then or Abandon.
func (q *Queue) Claim(n int, deadline time.Time) (*Ticket, error) {
	if n < 1 {
		return nil, fmt.Errorf("batcher: cannot claim %d rows of queue %q: at least 1", n, q.o.Name)
	}
	p := q.pool
	now, due := p.now(), never
	if !deadline.IsZero() {
		if due = int64(deadline.Sub(p.epoch)) + 1; due <= now {
			q.count.shedLate.Add(uint64(n))
			return nil, ErrExpired
		}
	}
	t := p.ticket(n)
	t.q, t.n, t.claimed, t.deadline = q, n, now, due

	q.mu.Lock()
	var err error
	if q.o.Policy == Off {
		err = q.grow(n)
	}
	if err == nil {
		err = q.admit(n, now, due)
	}
	if err != nil {
		q.mu.Unlock()
		t.q = nil
		p.tickets.Put(t)
		return nil, err
	}
	q.claims++
	q.rows += uint64(n)
	q.queued += n
	q.high = max(q.high, q.queued)
	if now-q.arrivals.last > lookPause {
		q.looks.restart()
	}
	q.arrivals.add(now)
	for first := 0; first < n; {
		if q.open == nil {
			last := len(q.idle) - 1
			q.open, q.idle = q.idle[last], q.idle[:last]
			q.open.open(now, int64(q.o.MaxWait))
		}
		b := q.open
		if b.heldAt > 0 {
			q.holds.paid(b.heldAt)
			b.heldAt = 0
		}
		first += b.join(t, first, n-first)
		q.reckonDue(b)
		switch {
		case q.o.Policy == Off:
			q.seal(b, causeIdle, now)
		case b.n == len(b.slots):
			q.seal(b, causeFull, now)
		}
	}
	t.state.Store(ticketOpen)
	t.left.Store(int32(len(t.parts)))
	t.refs.Store(int32(len(t.parts)) + 1)
	if q.open != nil {
		p.clock.alarm(min(q.open.dueAt, q.open.deadline))
	} else {
		p.clock.alarm(due)
	}
	q.mu.Unlock()

	for k := range t.parts { // nobody sees what an earlier caller wrote
		pt := &t.parts[k]
		clear(pt.b.rows[pt.slot*q.rowLen : (pt.slot+pt.n)*q.rowLen])
	}
	return t, nil
}

// grow makes batches until n rows that the queue has room for find enough of them free. The lock is held, and given up
// while a batch is made.
func (q *Queue) grow(n int) error {
	need := (n + q.o.MaxRows - 1) / q.o.MaxRows
	for len(q.idle) < need && q.queued+n <= q.o.QueueRows && len(q.all)+q.making < q.o.QueueRows && !q.closing {
		q.making++
		q.mu.Unlock()
		b, err := q.newBatch()
		q.mu.Lock()
		q.making--
		if err == nil {
			q.all, q.idle = append(q.all, b), append(q.idle, b)
		}
		if q.lastOut() { // Close waits for this one
			q.mu.Unlock()
			q.destroy()
			q.mu.Lock()
		}
		if err != nil {
			q.count.shedFull.Add(uint64(n))
			return fmt.Errorf("%w: cannot make one more batch: %w", ErrShed, err)
		}
	}
	return nil
}

// observe tells the curves what b's run of n rows took, in all and, if it was measured, of CPU.
func (q *Queue) observe(b *batch, n int, end, ns, cpu int64) {
	q.hist.runTime.addTime(ns, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if mean, _ := q.curve.predict(n); mean > 0 {
		q.predicted += int64(mean)
		q.actual += ns
		q.hist.ratio.addRatio(float64(ns) / mean)
	}
	q.curve.observe(n, ns)
	claims := float64(b.claims) * float64(n) / float64(b.n) // less where some of its rows are not run
	q.price.observe(n, claims, cpu, q.looks.saw(b))
}
