// Package throttle limits the log lines about single requests, so that they do not flood the log.
package throttle

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// Line is a throttled log line: it is written at most once a second, with the number of lines that were suppressed
// since. The zero value is ready. It is safe for concurrent use.
type Line struct {
	last       atomic.Int64 // Unix ns
	suppressed atomic.Int64
}

// Due reports whether the line may be written now, and how many lines were suppressed since the last one.
func (l *Line) Due(now time.Time) (suppressed int64, ok bool) {
	last := l.last.Load()
	if now.UnixNano()-last < int64(time.Second) || !l.last.CompareAndSwap(last, now.UnixNano()) {
		l.suppressed.Add(1)
		return 0, false
	}
	return l.suppressed.Swap(0), true
}

// Warn writes the line with the attributes in args, if it is due.
func (l *Line) Warn(log *slog.Logger, message string, args ...any) {
	if suppressed, ok := l.Due(time.Now()); ok {
		log.Warn(message, append(args, "not_logged", suppressed)...)
	}
}
