package batcher

// tick does what is due at now: it expires tickets, seals a due batch that is still written to, announces batches that may
// leave, and has a batch rescued that no runner took. It returns when it must be called again.
func (q *Queue) tick(now int64) int64 {
	next := q.tickLocked(now)
	for i, t := range q.overdue {
		q.overdue[i] = nil
		t.signalEnd()
	}
	q.overdue = q.overdue[:0]
	return next
}

// tickLocked is tick without telling receivers that their tickets have expired: they are not called under the lock.
func (q *Queue) tickLocked(now int64) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := never
	for _, b := range q.all {
		if b.state == batchFree || b.state == batchAnswering {
			continue
		}
		if b.deadline <= now {
			b.deadline = never
			b.tickets(func(t *Ticket, _, _ int) {
				switch {
				case !t.tryExpire(now):
				case t.receiver != nil: // the ticket stays valid until its receiver has been called
					q.overdue = append(q.overdue, t)
				default: // under the lock, since only the batch keeps it valid: its caller may find by itself that it has expired
					t.signalEnd()
				}
				if t.deadline > now {
					b.deadline = min(b.deadline, t.deadline)
				}
			})
		}
		next = min(next, b.deadline)
	}
	if b := q.open; b != nil && b.n > 0 {
		if now < b.dueAt {
			next = min(next, b.dueAt)
		} else if b.pending.Load() > 0 {
			q.seal(b, causeDue, now)
		} else {
			b.goAt = min(b.goAt, now)
		}
		if b.goAt > now {
			next = min(next, b.goAt)
		}
	}
	q.announce(now, false)
	return min(next, q.callRescuer(now))
}

// callRescuer has the oldest batch run by one of its waiting callers, if it has been due for RescueAfter. If no caller waits,
// because all have left with Then, a goroutine runs it. It returns when it must be called again.
func (q *Queue) callRescuer(now int64) int64 {
	b := q.oldest(now)
	if b == nil || q.o.RescueAfter < 0 || q.rescuing > 0 {
		return never
	}
	if b.how == chunked && q.running > q.calling { // it waits for the chunks before it
		return now + int64(q.o.RescueAfter)
	}
	at := b.dueAt + int64(q.o.RescueAfter)
	if now < at {
		return at
	}
	called, left := false, false // a caller was signalled; one has left
	b.tickets(func(t *Ticket, _, _ int) {
		switch {
		case called || t.state.Load() != ticketWaiting:
		case t.receiver != nil:
			left = true
		case len(t.wake) == 0:
			t.wake <- signalRescue
			called = true
		}
	})
	if left && !called {
		q.rescuing++
		q.pool.ended.Go(q.rescueOldest)
	}
	return now + int64(q.o.RescueAfter)
}

// rescue runs the oldest batch in the caller's goroutine, unless a runner has taken it.
func (q *Queue) rescue() {
	q.mu.Lock()
	q.rescuing++
	q.mu.Unlock()
	q.rescueOldest()
}

// rescueOldest is rescue by a goroutine that rescuing counts already.
func (q *Queue) rescueOldest() {
	now := q.pool.now()
	if b := q.take(now); b != nil {
		q.count.rescued.Add(1)
		q.run(b, nil, now)
		now = q.pool.now()
	}
	q.mu.Lock()
	q.rescuing--
	if q.oldest(now) != nil {
		q.pool.clock.alarm(now + int64(q.o.RescueAfter))
	}
	q.mu.Unlock()
}

// runInline runs a batch in the caller's goroutine, with the runner r that commit borrowed.
func (q *Queue) runInline(r *runner) {
	now := q.pool.now()
	if b := q.take(now); b != nil {
		q.count.inline.Add(1)
		q.run(b, r, now)
	}
	q.pool.giveBack(r)
}
