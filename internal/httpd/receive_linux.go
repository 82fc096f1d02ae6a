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
		case n == 0: // the stream ended within a request: a worker lets fasthttp answer
			l.dispatch(c, c.held, task{unread: true})
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

// task is the state in which a worker gets a connection.
type task struct {
	admitted bool // the gate admitted the request, so Leave is due
	unread   bool // there may be more to read
	late     bool // the request did not arrive whole in time
}

// find finds the requests in what was read. It answers refused requests, many with one write. It gives the connection
// to a worker or to Direct with the first request that is not refused. It holds the beginning of a request that is not
// whole.
func (l *loop) find(c *conn, data []byte, more bool) {
	if len(c.held) == 0 {
		c.began = l.clock.Load()
	} else {
		c.held = append(c.held, data...)
		if len(c.held) < c.need {
			return
		}
		data = c.held
	}
	refused := 0 // requests refused and not answered yet
	for len(data) > 0 {
		f := scan(data, l.server.options.MaxHead, l.except)
		whole, verdict := f.kind == simple && f.size <= len(data), Pass
		if whole {
			verdict = l.ask(&f)
		}
		if verdict == Refuse {
			refused++
			data = data[f.size:]
			c.began = l.clock.Load()
			continue
		}
		switch {
		case !l.refuse(c, refused):
			if verdict == Admit {
				l.server.options.Gate.Leave()
			}
			l.close(c)
		case f.kind == incomplete, f.kind == simple && !whole && f.size <= maxHeld:
			l.hold(c, data, f.size)
		case whole && verdict == Pass && l.direct(c, &f, data, more):
		default:
			l.dispatch(c, data, task{unread: more, admitted: verdict == Admit})
		}
		return
	}
	if !l.refuse(c, refused) {
		l.close(c)
		return
	}
	l.discard(c)
	c.since = l.clock.Load()
}

// ask asks the gate about a simple request. While the server stops, workers get all requests and end the connections.
func (l *loop) ask(f *frame) Verdict {
	gate := l.server.options.Gate
	if gate == nil || l.server.stopping.Load() {
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
		out := l.answers[:len(l.answers)/refuseMost*some]
		if sent, errno := write(c.fd, out); errno != 0 || sent != len(out) {
			return false
		}
		n -= some
	}
	return true
}

// hold keeps the beginning of a request. need is the request's size, 0 if it is unknown.
func (l *loop) hold(c *conn, data []byte, need int) {
	if c.held == nil {
		if n := len(l.spare) - 1; n >= 0 {
			c.held, l.spare = l.spare[n], l.spare[:n]
		}
	}
	c.held, c.need = append(c.held[:0], data...), need
}

// discard drops what is held and keeps its buffer for reuse.
func (l *loop) discard(c *conn) {
	if c.held != nil && cap(c.held) <= maxKept && len(l.spare) < maxSpare {
		l.spare = append(l.spare, c.held[:0])
	}
	c.held, c.need = nil, 0
}

// maxSpare bounds the buffers kept for held requests.
const maxSpare = 256

// dispatch gives an idle connection to a worker, with the data that was read.
func (l *loop) dispatch(c *conn, data []byte, t task) {
	w := l.server.workers.take()
	w.buffer = append(w.buffer[:0], data...)
	w.in, w.began, w.timed = w.buffer, c.began, true
	w.admitted, w.unread, w.late = t.admitted, t.unread, t.late
	l.discard(c)
	c.used, c.worker = true, w
	c.state.Store(busy)
	l.server.workers.start(w, c)
}
