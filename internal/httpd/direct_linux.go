package httpd

import (
	"time"

	"golang.org/x/sys/unix"
)

// direct offers a whole request that the gate let pass to the Direct handler, and reports whether that took it.
func (l *loop) direct(c *conn, f *frame, data []byte, more bool) bool {
	d := l.server.options.Direct
	if d == nil || more || !f.hosted || f.but || f.size != len(data) || l.server.stopping.Load() {
		return false
	}
	body := data[f.head:]
	if len(body) > l.server.options.MaxBody {
		return false
	}
	call := &c.call
	call.Method, call.Path, call.Body = f.method, f.path, body
	call.Received = l.start.Add(time.Duration(c.began))
	call.loop, call.conn = l, c
	c.state.Store(busy) // first: the answer may come at once
	c.asked = true
	taken := d.Begin(call)
	call.Method, call.Path, call.Body = nil, nil, nil
	if !taken {
		c.state.Store(idle)
		return false
	}
	l.discard(c)
	return true
}

// answered leaves a connection, whose call has been answered, to the loop. Anybody may call it.
func (l *loop) answered(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replies.add(c)
	l.replied.Store(true)
	// For those behind the first it has been roused, or was awake and looks before it sleeps. Under the lock: once the last
	// connection's answer can be taken, the loop may end, and what it is roused by be closed.
	if len(l.replies.waiting) == 1 && l.asleep.Load() {
		l.rouse()
	}
}

// deliver writes the answers that calls have got since.
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

// reply writes an answer and goes on with its connection.
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
	c.since = l.clock.Load()
	if c.state.Swap(idle) == pending { // epoll told of what has come meanwhile, and does not again
		l.receive(c, true)
	}
}
