package batcher

import (
	"math"
	"time"
)

// When a batch leaves. A full batch leaves at once. One that is not full leaves, by the queue's policy,
//
//	window    MaxWait after its opening;
//	eager     at once, that is when a runner takes it;
//	adaptive  after W, as follows;
//	off       at once, for its caller runs it.
//
// Under each of them it leaves earlier if its earliest deadline asks for that (see setDue), and never before its last row is
// written. A batch that may leave stays open until a runner is free, and so grows while all are busy.
//
// # The model of adaptive
//
// A run costs CPU besides its rows: threads wake, caches are refilled, the engine is called. The claims of a batch (a claim is
// one caller's rows) share that cost, so that waiting for company saves CPU. Where processors are idle, the CPU saved is worth
// nothing, and no row should wait. Where they are busy, it shortens the queue of everything else. So a batch is held from its
// opening for
//
//	W = MaxWait · min((u / highLoad)³, 1)
//
// u is the share of its processors that this process uses (see load). At highLoad and above, rows wait MaxWait; at half of
// highLoad an eighth of it. Holding makes claims cheaper, which lowers u, which shortens W: the law corrects itself.
//
// Three rules keep a batch from waiting in vain. Two need the gap, which is the mean time between two claims, over about
// MaxWait (see pace):
//
//   - Where a run is expected to cost less than leastRun besides its rows, sharing it saves less than holding costs: to let a
//     batch go later, the clock's thread must be woken. The batch leaves at once.
//   - Where W < gap, less than one claim is expected within W. The batch leaves at once.
//   - If no claim comes for four gaps (silence · gap) after the last one was committed, the batch leaves. Callers may all wait
//     for their answers before they claim again: where there are 32, a batch of 32 rows waits in vain. A Poisson stream makes a
//     pause of four gaps once in e⁴ = 55 claims.
//
// So a batch that opens at 0, and whose last claim so far was committed at t, leaves at
//
//	t                          if W < gap, or a run costs less than leastRun besides its rows
//	min(W, t + silence · gap)  else; but not before t
//
// Leave is this formula. Each commit sets the instant anew, with the u and the gap of then; the clock lets the batch go when
// it has come.
//
// The model has five constants: highLoad, the power 3, silence, leastRun, and loadMemory in load.go.
// docs/decisions/0006-adaptive.md tells how they were chosen.
const (
	highLoad = 0.6
	silence  = 4
	leastRun = 20e3 // ns
)

// Leave is when the adaptive policy lets a batch go that is not full and has no deadline, from its opening on. Its last
// claim was committed lastClaim after the opening; claims come one a gap (0: not known, none is expected); u is the share
// of the processors that this process uses. A result of lastClaim means at once.
func Leave(maxWait, gap time.Duration, u float64, lastClaim time.Duration) time.Duration {
	hold := window(maxWait, gap, u)
	return max(lastClaim, min(hold, lastClaim+silence*gap))
}

// window is W, or 0 where less than one claim is expected within it.
func window(maxWait, gap time.Duration, u float64) time.Duration {
	w := time.Duration(math.Round(float64(maxWait) * min(math.Pow(u/highLoad, 3), 1)))
	if gap <= 0 || w < gap {
		return 0
	}
	return w
}

// mayGoAt is when b, whose rows are all committed, may go.
func (q *Queue) mayGoAt(b *batch, now int64) int64 {
	switch {
	case q.closing:
		return now
	case q.o.Policy == Window:
		return b.dueAt
	case q.o.Policy == Eager:
		return now
	}
	if q.cheap() {
		return now
	}
	leave := Leave(q.o.MaxWait, time.Duration(q.arrivals.gap()), q.pool.load.share(), time.Duration(now-b.opened))
	return min(b.opened+int64(leave), max(b.dueAt, now))
}

// hold is how long a batch is held now while claims go on coming.
func (q *Queue) hold() time.Duration {
	if q.o.Policy != Adaptive || q.cheap() {
		return 0
	}
	return window(q.o.MaxWait, time.Duration(q.arrivals.gap()), q.pool.load.share())
}

// cheap says that a run costs less than leastRun besides its rows, as far as is known.
func (q *Queue) cheap() bool {
	fixed, ok := q.cpu.fixed()
	return ok && fixed < leastRun
}

// mayInline says whether the caller that completes a batch may run it in its own goroutine, in place of an idle runner. That
// saves two thread switches, but the caller's processor is then not free for callers that might have joined. So it is
// allowed only if less than one claim is expected during the run.
func (q *Queue) mayInline(rows int) bool {
	if q.pool.o.Nice > 0 { // the caller's thread is not nice
		return false
	}
	mean, _ := q.curve.predict(rows)
	return q.arrivals.gap() >= mean
}

// pace estimates how often something happens; the queue's lock guards it.
type pace struct {
	memory float64 // τ, ns
	last   int64
	rate   float64 // per ns
}

// add moves the rate by r ← (r·τ + 1)/(τ + gap), whose fixed point for a steady gap is 1/gap.
func (a *pace) add(now int64) {
	if a.last > 0 {
		a.rate = (a.rate*a.memory + 1) / (a.memory + float64(now-a.last))
	}
	a.last = now
}

// gap is the expected time to the next, in ns; 0 if it is not known.
func (a *pace) gap() float64 {
	if a.rate == 0 {
		return 0
	}
	return 1 / a.rate
}
