package batcher

import "gavel/internal/engine"

// committed is called when b has no row pending. Before it has the lock, another caller may claim places in b, or b may run, be
// freed, and be claimed anew: so only the state and pending, under the lock, say what b is. If inline is true, committed may return a
// borrowed runner: its caller must then run a batch of q. A batch that is alone it runs itself. If Close has given up, runners and
// the clock may be gone: it then answers b without the engine.
func (q *Queue) committed(b *batch, now int64, inline bool) *runner {
	q.mu.Lock()
	if b.how == alone && b.state == batchSealed && b.pending.Load() == 0 && q.mayCall() {
		q.backlog -= b.predicted
		q.calling++
		b.called = true
		q.start(b)
		q.mu.Unlock()
		q.count.inline.Add(1)
		q.run(b, nil, now)
		return nil
	}
	switch {
	case b.pending.Load() != 0:
		q.mu.Unlock()
		return nil
	case b.state == batchSealed:
		q.makeReady(b)
		q.pool.clock.alarm(b.deadline)
	case b.state == batchOpen && b.n > 0:
		b.goAt = q.mayGoAt(b, now)
	}
	aborted := q.aborted.Load()
	var r *runner
	if !aborted {
		r = q.announce(now, inline)
	}
	q.mu.Unlock()
	if aborted {
		q.abort()
	}
	return r
}

// abort answers every batch that may leave with ErrClosed.
func (q *Queue) abort() {
	for {
		now := q.pool.now()
		b := q.take(now)
		if b == nil {
			return
		}
		q.run(b, nil, now)
	}
}

// seal closes the open batch to new rows, for the cause c. The lock is held, as in the functions below up to announce.
func (q *Queue) seal(b *batch, c cause, now int64) {
	q.flush(b, c)
	q.backlog += b.predicted
	if b.pending.Load() > 0 {
		b.state = batchSealed
		return
	}
	q.makeReady(b)
	q.announce(now, false)
}

func (q *Queue) makeReady(b *batch) {
	b.state = batchReady
	list := q.line(b)
	*list = append(*list, b)
}

// line is the list in which b waits for a runner.
func (q *Queue) line(b *batch) *[]*batch {
	if b.how == chunked {
		return &q.chunks
	}
	return &q.ready
}

// flush counts b as flushed; it is not open then.
func (q *Queue) flush(b *batch, c cause) {
	if q.open == b {
		q.open = nil
	}
	mean, _ := q.curve.predict(b.n)
	b.predicted = int64(mean)
	q.batches++
	q.flushes[c]++
	q.hist.batchRows.addRows(b.n)
}

// oldest returns the batch that a runner would take now, nil if there is none: the oldest of those that claims share, and the
// oldest chunk, by turns.
func (q *Queue) oldest(now int64) *batch {
	runners := q.running
	if q.o.Policy != Off {
		runners -= q.calling
	}
	if runners >= q.o.MaxRunners && !q.aborted.Load() {
		return nil
	}
	var b *batch
	if len(q.ready) > 0 {
		b = q.ready[0]
	} else if o := q.open; o != nil && o.n > 0 && o.pending.Load() == 0 && now >= o.goAt {
		b = o
	}
	if len(q.chunks) > 0 && (b == nil || q.chunkNext) {
		return q.chunks[0]
	}
	return b
}

// announce asks the pool for a runner if a batch may leave and none was asked for. If inline is true, it may return a
// borrowed runner instead. If no batch may leave yet, it sets the clock.
func (q *Queue) announce(now int64, inline bool) *runner {
	b := q.oldest(now)
	if b == nil {
		if b := q.open; b != nil && b.goAt != never && b.goAt > now {
			q.pool.clock.alarm(b.goAt)
		}
		return nil
	}
	if !q.announced {
		if inline && q.mayInline(b.n) {
			if r := q.pool.borrow(); r != nil {
				return r
			}
		}
		q.announced = true
		q.pool.announce(q)
	}
	if after := int64(q.o.RescueAfter); after >= 0 { // a tick then rescues b if no runner has taken it
		at := b.dueAt + after
		if at <= now { // the tick of that time is over
			at = now + after
		}
		q.pool.clock.alarm(at)
	}
	return nil
}

// serve is take for the runner that came because the queue was announced. Only serve ends the announcement: when a
// caller takes a batch, the queue stays runnable in the pool, and a second announcement would be one too many.
func (q *Queue) serve(now int64) *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.announced = false
	return q.takeLocked(now)
}

// take returns the oldest batch that may leave, which the caller must run; nil if there is none.
func (q *Queue) take(now int64) *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.takeLocked(now)
}

func (q *Queue) takeLocked(now int64) *batch {
	b := q.oldest(now)
	if b == nil {
		q.announce(now, false) // sets the clock for a batch that is held
		return nil
	}
	q.chunkNext = b.how != chunked
	if b.state == batchReady {
		list := q.line(b)
		*list = (*list)[:copy(*list, (*list)[1:])]
		q.backlog -= b.predicted
	} else {
		c := causeIdle
		switch {
		case q.closing:
			c = causeClose
		case now >= b.dueAt:
			c = causeDue
		}
		q.flush(b, c)
	}
	q.start(b)
	q.announce(now, false) // another may be ready
	return b
}

// start makes b running. The lock is held.
func (q *Queue) start(b *batch) {
	b.state = batchRunning
	q.running++
	if q.o.Policy != Off {
		q.queued -= b.n
	}
}

// finish makes b answering.
func (q *Queue) finish(b *batch, now int64) {
	q.count.dropped.Add(uint64(b.n - len(b.live)))
	if len(b.live) == 0 {
		q.count.empty.Add(1)
	}
	q.mu.Lock()
	b.state = batchAnswering
	q.running--
	if b.called {
		q.calling--
	}
	if q.o.Policy == Off {
		q.queued -= b.n
	}
	q.announce(now, false) // MaxRunners may have held a batch back
	q.mu.Unlock()
}

// free takes an answered batch back.
func (q *Queue) free(b *batch) {
	for i := range b.inputs { // a free batch must not keep texts from being collected
		if c := &b.inputs[i]; c.Type == engine.Text {
			clear(c.Text[:b.n*c.Width])
		}
	}
	q.mu.Lock()
	b.state = batchFree
	clear(b.slots[:b.n])
	q.idle = append(q.idle, b)
	last := q.lastOut()
	q.mu.Unlock()
	if last {
		q.destroy()
	}
}
