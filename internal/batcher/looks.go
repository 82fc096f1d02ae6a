package batcher

// mayLook says whether claims leave room to run them alone, but for a short while: 32 runs against half as much room leave as
// many claims behind. What a claim alone costs may be thought far too much, above all where calibration alone has told it,
// and if that forbade looking nothing would ever correct it. Callers that wait for their answers, who would be parted by a
// look, come closer one after the other than even a quarter of a run.
func (q *Queue) mayLook(gap float64) bool {
	if q.price.sure() {
		return gap >= q.price.ofOne()/2
	}
	return gap >= q.price.ofOne()/4
}

// looks has the adaptive policy run claims alone for a moment, now and then, to see what that costs: no other way tells it
// while batches are large. The queue's lock guards it.
type looks struct {
	first, next, until int64 // ns on the pool's clock
	left               int   // runs that this one still wants to see
}

const (
	lookRuns  = 32    // of one claim, or
	lookFor   = 20e6  // ns, whichever comes first
	lookFirst = 1e9   // ns after the first claims; each look is as late again as the one before, until there are
	lookEvery = 10e9  // ns between them
	lookPause = 100e6 // ns without a claim, after which it all begins anew: what comes next finds everything cold
)

// due says whether this is such a moment.
func (l *looks) due(now int64) bool {
	switch {
	case now < l.until && l.left > 0:
		return true
	case l.first == 0:
		l.first, l.next = now, now+lookFirst
	case now >= l.next:
		l.until, l.next, l.left = now+lookFor, now+min(now-l.first, lookEvery), lookRuns
		return true
	}
	return false
}

func (l *looks) restart() { *l = looks{} }

// saw takes a batch that was run, and says whether it was looked for.
func (l *looks) saw(b *batch) bool {
	if b.lookedAt() {
		l.left--
	}
	return b.look
}
