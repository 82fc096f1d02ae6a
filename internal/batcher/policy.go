package batcher

// When a batch whose rows are all committed may go, before it is full or due.
//
//	window    at opened + MaxWait (or in time for the earliest deadline): its due time.
//	eager     at once. It goes when a runner takes it, and is open until then.
//	adaptive  at once where no runner is free, since it waits anyway. Else it is held only while that pays:
//
//	              s(n,m) · g  >  n / μ         g = ρ / (1 − ρ)
//
// n is the rows it holds; claims arrive at μ a second, of m rows in the mean (both over about 20 ms); s is what running
// n and m together saves in runner time, from the cost curve; ρ is the share of the runners' time that is used. So n/μ is
// the waiting (rows × seconds) that holding for one more claim costs, and s·g is what the saved runner time spares the
// rows behind it: in a queue with load ρ, one second of service more makes others wait ρ/(1−ρ) seconds. Idle runners
// make waiting worthless, and loaded ones make it pay. It is held for twice the expected gap 2/μ and never beyond its
// due time, and not at all where no claim is expected by then; each commit asks anew.
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
	gap := q.arrivals.gap(now)
	if gap <= 0 || now+int64(gap) >= b.dueAt {
		return now
	}
	load := min(q.pool.load(), 0.95)
	more := int(q.arrivals.rowsPerClaim + 0.5)
	more = min(max(more, 1), q.o.MaxRows-b.n)
	if q.curve.saving(b.n, more)*load/(1-load) <= float64(b.n)*gap {
		return now
	}
	return min(b.dueAt, now+int64(2*gap))
}

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

// gap is the expected ns between claims, 0 where it is not known. A silence longer than that counts.
func (a *arrivals) gap(now int64) float64 {
	if a.rate == 0 {
		return 0
	}
	return max(1/a.rate, float64(now-a.last))
}
