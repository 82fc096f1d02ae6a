package batcher

// tick does what time brings: expires tickets, seals a due batch that is still written to, announces what may go, and
// asks a caller to run what lies too long. It returns when to look again.
func (q *Queue) tick(now int64) int64 {
	next := q.look(now)
	for i, t := range q.overdue {
		q.overdue[i] = nil
		t.ended()
	}
	q.overdue = q.overdue[:0]
	return next
}

// look is tick, but for telling receivers, which are not called under the lock, that their tickets have expired.
func (q *Queue) look(now int64) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := never
	for _, b := range q.all {
		if b.state == batchFree || b.state == batchAnswering {
			continue
		}
		if b.deadline <= now {
			b.deadline = never
			b.tickets(func(t *Ticket, _ int) {
				switch {
				case !t.overdue(now):
				case t.receiver != nil: // whose reference keeps it until it is told
					q.overdue = append(q.overdue, t)
				default: // under the lock, while its batch's reference keeps it: its caller may see by itself that it has expired
					t.ended()
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
	return min(next, q.hint(now))
}

// hint asks a waiting caller to run the oldest batch, if that has lain for RescueAfter since it was due; where none of its
// callers waits, for all have left it to receivers, a goroutine does. It returns when to look again.
func (q *Queue) hint(now int64) int64 {
	b := q.oldest(now)
	if b == nil || q.o.RescueAfter < 0 || q.rescuing > 0 {
		return never
	}
	at := b.dueAt + int64(q.o.RescueAfter)
	if now < at {
		return at
	}
	again, hinted, left := now+int64(q.o.RescueAfter), false, false
	b.tickets(func(t *Ticket, _ int) {
		switch {
		case hinted || t.state.Load() != ticketWaiting:
		case t.receiver != nil:
			left = true
		case len(t.wake) == 0:
			t.wake <- signalHint
			hinted = true
		}
	})
	if left && !hinted {
		q.rescuing++
		q.pool.ended.Go(q.rescueOldest)
	}
	return again
}

// rescue has the caller's goroutine run the oldest batch, if no runner has come by now.
func (q *Queue) rescue() {
	q.mu.Lock()
	q.rescuing++
	q.mu.Unlock()
	q.rescueOldest()
}

// rescueOldest is rescue, once it is counted in rescuing.
func (q *Queue) rescueOldest() {
	if b := q.take(q.pool.now()); b != nil {
		q.count.rescued.Add(1)
		q.run(b, nil)
	}
	q.mu.Lock()
	q.rescuing--
	now := q.pool.now()
	if q.oldest(now) != nil {
		q.pool.clock.alarm(now + int64(q.o.RescueAfter))
	}
	q.mu.Unlock()
}

// runInline runs a batch in the caller's goroutine, on the licence of a runner that stays asleep.
func (q *Queue) runInline(r *runner) {
	if b := q.take(q.pool.now()); b != nil {
		q.count.inline.Add(1)
		q.run(b, r)
	}
	q.pool.giveBack(r)
}
