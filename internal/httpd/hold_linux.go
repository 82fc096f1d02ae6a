package httpd

const (
	maxSpare    = 256     // buffers kept for held requests
	leastHeld   = 512     // bytes of such a buffer
	chargedFrom = 8 << 10 // bytes of requests that arrived at once, from which on they are charged to the budget
)

// charge takes n bytes from the budget of requests under way. It returns false, and takes none, if they are not left.
func (s *Server) charge(n int) bool {
	if s.underWay.Add(int64(n)) <= s.options.MaxUnderWay {
		return true
	}
	s.underWay.Add(-int64(n))
	return false
}

// hold keeps the beginning of a request, which may be held already. need is the request's size, 0 if it is unknown. If no
// memory is left for it, hold refuses the request and returns false.
func (l *loop) hold(c *conn, data []byte, need int) bool {
	if c.held == nil {
		if n := len(l.spare) - 1; n >= 0 {
			c.held, l.spare = l.spare[n], l.spare[:n]
		}
	}
	c.need = need
	if !l.reserve(c, len(data)) {
		l.fail(c, noMemory)
		return false
	}
	c.held = append(c.held[:0], data...)
	return true
}

// reserve makes room for n held bytes, and charges the room to the budget. The room doubles as bytes arrive, whatever
// length a request announces. It returns false if the budget is used up.
func (l *loop) reserve(c *conn, n int) bool {
	size := cap(c.held)
	if n > size {
		size = max(n, 2*size, leastHeld)
		if c.need > 0 {
			size = max(n, min(size, c.need))
		}
	}
	if more := size - c.charged; more > 0 {
		if !l.server.charge(more) {
			return false
		}
		c.charged = size
	}
	if size > cap(c.held) {
		held := make([]byte, len(c.held), size)
		copy(held, c.held)
		c.held = held
	}
	return true
}

// discard drops what is held and keeps its buffer for reuse.
func (l *loop) discard(c *conn) {
	l.keep(c.held)
	l.server.underWay.Add(-int64(c.charged))
	c.held, c.need, c.charged, c.chunked = nil, 0, 0, false
}

// keep keeps a buffer for another request, if it is not too large.
func (l *loop) keep(buffer []byte) {
	if cap(buffer) > 0 && cap(buffer) <= maxKept && len(l.spare) < maxSpare {
		l.spare = append(l.spare, buffer[:0])
	}
}

// task is the state in which a worker gets a connection.
type task struct {
	admitted bool // the gate admitted the request, so Leave is due
	unread   bool // there may be more to read
}

// dispatch gives an idle connection to a worker, with the data that was read. data begins with a whole request, of which f
// is the frame.
func (l *loop) dispatch(c *conn, f *frame, data []byte, t task) {
	if c.held == nil && len(data) >= chargedFrom {
		if !l.server.charge(len(data)) {
			if t.admitted {
				l.server.options.Gate.Leave()
			}
			l.fail(c, noMemory)
			return
		}
		c.charged = len(data)
	}
	w := l.worker(c, t)
	if f.kind == odd {
		w.in = rewrite(w.head[:0], data, f, f.body)
		w.head, w.fed = w.in, 1
	}
	if c.held == nil {
		w.buffer = append(w.buffer[:0], data...)
		data = w.buffer
	} else { // data is a part of what is held
		l.lend(c, w)
	}
	if f.kind == odd {
		w.then, w.rest = data[f.head:f.size()], data[f.size():]
	} else {
		w.rest, w.known = data, f.size()
	}
	l.hand(c, w)
}

// dispatchChunked gives a connection to a worker with the held head and body of a chunked request. rest is what follows.
func (l *loop) dispatchChunked(c *conn, rest []byte, more bool) {
	w := l.worker(c, task{unread: more})
	f := scan(c.held[:c.head], l.server.options.MaxHead, nil)
	w.in = rewrite(w.head[:0], c.held[:c.head], &f, len(c.held)-c.head)
	w.head, w.fed = w.in, 1
	w.extra = append(w.extra[:0], rest...)
	w.then, w.rest = c.held[c.head:], w.extra
	l.lend(c, w)
	l.hand(c, w)
}

// fail has a worker refuse the request of an idle connection, and end the connection.
func (l *loop) fail(c *conn, fault *Fault) {
	w := l.worker(c, task{unread: true})
	w.in, w.fault, w.fed = refusal, fault, 1
	l.discard(c)
	l.hand(c, w)
}

// refusal is what fasthttp reads instead of a request that is refused, so that it answers in its usual way.
var refusal = []byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

// worker returns a worker for the request of c that arrives last.
func (l *loop) worker(c *conn, t task) *worker {
	w := l.server.workers.take()
	w.began, w.timed = c.began, true
	w.admitted, w.unread = t.admitted, t.unread
	return w
}

// lend gives the held buffer to a worker. What the worker had is kept for held requests.
func (l *loop) lend(c *conn, w *worker) {
	l.keep(w.buffer)
	w.buffer = c.held[:0]
	c.held = nil
}

// hand gives an idle connection to its worker, with what it was charged.
func (l *loop) hand(c *conn, w *worker) {
	w.charged, c.charged = c.charged, 0
	l.discard(c)
	c.used, c.worker = true, w
	c.state.Store(busy)
	l.server.workers.start(w, c)
}
