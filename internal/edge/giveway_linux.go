package edge

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	scarceFor    = 10 * time.Millisecond  // after a refusal
	giveWayEvery = 400 * time.Microsecond // at most: it costs the thread 0.1 ms of its part of the processors
)

// giveWay offers the caller's core to whoever waits for it, while requests are refused. Linux looks whose turn it is when
// a thread wakes or sleeps, and every 4 ms. In an overload threads that answer auctions do not sleep; so whoever woke a
// moment after one of them had got the core, be it the loop or the peer, may wait that long, and a refusal with it
// (docs/decisions/0009-overload.md). It reports whether it did.
func (l *loop) giveWay() bool {
	now, last := l.now(), l.gaveWay.Load()
	if now >= l.scarce.Load() || now-last < int64(giveWayEvery) || !l.gaveWay.CompareAndSwap(last, now) {
		return false
	}
	_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // it never fails; the goroutine keeps its place
	return true
}
