package batcher

import "gavel/internal/engine"

// committed is called when b has no row pending, or had a moment ago. With inline, it may return a runner's licence:
// the caller then runs a batch itself. Under Off it runs b, which nobody else knows of. Where Close has given up, runners
// and the clock may be gone: the caller answers b, without the engine.
func (q *Queue) committed(b *batch, now int64, inline bool) *runner {
	q.mu.Lock()
	if q.o.Policy == Off && q.running < q.o.MaxRunners && len(q.ready) == 0 {
		q.ahead -= b.predicted
		q.start(b)
		q.mu.Unlock()
		q.count.inline.Add(1)
		q.run(b, nil)
		return nil
	}
	switch {
	case b.pending.Load() != 0:
		q.mu.Unlock()
		return nil
	case b.state == batchSealed:
		q.makeReady(b)
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

// abort answers every batch that is ready with ErrClosed.
func (q *Queue) abort() {
	for b := q.take(q.pool.now()); b != nil; b = q.take(q.pool.now()) {
		q.run(b, nil)
	}
}

// seal closes the open batch to new rows; the lock is held.
func (q *Queue) seal(b *batch, c cause, now int64) {
	q.flush(b, c)
	q.ahead += b.predicted
	if b.pending.Load() > 0 {
		b.state = batchSealed
		return
	}
	q.makeReady(b)
	q.announce(now, false)
}

func (q *Queue) makeReady(b *batch) {
	b.state = batchReady
	q.ready = append(q.ready, b)
}

// flush counts b's end as the open batch.
func (q *Queue) flush(b *batch, c cause) {
	q.open = nil
	b.cause = c
	mean, _ := q.curve.predict(b.n)
	b.predicted = int64(mean)
	q.batches++
	q.flushes[c]++
	q.hist.batchRows.addRows(b.n)
}

// oldest is the batch that a runner would take now, nil if none; the lock is held.
func (q *Queue) oldest(now int64) *batch {
	if q.running >= q.o.MaxRunners && !q.aborted.Load() {
		return nil
	}
	if len(q.ready) > 0 {
		return q.ready[0]
	}
	if b := q.open; b != nil && b.n > 0 && b.pending.Load() == 0 && now >= b.goAt {
		return b
	}
	return nil
}

// announce asks the pool for a runner if one is wanted and not yet asked for; the lock is held. With inline, an idle
// runner's licence may be returned instead.
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
	if after := int64(q.o.RescueAfter); after >= 0 { // for hint, if no runner comes; the one announced may come to another batch
		at := b.dueAt + after
		if at <= now { // a tick has looked
			at = now + after
		}
		q.pool.clock.alarm(at)
	}
	return nil
}

// serve is take for the runner that came because the queue was announced. It alone ends the announcement: another who
// takes a batch leaves the pool's entry where it is, and a second one would be one too many.
func (q *Queue) serve(now int64) *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.announced = false
	return q.takeLocked(now)
}

// take gives the oldest batch that may go to the caller, who must run it; nil if there is none.
func (q *Queue) take(now int64) *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.takeLocked(now)
}

func (q *Queue) takeLocked(now int64) *batch {
	b := q.oldest(now)
	if b == nil {
		q.announce(now, false) // sets the alarm for one that is held
		return nil
	}
	if b.state == batchReady {
		q.ready = q.ready[:copy(q.ready, q.ready[1:])]
		q.ahead -= b.predicted
	} else {
		c := causeIdle
		switch {
		case q.closing:
			c = causeStop
		case now >= b.dueAt:
			c = causeDue
		}
		q.flush(b, c)
	}
	q.start(b)
	q.announce(now, false) // another may be ready
	return b
}

// start makes b running; the lock is held.
func (q *Queue) start(b *batch) {
	b.state = batchRunning
	q.running++
	if q.o.Policy != Off {
		q.queued -= b.n
	}
}

// ran ends b's running: from here on only its runner looks at its tickets.
func (q *Queue) ran(b *batch, now int64) {
	q.count.dropped.Add(uint64(b.n - len(b.live)))
	if len(b.live) == 0 {
		q.count.empty.Add(1)
	}
	q.mu.Lock()
	b.state = batchAnswering
	q.running--
	if q.o.Policy == Off {
		q.queued -= b.n
	}
	q.announce(now, false) // MaxRunners may have held one back
	q.mu.Unlock()
}

// free takes an answered batch back.
func (q *Queue) free(b *batch) {
	engine.Clear(b.texts, 0, b.n) // or they would live as long as the batch
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
