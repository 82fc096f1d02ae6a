package httpd

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	scarceFor    = 10 * time.Millisecond  // how long after a refusal workers give way
	giveWayEvery = 400 * time.Microsecond // least time between two yields of all threads together: each costs the thread a time slice
)

// refusing records that a request was refused.
func (l *loop) refusing() { l.scarce.Store(l.clock.Load() + int64(scarceFor)) }

// giveWay yields the caller's core while requests are refused. Linux chooses the next thread when a thread wakes or
// sleeps, and at each timer tick (4 ms at 250 Hz). In an overload the threads that answer auctions do not sleep. So the
// loop, or a peer on the same machine, may wait for a whole tick when it wakes, and refusals wait with it
// (docs/decisions/0015-giving-way.md).
func (l *loop) giveWay() {
	if !l.givesWay || l.scarce.Load() == 0 || !l.due(l.now()) {
		return
	}
	unix.RawSyscallNoError(unix.SYS_SCHED_YIELD, 0, 0, 0) // the goroutine keeps its P
}

// due says whether the caller must give way now. If it returns true, the caller counts as having done so.
func (l *loop) due(now int64) bool {
	last := l.gaveWay.Load()
	return now < l.scarce.Load() && now-last >= int64(giveWayEvery) && l.gaveWay.CompareAndSwap(last, now)
}
