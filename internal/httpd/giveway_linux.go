package httpd

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	scarceFor    = 10 * time.Millisecond  // after a refusal
	giveWayEvery = 400 * time.Microsecond // at most, all threads together: each time costs the one a slice of its part
)

// refusing tells that a request was refused.
func (l *loop) refusing() { l.scarce.Store(l.clock.Load() + int64(scarceFor)) }

// giveWay offers the caller's core to whoever waits for it, while requests are refused. Linux looks whose turn it is when
// a thread wakes or sleeps, and at each tick, 4 ms at 250 Hz. In an overload threads that answer auctions do not sleep; so
// who woke a moment after one of them had got the core, be it the loop or a peer beside it, may wait that long, and a
// refusal with it (docs/decisions/0015-giving-way.md).
func (l *loop) giveWay() {
	if !l.givesWay || l.scarce.Load() == 0 || !l.due(l.now()) {
		return
	}
	unix.RawSyscallNoError(unix.SYS_SCHED_YIELD, 0, 0, 0) // the goroutine keeps its place
}

// due says whether the caller is to give way now, which it must do then.
func (l *loop) due(now int64) bool {
	last := l.gaveWay.Load()
	return now < l.scarce.Load() && now-last >= int64(giveWayEvery) && l.gaveWay.CompareAndSwap(last, now)
}
