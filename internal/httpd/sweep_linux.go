package httpd

import (
	"math"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// never is the time when a connection began to linger that has not.
const never = math.MaxInt64

// sweep ends, once a tick, what has waited too long, and renews what ages.
func (l *loop) sweep() {
	now := l.clock.Load()
	if now-l.swept < int64(tick) {
		return
	}
	l.swept = now
	l.tell()
	for _, c := range l.slots {
		if c != nil {
			l.expire(c, now)
		}
	}
	if now-l.trimmed >= int64(trimEvery) {
		l.trimmed = now
		l.server.workers.trim()
	}
	if l.deaf && l.listener >= 0 && l.watch(l.listener, unix.EPOLLIN, listenerSlot, 0) == nil {
		l.deaf = false
	}
}

func (l *loop) expire(c *conn, now int64) {
	o := &l.server.options
	switch c.state.Load() {
	case idle:
		switch {
		case len(c.held) > 0:
			if now-c.began >= int64(o.ReadTimeout) { // fasthttp answers
				l.dispatch(c, c.held, task{unread: true, late: true})
			}
		case c.asked && now-c.since >= int64(o.IdleTimeout), !c.asked && now-c.since >= int64(o.ReadTimeout):
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

// tell renews the date, and the answers to refused requests, which bear it.
func (l *loop) tell() {
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

// stop closes the listener and what nothing is asked on, and reports whether nothing is left. The server is stopping.
func (l *loop) stop() bool {
	if l.listener >= 0 {
		_ = unix.Close(l.listener)
		l.listener = -1
	}
	now := l.clock.Load()
	for _, c := range l.slots {
		if c != nil && c.state.Load() == idle && len(c.held) == 0 && (c.asked || now-c.since >= int64(newGrace)) {
			l.close(c)
		}
	}
	return l.server.counts.open.Load() == 0
}
