package batcher

// When a batch whose rows are all committed may go, before it is full or due. (Under off no batch is ever open between
// claims, and this is not asked.)
//
//	window    at opened + MaxWait (or in time for the earliest deadline): its due time.
//	eager     at once. It goes when a runner takes it, and is open until then.
//	adaptive  when holding it for one more claim would no longer pay:
//
//	              h(n) · a · w/(1−ρ)³  ≤  n / μ
//
// n is the rows it holds; claims arrive at μ a second (over about 20 ms); a is the CPU that is saved when two batches are
// joined (see price); h(n) is the share of holds at n rows that lately brought a claim.
// So n/μ is the waiting (rows × seconds) that holding for one more claim costs, and h·a the CPU it is expected to save.
// A second of CPU is worth w seconds of waiting (Patience) where processors are idle, and 1/(1−ρ)³ times as much where
// they are not: by that factor every bit of load adds to the mean square of the time in an M/M/1 queue,
// 2/(μ(1−ρ))². The square, for it is long times that come late. ρ is the load there would be if each claim were run
// alone (see load): with the load that there is, holding would undo its own reason.
//
// So batches grow to about a·w·μ/(1−ρ)³ rows: each then waits half of a·w/(1−ρ)³ in the mean, whatever the rate; below a
// rate of (1−ρ)³/(a·w) nothing waits. Holding goes on while a runner is free or none is: a batch taken by the first
// runner that comes would carry the few rows that arrived during the run before it, and every second batch would be small.
//
// Nor is a batch held once that would save little of what its k claims cost as it is: where a/k is below a fiftieth of c − a,
// c being the CPU that a claim takes in all when it is run alone (see load).
//
// Claims do not always come as they came. h(n) learns where they end: if 32 callers each wait for their answer before
// they claim again, a batch of 32 is not held, though one of 31 is. And nothing is held for longer than what it saves is
// worth to its first row, a·w/(1−ρ)³ from its opening, nor for longer than silence gaps since the last claim, which a
// Poisson stream hardly ever leaves, nor beyond its due time. Each commit asks anew.
func (q *Queue) mayGoAt(b *batch, now int64) int64 {
	switch {
	case q.closing:
		return now
	case q.o.Policy == Window:
		return b.dueAt
	case q.o.Policy == Eager || q.o.Patience < 0 || !q.price.known():
		return now
	}
	b.look = false
	gap := q.arrivals.gap()
	switch {
	case gap <= 0:
		return now
	case q.mayLook(gap) && q.looks.due(now):
		b.look = true
		return now
	case now+int64(gap) >= b.dueAt:
		return now
	}
	saves := q.price.ofBatch()
	if rest := q.pool.load.cost() - saves; saves < little*float64(b.claims)*rest {
		return now
	}
	idle := 1 - min(q.pool.scarcity(), maxLoad)
	worth := saves * q.o.Patience / (idle * idle * idle)
	cost := float64(b.n) * gap
	until := min(b.dueAt, b.opened+int64(worth), now+int64(silence*gap))
	if worth <= cost || until <= now || !q.holds.try(b.n, worth, cost) {
		return now
	}
	b.heldAt = b.n
	return until
}

const (
	maxLoad = 0.8 // beyond it a batch is worth all the waiting there may be, and a factor of 125 enough
	silence = 8
	little  = 1.0 / 50
)

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

// Crowded says that so many claims come that one is likely to be joined by others: the next is expected before a row alone
// would have been run. Where it is false, a caller does best to Wait, for it may run its own batch; under Off it always is.
func (q *Queue) Crowded() bool {
	if q.o.Policy == Off {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	mean, _ := q.curve.predict(1)
	gap := q.arrivals.gap()
	return gap > 0 && gap < mean
}

// holds learns, by the rows a batch held, which share of holds brings a claim; the queue's lock guards it.
type holds struct {
	at [heldSizes]hold
}

// hold is what is known of one size.
type hold struct {
	failed  float32 // 1 − the share of holds that lately brought a claim, so that the zero value trusts
	skipped uint16  // chances left out since the last hold
}

const (
	heldSizes = 257 // sizes from 256 rows on are one
	retryHold = 512 // so many chances to hold are left out before one is tried against expectation
	heldShare = 1.0 / 8
)

func (h *holds) of(rows int) *hold { return &h.at[min(rows, heldSizes-1)] }

// try says whether to hold at so many rows, which would be worth it if holds always brought a claim.
func (h *holds) try(rows int, worth, cost float64) bool {
	k := h.of(rows)
	if float64(1-k.failed)*worth > cost || k.skipped >= retryHold {
		return true
	}
	k.skipped++
	return false
}

// paid: a hold brought a claim. One that was tried against expectation is tried again.
func (h *holds) paid(rows int) {
	k := h.of(rows)
	k.failed -= k.failed * heldShare
}

func (h *holds) inVain(rows int) {
	k := h.of(rows)
	k.failed, k.skipped = k.failed+(1-k.failed)*heldShare, 0
}

// pace estimates how often something happens; the queue's lock guards it.
type pace struct {
	last int64
	rate float64 // per ns
}

const paceWindow = 20e6 // ns

// add moves the rate by r ← (r·τ + 1)/(τ + gap), whose fixed point for a steady gap is 1/gap.
func (a *pace) add(now int64) {
	if a.last > 0 {
		a.rate = (a.rate*paceWindow + 1) / (paceWindow + float64(now-a.last))
	}
	a.last = now
}

// gap is the expected ns between two, 0 where it is not known.
func (a *pace) gap() float64 {
	if a.rate == 0 {
		return 0
	}
	return 1 / a.rate
}
