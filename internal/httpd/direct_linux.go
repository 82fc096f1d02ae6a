package httpd

import (
	"time"

	"golang.org/x/sys/unix"
)

// direct offers a whole request that the gate let pass to the Direct handler, and reports whether the handler took it.
func (l *loop) direct(c *conn, f *frame, data []byte, more bool) bool {
	d := l.server.options.Direct
	if d == nil || more || f.kind != simple || !f.hasHost || f.excepted || f.size() != len(data) || l.server.draining.Load() {
		return false
	}
	call := &c.call
	call.Method, call.Path, call.Body = f.method, f.path, data[f.head:]
	call.Received = l.start.Add(time.Duration(c.began))
	call.loop, call.conn, call.closes = l, c, false
	c.state.Store(busy) // before Begin: the answer may come at once
	c.used = true
	taken := d.Begin(call)
	call.Method, call.Path, call.Body = nil, nil, nil
	if !taken {
		c.state.Store(idle)
		return false
	}
	l.discard(c)
	return true
}

// answered hands a connection whose call has been answered to the loop. Any goroutine may call it.
func (l *loop) answered(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replies.add(c)
	l.replied.Store(true)
	// Only the first reply wakes the loop: with others before it, the loop is awake or has been woken. It is woken
	// under the lock, because the loop may end, and close the waker, as soon as it can take the last connection's
	// answer.
	if len(l.replies.waiting) == 1 && l.asleep.Load() {
		l.wakeUp()
	}
}

// deliver writes the answers that calls have got since it ran last.
func (l *loop) deliver() {
	if !l.replied.Load() {
		return
	}
	l.replied.Store(false)
	l.mu.Lock()
	answered := l.replies.take()
	l.mu.Unlock()
	for _, c := range answered {
		l.reply(c)
	}
}

// reply writes an answer and makes its connection idle.
func (l *loop) reply(c *conn) {
	out := c.call.out
	n, errno := write(c.fd, out)
	for errno == unix.EINTR {
		n, errno = write(c.fd, out)
	}
	if cap(out) > maxKept {
		c.call.out = nil
	}
	if errno != 0 || n != len(out) {
		l.close(c)
		return
	}
	if c.call.closes {
		l.lingerOn(c)
		return
	}
	c.since = l.clock.Load()
	if c.state.Swap(idle) == pending { // data arrived meanwhile; epoll does not report it again
		l.receive(c, true)
	}
}
