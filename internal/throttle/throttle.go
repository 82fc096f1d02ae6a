// Package throttle keeps what happens to single requests from flooding the log.
package throttle

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// Line is a log line that is written once a second at most, with the number of those not written since. The zero value
// is ready; it is safe for concurrent use.
type Line struct {
	last atomic.Int64 // Unix ns
	held atomic.Int64
}

// Due reports whether the line is to be written now, and how many were not since it last was.
func (l *Line) Due(now time.Time) (held int64, ok bool) {
	last := l.last.Load()
	if now.UnixNano()-last < int64(time.Second) || !l.last.CompareAndSwap(last, now.UnixNano()) {
		l.held.Add(1)
		return 0, false
	}
	return l.held.Swap(0), true
}

// Warn writes the line, if it is due, with the attributes in args.
func (l *Line) Warn(log *slog.Logger, message string, args ...any) {
	if held, ok := l.Due(time.Now()); ok {
		log.Warn(message, append(args, "not_logged", held)...)
	}
}
