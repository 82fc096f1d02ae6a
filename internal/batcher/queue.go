package batcher

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gavel/internal/engine"
)

// Queue fills and flushes the batches of one engine. All methods are safe for concurrent use.
//
// Locks are taken in the order Queue.mu, Pool.mu. No engine is called, and no caller woken with results, under either.
type Queue struct {
	pool   *Pool
	engine engine.Engine
	o      QueueOptions
	rowLen int                                         // values of a row's inputs
	check  func(inputs []engine.Column, row int) error // nil error: the row may join
	// outputWidth is how many values a row's outputs have, 0 where they are one float32.
	outputWidth int
	most        int // batches that there may be

	mu        sync.Mutex // guards what follows, up to the counters
	all       []*batch   // every batch there is; they are made when they are first needed
	making    bool       // a caller is making one, without the lock
	made      sync.Cond  // on mu: making has ended, or the one told before has taken its places
	waiting   int        // callers that wait for made
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
	arrivals  pace  // of claims

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

// NewQueue makes a queue for an engine, which must stay usable until Close has returned nil. Batches are made when they are
// first needed and kept, at most so many as fill QueueRows, one on each runner, and two that fill; under Off, where each
// claim takes one, at most QueueRows. Calibration makes the first.
func (p *Pool) NewQueue(e engine.Engine, o QueueOptions) (*Queue, error) {
	if err := o.fill(p.o); err != nil {
		return nil, err
	}
	schema := e.Schema()
	if err := schema.Check(); err != nil {
		return nil, fmt.Errorf("batcher: cannot make queue %q: %w", o.Name, err)
	}
	q := &Queue{pool: p, engine: e, o: o, arrivals: pace{memory: float64(o.MaxWait)}, drained: make(chan struct{})}
	q.made.L = &q.mu
	q.most = (o.QueueRows+o.MaxRows-1)/o.MaxRows + len(p.runners) + 2
	if o.Policy == Off {
		q.most = max(q.most, o.QueueRows)
	}
	for _, field := range schema.Inputs {
		q.rowLen += field.Width
	}
	if len(schema.Outputs) > 1 || schema.Outputs[0].Width > 1 || schema.Outputs[0].Type != engine.Float32 {
		for _, field := range schema.Outputs {
			q.outputWidth += field.Width
		}
	}
	q.check = p.rowCheck(e, o)
	if err := q.calibrate(); err != nil {
		q.freeMemory()
		return nil, err
	}
	if !p.add(q) {
		q.freeMemory()
		return nil, fmt.Errorf("batcher: cannot make queue %q: %w", o.Name, ErrClosed)
	}
	return q, nil
}

// OutputWidth is how many values a row's outputs have, of all fields together.
func (q *Queue) OutputWidth() int { return max(q.outputWidth, 1) }

// newBatch makes a batch. A panic of the engine is an error here: callers wait for the batch.
func (q *Queue) newBatch() (b *batch, err error) {
	rows := q.o.MaxRows
	defer func() {
		if v := recover(); v != nil {
			b, err = nil, fmt.Errorf("batch of %d rows: panic in the engine: %v", rows, v)
			q.pool.panicked(err)
		}
	}()
	mem, err := q.engine.NewBatch(rows)
	if err != nil {
		return nil, fmt.Errorf("batch of %d rows: %w", rows, err)
	}
	schema := q.engine.Schema()
	if err := errors.Join(engine.Fit(mem.Inputs(), schema.Inputs, rows), engine.Fit(mem.Outputs(), schema.Outputs, rows)); err != nil {
		mem.Close()
		return nil, fmt.Errorf("batch of %d rows: %w", rows, err)
	}
	b = &batch{q: q, mem: mem, inputs: mem.Inputs(), outputs: mem.Outputs(), slots: make([]slot, rows), live: make([]int32, 0, rows)}
	for _, c := range b.inputs {
		if c.Type == engine.Text {
			b.texts = append(b.texts, c)
		}
	}
	if len(b.inputs) == 1 && b.inputs[0].Type == engine.Int32 {
		b.rows, b.len = b.inputs[0].Int32, q.rowLen
	}
	return b, nil
}

// rowCheck asks the engine, if it is a validator; else every row may join.
func (p *Pool) rowCheck(e engine.Engine, o QueueOptions) func([]engine.Column, int) error {
	v, ok := e.(engine.Validator)
	if !ok {
		return func([]engine.Column, int) error { return nil }
	}
	return func(inputs []engine.Column, row int) (err error) {
		defer func() {
			if v := recover(); v != nil { // a ticket that is never committed would hold its batch for ever
				err = rowRefused(o.Name, fmt.Errorf("panic in its check: %v", v))
				p.panicked(err)
			}
		}()
		if err := v.Validate(inputs, row); err != nil {
			return rowRefused(o.Name, err)
		}
		return nil
	}
}

// calibrate runs rows at growing sizes, as traffic would find things: with random rows, and with caches that other work
// has filled since. Rows of zeros in a loop cost a third of what traffic's rows do, and a row more next to nothing. The
// first run of each size only warms the engine up.
func (q *Queue) calibrate() error {
	if q.o.CalibrationRuns == 0 {
		return nil
	}
	b, err := q.newBatch()
	if err != nil {
		return fmt.Errorf("batcher: cannot make queue %q: %w", q.o.Name, err)
	}
	q.all, q.idle = append(q.all, b), append(q.idle, b)
	defer engine.Clear(b.inputs, 0, q.o.MaxRows)
	sampler, _ := q.engine.(engine.Sampler)
	others := make([]byte, cacheBytes)
	for n := 1; ; n = min(2*n, q.o.MaxRows) {
		for i := range q.o.CalibrationRuns + 1 {
			for row := 0; row < n && sampler != nil; row++ {
				sampler.Sample(b.inputs, row)
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
				q.curve.observe(n, cmp.Or(metered(b.mem, took), took)) // a version is prepared in a thread that others interrupt
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
	t := p.ticket(n, q.outputWidth)
	t.q, t.n, t.claimed, t.deadline = q, n, now, due

	q.mu.Lock()
	var err error
	if q.batchesFor(n) > len(q.idle) || q.waiting > 0 {
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
	q.arrivals.add(now)
	for first := 0; first < n; {
		if q.open == nil {
			last := len(q.idle) - 1
			q.open, q.idle = q.idle[last], q.idle[:last]
			q.open.open(now, int64(q.o.MaxWait))
		}
		b := q.open
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
		if pt.b.rows != nil {
			clear(pt.b.rows[pt.slot*q.rowLen : (pt.slot+pt.n)*q.rowLen])
		} else {
			engine.Clear(pt.b.inputs, pt.slot, pt.n)
		}
	}
	return t, nil
}

// batchesFor is how many batches n more rows open; the lock is held.
func (q *Queue) batchesFor(n int) int {
	if q.open != nil {
		n -= len(q.open.slots) - q.open.n
	}
	return (max(n, 0) + q.o.MaxRows - 1) / q.o.MaxRows
}

// grow makes batches until n rows that the queue has room for find enough of them free. The lock is held, and given up
// while a batch is made. One caller makes at a time: the others wait, because the batch may have room for them too.
func (q *Queue) grow(n int) error {
	for q.batchesFor(n) > len(q.idle) && q.queued+n <= q.o.QueueRows && len(q.all) < q.most && !q.closing {
		if q.making {
			q.waiting++
			q.made.Wait()
			q.waiting--
			continue
		}
		q.making = true
		q.mu.Unlock()
		b, err := q.newBatch()
		q.mu.Lock()
		q.making = false
		if err == nil {
			q.all, q.idle = append(q.all, b), append(q.idle, b)
		}
		if q.lastOut() { // Close waits for this one
			q.mu.Unlock()
			q.destroy()
			q.mu.Lock()
		}
		if err != nil {
			q.made.Signal()
			q.count.shedFull.Add(uint64(n))
			return fmt.Errorf("%w: queue %q cannot make one more batch: %w", ErrShed, q.o.Name, err)
		}
	}
	q.made.Signal() // the next one waiting looks once this one has its places
	return nil
}

// observe tells the curve what a run of n rows took.
func (q *Queue) observe(n int, ns int64) {
	q.hist.runTime.addTime(ns, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if mean, _ := q.curve.predict(n); mean > 0 {
		q.predicted += int64(mean)
		q.actual += ns
		q.hist.ratio.addRatio(float64(ns) / mean)
	}
	q.curve.observe(n, ns)
}
