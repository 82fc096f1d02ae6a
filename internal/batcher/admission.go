package batcher

// admit returns why n rows are not taken in, or nil if they are.
func (q *Queue) admit(n int, w way, now, deadline int64) error {
	if q.closing {
		return ErrClosed
	}
	if !q.room(n, w) || q.batchesFor(n, w) > len(q.idle) {
		q.reached++
		q.count.shedFull.Add(uint64(n))
		return errFull
	}
	if deadline != never && q.queued+q.running > 0 && now+q.expectedWait(n, w, now) > deadline {
		q.count.shedLate.Add(uint64(n))
		return errLate
	}
	return nil
}

// expectedWait predicts how long n more rows take to be answered if nothing more comes, in ns. It adds up the time until a
// runner is free, the batches before theirs at this queue's share of the runners, and the high estimate for their own.
// A queue that holds nothing is not asked: a row alone may always try, so that a wrong prediction is corrected.
func (q *Queue) expectedWait(n int, w way, now int64) int64 {
	if !q.curve.known() {
		return 0
	}
	if w.how == joins && q.open != nil {
		n += q.open.n
	}
	var before float64
	if full := (n - 1) / w.rows; full > 0 {
		mean, _ := q.curve.predict(w.rows)
		before = float64(full) * mean
		n -= full * w.rows
	}
	_, own := q.curve.predict(n)
	if w.how == alone && q.mayCall() { // no batch is before theirs
		return int64(before + own)
	}
	p := q.pool
	runners := min(len(p.runners), q.o.MaxRunners)
	return p.untilFree(now) + int64((float64(q.backlog)+before)*p.contention(q)/float64(runners)+own)
}

// setDue sets when b must leave: after MaxWait, or early enough for its earliest deadline. If no run time is known, the batch
// waits for at most half of the time to the deadline.
func (q *Queue) setDue(b *batch) {
	b.dueAt = b.opened + int64(q.o.MaxWait)
	if b.deadline == never {
		return
	}
	latest := b.opened + (b.deadline-b.opened)/2
	if q.curve.known() {
		_, high := q.curve.predict(b.n)
		latest = b.deadline - int64(high) - wakeUp
	}
	b.dueAt = min(b.dueAt, latest)
}

// wakeUp is the time allowed for waking a runner before a run and its callers after it, in ns.
const wakeUp = 100e3
