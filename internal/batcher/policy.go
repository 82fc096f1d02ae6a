package batcher

// When a batch whose rows are all committed may go, before it is full or due. (Under off no batch is ever open between
// claims, and this is not asked.)
//
//	window    at opened + MaxWait (or in time for the earliest deadline): its due time.
//	eager     at once. It goes when a runner takes it, and is open until then.
//	adaptive  at once where no runner is free, since it waits anyway. Else it is held only while that pays:
//
//	              h · s(n,m) · (w + ρ/(1−ρ))  >  n / μ
//
// n is the rows it holds; claims arrive at μ a second, of m rows in the mean (both over about 20 ms); s is what running
// n and m together saves in runner time, from the cost curve; h is the share of holds that lately brought a claim. So
// n/μ is the waiting (rows × seconds) that holding for one more claim costs, and h·s the runner time it is expected to
// save. A second of runner time is worth w seconds of waiting (Patience), and in a loaded pool ρ/(1−ρ) more: by so much
// it shortens the queue behind it, ρ being the share that is used of the runners' time, or of the process's CPUs if more.
//
// With runs that cost a + b·n, s is a, and batches grow to about a·w·μ rows: each row then waits a·w/2 in the mean,
// whatever the rate; below a rate of 1/(a·w) nothing waits. h matters where callers are few and each waits for its answer
// before it claims again: then holding brings nobody, h falls, and holding ends but for a try now and then.
//
// A batch is held for twice the expected gap, 2/μ, never beyond its due time, and not at all where no claim is expected
// by then; each commit asks anew.
func (q *Queue) mayGoAt(b *batch, now int64) int64 {
	switch {
	case q.closing:
		return now
	case q.o.Policy == Window:
		return b.dueAt
	case q.o.Policy == Eager:
		return now
	}
	if q.pool.idleRunners.Load() == 0 || !q.curve.known() {
		return now
	}
	gap := q.arrivals.gap()
	if gap <= 0 || now+int64(gap) >= b.dueAt {
		return now
	}
	if q.o.Patience < 0 {
		return now
	}
	load := min(q.pool.load(), 0.95)
	more := min(max(int(q.arrivals.rowsPerClaim+0.5), 1), q.o.MaxRows-b.n)
	worth := q.curve.saving(b.n, more) * (q.o.Patience + load/(1-load))
	cost := float64(b.n) * gap
	if worth <= cost || !q.holds.try(worth, cost) {
		return now
	}
	b.held = true
	return min(b.dueAt, now+int64(2*gap))
}

// mayInline says whether the caller who completes a batch may run it in its own goroutine, in place of an idle runner.
// That spares two switches of threads, but keeps the caller's processor from other callers, who might have joined: so
// only where less than one claim is expected during the run.
func (q *Queue) mayInline(rows int) bool {
	if q.pool.o.Nice > 0 { // the caller's thread is not
		return false
	}
	mean, _ := q.curve.predict(rows)
	return q.arrivals.gap() >= mean
}

// holds learns which share of holds brings a claim; the queue's lock guards it.
type holds struct {
	failed  float64 // 1 − the share of holds that lately brought a claim, so that the zero value trusts
	skipped int     // chances left out since the last hold
}

// retryHold is how many chances to hold are left out before one is tried against expectation.
const retryHold = 256

// try says whether to hold, which would be worth it if holds always brought a claim.
func (h *holds) try(worth, cost float64) bool {
	if (1-h.failed)*worth > cost || h.skipped >= retryHold {
		return true
	}
	h.skipped++
	return false
}

// paid: a hold brought a claim. One that was tried against expectation is tried again.
func (h *holds) paid() { h.failed -= h.failed / 8 }

func (h *holds) inVain() { h.failed, h.skipped = h.failed+(1-h.failed)/8, 0 }

// arrivals estimates how often claims come, and of how many rows; the queue's lock guards it.
type arrivals struct {
	last         int64
	rate         float64 // claims per ns
	rowsPerClaim float64
}

const arrivalWindow = 20e6 // ns

// add moves the rate by r ← (r·τ + 1)/(τ + gap), whose fixed point for a steady gap is 1/gap.
func (a *arrivals) add(now int64, rows int) {
	if a.last == 0 {
		a.last, a.rowsPerClaim = now, float64(rows)
		return
	}
	a.rate = (a.rate*arrivalWindow + 1) / (arrivalWindow + float64(now-a.last))
	a.last = now
	a.rowsPerClaim += (float64(rows) - a.rowsPerClaim) / 64
}

// gap is the expected ns between claims, 0 where it is not known.
func (a *arrivals) gap() float64 {
	if a.rate == 0 {
		return 0
	}
	return 1 / a.rate
}
