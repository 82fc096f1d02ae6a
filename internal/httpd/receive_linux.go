package httpd

import (
	"golang.org/x/sys/unix"
)

// readsMost bounds the reads of one connection before others have their turn.
const readsMost = 2

// receive reads an idle connection until nothing is left, a worker has it or it is others' turn. If the peer has closed
// its side, hung, there may be an end behind what is read.
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
		case n == 0: // in the middle of a request: fasthttp answers
			l.dispatch(c, c.held, task{unread: true})
			return
		}
		more := n == len(l.scratch) || hung
		l.find(c, l.scratch[:n], more)
		if !more || c.state.Load() != idle {
			return
		}
	}
	c.again = true
	l.again.add(c)
}

// resume reads on where it was others' turn.
func (l *loop) resume() {
	for _, c := range l.again.take() {
		c.again = false
		if c.state.Load() == idle {
			l.receive(c, true)
		}
	}
}

// task says how a worker finds a connection.
type task struct {
	admitted bool // by the gate, which is to be told of the end
	unread   bool // there may be more to read
	late     bool // the request did not come whole in time
}

// find finds the requests in what was read: it answers those that are refused, many at once, gives the connection to a
// worker with the first that is not, and holds what isn't whole.
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
	refused := 0 // and not answered yet
	for len(data) > 0 {
		f := scan(data, l.server.options.MaxHead, l.but)
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
		case f.kind == unfinished, f.kind == simple && !whole && f.size <= maxHeld:
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

// ask asks the gate about a simple request. A server that is stopping leaves it to workers, which end connections.
func (l *loop) ask(f *frame) Verdict {
	gate := l.server.options.Gate
	if gate == nil || l.server.stopping.Load() {
		return Pass
	}
	return gate.Ask(f.method, f.path)
}

// refuse answers n requests that were refused. It returns false if the peer reads no answers.
func (l *loop) refuse(c *conn, n int) bool {
	if n == 0 {
		return true
	}
	c.asked = true
	l.refusing()
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

// hold keeps the beginning of a request that is whole at need bytes; 0: nobody knows.
func (l *loop) hold(c *conn, data []byte, need int) {
	if c.held == nil {
		if n := len(l.spare) - 1; n >= 0 {
			c.held, l.spare = l.spare[n], l.spare[:n]
		}
	}
	c.held, c.need = append(c.held[:0], data...), need
}

// discard drops what is held.
func (l *loop) discard(c *conn) {
	if c.held != nil && cap(c.held) <= maxKept && len(l.spare) < maxSpare {
		l.spare = append(l.spare, c.held[:0])
	}
	c.held, c.need = nil, 0
}

// maxSpare bounds the buffers kept for beginnings of requests.
const maxSpare = 256

// dispatch gives an idle connection to a worker, with what was read of it.
func (l *loop) dispatch(c *conn, data []byte, t task) {
	w := l.server.workers.take()
	w.buffer = append(w.buffer[:0], data...)
	w.in, w.began, w.fresh = w.buffer, c.began, true
	w.admitted, w.unread, w.late = t.admitted, t.unread, t.late
	l.discard(c)
	c.asked, c.worker = true, w
	c.state.Store(busy)
	l.server.workers.start(w, c)
}
