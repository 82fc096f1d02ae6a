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
// Locks are taken in the order Queue.mu, Pool.mu. No engine and no receiver is called under either.
type Queue struct {
	pool        *Pool
	engine      engine.Engine
	validator   engine.Validator // the engine, nil if it checks no rows
	o           QueueOptions
	outputWidth int // values of a row's outputs; 0 if they are one float32
	maxBatches  int

	mu          sync.Mutex // guards what follows, up to actual
	all         []*batch   // every batch; they are made when they are first needed
	making      bool       // a caller makes a batch, without the lock
	made        sync.Cond  // on mu: making has ended, or the caller woken before has taken its places
	makeWaiters int        // callers that wait for made
	idle        []*batch   // those in state free
	open        *batch     // the one that rows join, nil if none
	ready       []*batch   // waiting for a runner, oldest first, but for
	chunks      []*batch   // those of many-row claims, likewise
	chunkNext   bool       // a batch of ready was taken last, so that one of chunks is next
	queued      int        // rows claimed whose run has not begun, under Off has not ended
	queuedHigh  int        // the most it ever was
	running     int        // batches in state running, and
	calling     int        // how many of them their callers run, without a runner
	rescuing    int        // goroutines that rescue a batch
	announced   bool       // the pool lists this queue as runnable
	backlog     int64      // predicted run time of sealed and ready batches, ns
	closing     bool
	destroyed   bool
	curve       curve // wall times of runs; calibration adds CPU times
	cpu         curve // CPU times, of the runs that were measured
	arrivals    pace  // of claims

	claims, rows, batches, reached uint64
	flushes                        [causes]uint64
	predicted, actual              int64 // ns

	overdue []*Ticket // the clock's alone: expired in this tick, receivers not called yet

	aborted atomic.Bool   // Close has given up: rows whose run has not begun get ErrClosed
	drained chan struct{} // closed when every batch has been freed

	share share // guarded by the pool's lock
	count counters
	hist  histograms
}

// counters count rows in the first line; runs and batches in the second, except that runRows counts rows.
type counters struct {
	answered, refused, expired, failed, closed, abandoned, shedFull, shedLate, dropped atomic.Uint64
	runs, runRows, runErrors, panics, rescued, inline, empty                           atomic.Uint64
}

type histograms struct{ batchRows, queueTime, runTime, ratio histogram }

// NewQueue makes a queue for an engine, which must stay usable until Close has returned nil.
//
// Batches are made when they are first needed, and kept until Close: as many as the rows claimed at once have filled. That is
// at most QueueRows, because a claim may take a batch of its own. Calibration makes the first.
//
// The error reports every option out of range, a fault of the engine's schema or of its batch, a run that failed in
// calibration, or ErrClosed if the pool is closing.
func (p *Pool) NewQueue(e engine.Engine, o QueueOptions) (*Queue, error) {
	if err := o.fill(p.o); err != nil {
		return nil, err
	}
	schema := e.Schema()
	if err := schema.Check(); err != nil {
		return nil, fmt.Errorf("batcher: cannot make queue %q: %w", o.Name, err)
	}
	q := &Queue{pool: p, engine: e, o: o, arrivals: pace{memory: float64(o.MaxWait)}, drained: make(chan struct{})}
	q.validator, _ = e.(engine.Validator)
	q.made.L = &q.mu
	q.maxBatches = max((o.QueueRows+o.MaxRows-1)/o.MaxRows+len(p.runners)+2, o.QueueRows)
	if len(schema.Outputs) > 1 || schema.Outputs[0].Width > 1 || schema.Outputs[0].Type != engine.Float32 {
		for _, field := range schema.Outputs {
			q.outputWidth += field.Width
		}
	}
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

// Schema is what a row holds and what a run gives. It is read-only.
func (q *Queue) Schema() *engine.Schema { return q.engine.Schema() }

// newBatch makes a batch. A panic of the engine becomes an error, because other callers may wait for the batch.
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
	return &batch{q: q, mem: mem, inputs: mem.Inputs(), outputs: mem.Outputs(), slots: make([]slot, rows),
		live: make([]int32, 0, rows)}, nil
}

// check returns why the engine refuses a row, which wraps ErrRow, or nil if the row may run.
func (q *Queue) check(inputs []engine.Column, row int) (err error) {
	if q.validator == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil { // the ticket must still be committed, or its batch would never run
			err = rowRefused(q.o.Name, fmt.Errorf("panic in its check: %v", v))
			q.pool.panicked(err)
		}
	}()
	if err := q.validator.Validate(inputs, row); err != nil {
		return rowRefused(q.o.Name, err)
	}
	return nil
}

// calibrate times runs of growing sizes under the conditions of traffic: random rows, and processor caches that other work
// has filled. Rows of zeros in a warm cache would make runs look much cheaper. The first run of each size is not timed,
// because it warms the engine up.
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
	filler := make([]byte, cacheBytes)
	for n := 1; ; n = min(2*n, q.o.MaxRows) {
		for i := range q.o.CalibrationRuns + 1 {
			for row := 0; row < n && sampler != nil; row++ {
				sampler.Sample(b.inputs, row)
			}
			for k := 0; k < len(filler); k += cacheLine {
				filler[k]++
			}
			start := q.pool.now()
			if err := b.mem.Run(n); err != nil && !errors.As(err, new(*engine.RowErrors)) { // rows of zeros may be refused
				return fmt.Errorf("batcher: cannot calibrate queue %q: run of %d random rows: %w", q.o.Name, n, err)
			}
			if i > 0 {
				took := q.pool.now() - start
				cpu := cmp.Or(runCPU(b.mem, took), took) // other threads may interrupt this one
				q.curve.observe(n, cpu)
				q.cpu.observe(n, cpu)
			}
		}
		if n == q.o.MaxRows {
			return nil
		}
	}
}

// Calibration writes this many bytes between two runs, more than a core's own caches hold, in steps of a cache line.
const cacheBytes, cacheLine = 4 << 20, 64

// Claim takes n ≥ 1 places for rows that must be answered by deadline, all or none. A zero deadline means none. The places
// may lie in several batches; in each they are consecutive, in the order of the rows, so that the engine may share work between
// neighbours. The caller must end the ticket with Wait, WaitColumns, Then or Abandon.
//
// The error wraps ErrShed if the queue is full, if no answer is expected in time, or if the engine cannot make a batch. It
// is ErrExpired if the deadline has passed, and ErrClosed if the queue is closing.
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
	t := p.newTicket(n, q.outputWidth)
	t.q, t.n, t.claimed, t.deadline = q, n, now, due

	q.mu.Lock()
	w := q.way(n)
	var err error
	if q.batchesFor(n, w) > len(q.idle) || q.makeWaiters > 0 {
		err = q.grow(n, w)
	}
	if err == nil {
		err = q.admit(n, w, now, due)
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
	q.queuedHigh = max(q.queuedHigh, q.queued)
	q.arrivals.add(now)
	for first := 0; first < n; {
		b := q.open
		if b == nil || w.how != joins {
			last := len(q.idle) - 1
			b, q.idle = q.idle[last], q.idle[:last]
			b.open(w.how, now, int64(q.o.MaxWait))
			if w.how == joins {
				q.open = b
			}
		}
		first += b.join(t, first, min(n-first, w.rows-b.n))
		q.setDue(b)
		switch {
		case w.how == alone:
			q.seal(b, causeIdle, now)
		case b.n == w.rows:
			q.seal(b, causeFull, now)
		case w.how == chunked:
			q.seal(b, causeIdle, now)
		}
	}
	t.state.Store(ticketOpen)
	t.left.Store(int32(len(t.parts)))
	t.refs.Store(int32(len(t.parts)) + 1)
	switch {
	case w.how == alone: // its caller notices by itself
	case q.open != nil:
		p.clock.alarm(min(q.open.dueAt, q.open.deadline, due))
	default:
		p.clock.alarm(due)
	}
	q.mu.Unlock()

	for k := range t.parts { // no caller may read another's row
		engine.Clear(t.parts[k].b.inputs, t.parts[k].slot, t.parts[k].n)
	}
	return t, nil
}

// batchesFor returns how many free batches n more rows need. The lock is held.
func (q *Queue) batchesFor(n int, w way) int {
	if w.how == joins && q.open != nil {
		n -= w.rows - q.open.n
	}
	return (max(n, 0) + w.rows - 1) / w.rows
}

// room says whether the queue has room for n more rows. A claim that its caller runs needs none, except under Off.
func (q *Queue) room(n int, w way) bool {
	return q.queued+n <= q.o.QueueRows || w.how == alone && q.o.Policy != Off
}

// grow makes batches until enough are free for n rows, if the queue has room for these. The lock is held, but given up
// while a batch is made. One caller at a time makes a batch. The others wait, because that batch may have room for them.
func (q *Queue) grow(n int, w way) error {
	for q.batchesFor(n, w) > len(q.idle) && q.room(n, w) && len(q.all) < q.maxBatches && !q.closing {
		if q.making {
			q.makeWaiters++
			q.made.Wait()
			q.makeWaiters--
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
		if q.lastOut() { // Close waited for this batch
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
	q.made.Signal() // the next waiter checks after this caller has taken its places, and released the lock
	return nil
}

// observe records that a run of n rows took ns, and cpu ns of CPU time, 0 if that was not measured.
func (q *Queue) observe(n int, ns, cpu int64) {
	q.hist.runTime.addTime(ns, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if mean, _ := q.curve.predict(n); mean > 0 {
		q.predicted += int64(mean)
		q.actual += ns
		q.hist.ratio.addRatio(float64(ns) / mean)
	}
	q.curve.observe(n, ns)
	if cpu > 0 {
		q.cpu.observe(n, cpu)
	}
}
