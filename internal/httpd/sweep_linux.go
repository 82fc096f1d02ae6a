package httpd

import (
	"math"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// never is conn.since of a closing connection that does not linger yet.
const never = math.MaxInt64

// sweep runs once a tick. It ends what has waited too long and renews the date.
func (l *loop) sweep() {
	now := l.clock.Load()
	if now-l.swept < int64(tick) {
		return
	}
	l.swept = now
	l.renewDate()
	for _, c := range l.slots {
		if c != nil {
			l.expire(c, now)
		}
	}
	if now-l.trimmed >= int64(trimEvery) {
		l.trimmed = now
		l.server.workers.trim()
	}
	if l.acceptPaused && l.listener >= 0 && l.watch(l.listener, unix.EPOLLIN, listenerSlot, 0) == nil {
		l.acceptPaused = false
	}
}

func (l *loop) expire(c *conn, now int64) {
	o := &l.server.options
	switch c.state.Load() {
	case idle:
		switch {
		case len(c.held) > 0:
			if now-c.began >= int64(o.ReadTimeout) {
				l.fail(c, tookTooLong)
			}
		case now-c.since >= int64(o.IdleTimeout):
			l.close(c)
		}
	case waiting:
		if now >= c.deadline.Load() && c.state.CompareAndSwap(waiting, busy) {
			c.worker.late = true
			c.worker.wake <- struct{}{}
		}
	case closing:
		if c.since != never && now-c.since >= int64(lingerTime) {
			l.close(c)
		}
	}
}

// renewDate renews the date and the answers to refused requests, which contain it.
func (l *loop) renewDate() {
	date := fasthttp.AppendHTTPDate(nil, time.Now())
	l.date.Store(&date)
	gate := l.server.options.Gate
	if gate == nil {
		return
	}
	var r fasthttp.ResponseHeader
	r.SetStatusCode(gate.Status)
	r.SetNoDefaultContentType(true)
	l.answers = r.AppendBytes(l.answers[:0])
	for one := len(l.answers); len(l.answers) < refuseMost*one; {
		l.answers = append(l.answers, l.answers[:one]...)
	}
}

// stop closes the listener and idle connections, and reports whether all connections are closed. Connections and requests
// that have arrived before are served.
func (l *loop) stop() bool {
	if l.listener >= 0 {
		l.accept()
		_ = unix.Close(l.listener)
		l.listener = -1
	}
	now := l.clock.Load()
	for _, c := range l.slots {
		if c == nil || c.state.Load() != idle || len(c.held) > 0 || !c.used && now-c.since < int64(newGrace) {
			continue
		}
		l.receive(c, false)
		if c.state.Load() == idle && len(c.held) == 0 {
			l.close(c)
		}
	}
	return l.server.counts.open.Load() == 0
}
