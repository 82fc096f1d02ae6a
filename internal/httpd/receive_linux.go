package httpd

import (
	"golang.org/x/sys/unix"
)

// readsMost bounds the successive reads of one connection, so that the others are served too.
const readsMost = 2

// receive reads an idle connection until it is empty, a worker or a call has it, or it has had its reads. hung says
// that the peer has closed its side, so the end of the stream may follow what is read.
func (l *loop) receive(c *conn, hung bool) {
	for range readsMost {
		n, errno := read(c.fd, l.scratch)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return
		case errno != 0 || n == 0 && len(c.held) == 0:
			l.close(c)
			return
		case n == 0: // the stream ended within a request
			l.fail(c, cutOff)
			return
		}
		more := n == len(l.scratch) || hung
		l.find(c, l.scratch[:n], more)
		if !more || c.state.Load() != idle {
			return
		}
	}
	c.queued = true
	l.unread.add(c)
}

// resume reads the connections on which receive stopped early.
func (l *loop) resume() {
	for _, c := range l.unread.take() {
		c.queued = false
		if c.state.Load() == idle {
			l.receive(c, true)
		}
	}
}

// find finds the requests in what was read. It answers refused requests, many with one write. It gives the connection
// to a worker or to Direct with the first request that is not refused. It holds the beginning of a request that is not
// whole. more says that there may be more to read.
func (l *loop) find(c *conn, data []byte, more bool) {
	switch {
	case len(c.held) == 0:
		c.began = l.clock.Load()
	case c.chunked:
		l.gather(c, data, more)
		return
	default:
		if !l.reserve(c, len(c.held)+len(data)) {
			l.fail(c, noMemory)
			return
		}
		if c.held = append(c.held, data...); len(c.held) < c.need {
			return
		}
		data = c.held
	}
	refusals := 0 // requests refused by the gate and not answered yet
	for len(data) > 0 {
		f := scan(data, l.server.options.MaxHead, l.except)
		verdict := Pass
		if f.kind == simple && f.size() <= len(data) && f.body <= l.server.options.MaxBody {
			verdict = l.ask(&f)
		}
		if verdict == Refuse {
			refusals++
			data = data[f.size():]
			c.began = l.clock.Load()
			continue
		}
		if l.refuse(c, refusals) {
			l.begin(c, &f, data, task{unread: more, admitted: verdict == Admit})
			return
		}
		if verdict == Admit {
			l.server.options.Gate.Leave()
		}
		l.close(c)
		return
	}
	if !l.refuse(c, refusals) {
		l.close(c)
		return
	}
	l.discard(c)
	c.since = l.clock.Load()
}

// begin goes on with the request that data begins with, of which f is the frame.
func (l *loop) begin(c *conn, f *frame, data []byte, t task) {
	switch {
	case f.kind == refused:
		l.fail(c, f.fault)
	case f.kind == incomplete:
		l.hold(c, data, 0)
	case f.body > l.server.options.MaxBody:
		l.fail(c, largeBody)
	case f.chunked:
		rest := data[f.head:]
		if !l.hold(c, data[:f.head], 0) || f.expects && len(rest) == 0 && !l.proceed(c) {
			return
		}
		c.head, c.chunked, c.chunks = f.head, true, chunks{}
		l.gather(c, rest, t.unread)
	case f.size() > len(data):
		if fresh := c.need == 0; l.hold(c, data, f.size()) && f.expects && fresh {
			l.proceed(c)
		}
	case !t.admitted && l.direct(c, f, data, t.unread):
	default:
		l.dispatch(c, f, data, t)
	}
}

// gather reads a chunked body, whose head is held, and holds it without its framing.
func (l *loop) gather(c *conn, data []byte, more bool) {
	for len(data) > 0 && c.chunks.state != chunksDone {
		part, rest, fault := c.chunks.read(data)
		size := len(c.held) + len(part)
		switch {
		case fault != nil:
			l.fail(c, fault)
			return
		case size-c.head+c.chunks.size > l.server.options.MaxBody:
			l.fail(c, largeBody)
			return
		case !l.reserve(c, size):
			l.fail(c, noMemory)
			return
		}
		c.held, data = append(c.held, part...), rest
	}
	if c.chunks.state == chunksDone {
		l.dispatchChunked(c, data, more)
	}
}

// ask asks the gate about a simple request. While the server drains, workers get all requests and end the connections.
func (l *loop) ask(f *frame) Verdict {
	gate := l.server.options.Gate
	if gate == nil || l.server.draining.Load() {
		return Pass
	}
	return gate.Ask(f.method, f.path)
}

// refuse answers n refused requests. It returns false if the socket has no room because the peer does not read.
func (l *loop) refuse(c *conn, n int) bool {
	if n == 0 {
		return true
	}
	c.used = true
	for n > 0 {
		some := min(n, refuseMost)
		if !writeAll(c, l.answers[:len(l.answers)/refuseMost*some]) {
			return false
		}
		n -= some
	}
	return true
}

var continues = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// proceed tells a peer that waits to send its body. If the socket has no room, it closes the connection and returns false.
func (l *loop) proceed(c *conn) bool {
	if writeAll(c, continues) {
		return true
	}
	l.close(c)
	return false
}

func writeAll(c *conn, p []byte) bool {
	sent, errno := write(c.fd, p)
	return errno == 0 && sent == len(p)
}
