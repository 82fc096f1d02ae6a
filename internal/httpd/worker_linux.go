package httpd

import (
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// worker answers the requests of one connection after another. It is the net.Conn of fasthttp: to fasthttp, one
// connection that never ends, unless a request asks for its end. fasthttp reads from it whole requests that scan has
// framed, and no more. When fasthttp has answered them, the worker takes the next requests that have arrived whole, or
// gives the connection back. It reads on from the next connection that it is given.
//
// No byte of one connection may reach the next. fasthttp sets an idle read deadline when it has answered a request, and
// clears it when it has the first byte of the next one. So a read between the two finds fasthttp's buffer empty.
type worker struct {
	server *Server
	next   chan *conn    // capacity 1: a worker has one connection, and the loop must not block; closed to end the worker
	wake   chan struct{} // capacity 1: the loop wakes a waiting worker once a wait

	running bool  // workLoop has begun
	ended   bool  // workLoop ends
	conn    *conn // nil: none

	in      []byte // what fasthttp reads now
	then    []byte // what it reads after in: the body of a request that was rewritten
	rest    []byte // what arrived after that
	known   int    // bytes of the whole simple request that rest begins with; 0: not known
	buffer  []byte // memory of in, then and rest
	head    []byte // memory of rewritten heads
	extra   []byte // memory of rest, after a chunked body
	charged int    // bytes charged to the budget of requests under way

	fed      int    // requests that fasthttp may read and that handle has not had
	fault    *Fault // why the request is refused; nil: it is not
	began    int64  // when the request's first byte arrived, ns
	between  bool   // fasthttp has no byte of a request, so the connection may be given back
	timed    bool   // the loop has set began for the next request
	admitted bool   // the gate admitted the request, so Leave is due
	unread   bool   // there may be more to read
	late     bool   // the deadline of a write has passed
	lingers  bool   // the peer may still send when the connection ends
}

// maxKept bounds a buffer that is kept for the next request.
const maxKept = 64 << 10

// workLoop answers requests until the pool ends. At its start the worker has a connection.
func (w *worker) workLoop() {
	w.server.loop.help(beginsMost)
	for !w.ended {
		err := w.server.codec.ServeConn(w)
		if c := w.conn; c != nil { // a request asked for the end of its connection, or the connection broke
			w.leave()
			w.settle()
			c.unreadInput = err != nil || w.lingers || w.unread || len(w.rest) > 0 || c.state.Load() == pending
			c.worker = nil
			w.conn, w.in, w.then, w.rest, w.known, w.fed = nil, nil, nil, nil, 0, 0
			w.between, w.late, w.unread, w.lingers, w.fault = false, false, false, false, nil
			w.server.loop.giveUp(c)
		}
	}
}

// await parks the worker until it is given a connection. It returns false if the pool has ended.
//
// It helps the loop before and after. In an overload workers come in crowds: those that a batch has answered, and those
// that begin the requests after it. The loop would have to wait until a crowd has passed.
func (w *worker) await() bool {
	for _, b := range []*[]byte{&w.buffer, &w.head, &w.extra} {
		if cap(*b) > maxKept {
			*b = nil
		}
	}
	if !w.server.workers.park(w) {
		w.ended = true
		return false
	}
	w.server.loop.help(eventsMost)
	c, ok := <-w.next
	w.conn, w.ended = c, !ok
	if ok {
		w.server.loop.help(beginsMost)
	}
	return ok
}

// leave calls the gate's Leave if it is due.
func (w *worker) leave() {
	if w.admitted {
		w.admitted = false
		w.server.options.Gate.Leave()
	}
}

// settle gives back what was charged to the budget.
func (w *worker) settle() {
	if w.charged > 0 {
		w.server.underWay.Add(-int64(w.charged))
		w.charged = 0
		if cap(w.buffer) > maxKept {
			w.buffer = nil
		}
	}
}

// Read implements net.Conn.
func (w *worker) Read(p []byte) (int, error) {
	for {
		switch {
		case len(w.in) > 0:
			n := copy(p, w.in)
			w.in = w.in[n:]
			return n, nil
		case len(w.then) > 0:
			w.in, w.then = w.then, nil
		case w.conn == nil:
			if !w.await() {
				return 0, io.EOF
			}
		case w.known > 0:
			w.feed()
		case !w.between: // fasthttp takes the request for a longer one than scan does
			return 0, io.ErrUnexpectedEOF
		default:
			if err := w.seek(); err != nil {
				return 0, err
			}
		}
	}
}

// feed gives fasthttp the simple request that is known to be whole, and those of the same kind after it.
func (w *worker) feed() {
	o := &w.server.options
	run := w.known
	w.known, w.fed = 0, w.fed+1
	for run < len(w.rest) && !w.server.draining.Load() {
		f := scan(w.rest[run:], o.MaxHead, nil)
		if f.kind != simple || f.body > o.MaxBody || f.size() > len(w.rest)-run {
			break
		}
		run += f.size()
		w.fed++
	}
	w.in, w.rest = w.rest[:run], w.rest[run:]
}

// seek looks for the connection's next request. If none has arrived whole, or only the loop can tell, it gives the
// connection back. All that fasthttp was fed is answered.
func (w *worker) seek() error {
	w.settle()
	o, c := &w.server.options, w.conn
	for {
		if len(w.rest) > 0 {
			f := scan(w.rest, o.MaxHead, nil)
			if f.kind == simple && f.body <= o.MaxBody && f.size() <= len(w.rest) {
				w.known = f.size()
			} else {
				w.giveBack()
			}
			return nil
		}
		if w.release() {
			return nil
		}
		c.collect()
		w.unread = true // until EAGAIN: epoll reports the end of the stream only once, together with the bytes before it
		if cap(w.buffer) < seekMost {
			w.buffer = make([]byte, seekMost)
		}
		in := w.buffer[:cap(w.buffer)]
		switch n, errno := read(c.fd, in); {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			w.unread = false
		case errno != 0:
			return errno
		case n == 0:
			return io.EOF
		default:
			w.rest = in[:n]
		}
	}
}

// seekMost is the least room into which a worker reads.
const seekMost = 4 << 10

// last reports whether nothing has arrived after the request that is handled now.
func (w *worker) last() bool {
	if w.fed > 0 || len(w.rest) > 0 || w.conn.state.Load() == pending {
		return false
	}
	n, _, err := unix.Recvfrom(w.conn.fd, make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err != nil || n == 0
}

// release gives the connection back to the loop, unless there may be more to read.
func (w *worker) release() bool {
	c := w.conn
	if w.unread || c.state.Load() != busy {
		return false
	}
	c.worker = nil
	c.since = w.server.loop.clock.Load()
	w.conn = nil
	if c.release() {
		return true
	}
	c.worker, w.conn = w, c
	return false
}

// giveBack gives the connection back to the loop, with what has arrived and was not fed to fasthttp.
func (w *worker) giveBack() {
	c := w.conn
	c.worker = nil
	c.arrived = append([]byte(nil), w.rest...)
	w.conn, w.rest, w.unread = nil, nil, false
	w.server.loop.takeBack(c)
}

// Write implements net.Conn. If the socket is full, it waits until the peer reads or the timeout has passed.
func (w *worker) Write(p []byte) (int, error) {
	var deadline int64
	for sent := 0; ; {
		n, errno := write(w.conn.fd, p[sent:])
		switch errno {
		case 0:
			if sent += n; sent == len(p) {
				return sent, nil
			}
		case unix.EINTR:
		case unix.EAGAIN:
			if deadline == 0 {
				deadline = w.server.loop.now() + int64(w.server.options.WriteTimeout)
			}
			w.wait(deadline)
			w.unread = true // it may have been woken because data arrived
			if w.late {
				return sent, os.ErrDeadlineExceeded
			}
		default:
			return sent, errno
		}
	}
}

// wait sleeps until epoll reports an event of the connection, or until the deadline has passed and the worker is late.
func (w *worker) wait(deadline int64) {
	c := w.conn
	c.deadline.Store(deadline)
	if c.state.CompareAndSwap(busy, waiting) {
		<-w.wake
		return
	}
	c.collect()
	w.unread = true
}

// Close implements net.Conn. Only the loop closes sockets.
func (w *worker) Close() error { return nil }

// LocalAddr implements net.Conn.
func (w *worker) LocalAddr() net.Addr {
	if w.conn == nil {
		return nil
	}
	return w.conn.local
}

// RemoteAddr implements net.Conn.
func (w *worker) RemoteAddr() net.Addr {
	if w.conn == nil {
		return nil
	}
	return w.conn.remote
}

// SetDeadline implements net.Conn. The loop keeps the timeouts.
func (w *worker) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn. Its calls show where requests begin and end.
func (w *worker) SetReadDeadline(t time.Time) error {
	w.between = !t.IsZero()
	if !w.between && !w.timed { // the request begins now: before, the previous one was answered
		w.began = w.server.loop.now()
	}
	w.timed = false
	return nil
}

// SetWriteDeadline implements net.Conn.
func (w *worker) SetWriteDeadline(time.Time) error { return nil }

// pool holds the workers without work. There are never more workers than there were connections at once.
type pool struct {
	server *Server

	mu     sync.Mutex // guards what follows
	parked []*worker  // the worker that parked last works next
	fewest int        // least number parked since the last trim
	ended  bool
	all    sync.WaitGroup
}

// take returns a parked worker or a new one, to be started with start.
func (p *pool) take() *worker {
	p.mu.Lock()
	if n := len(p.parked) - 1; n >= 0 {
		w := p.parked[n]
		p.parked[n] = nil
		p.parked = p.parked[:n]
		p.fewest = min(p.fewest, n)
		p.mu.Unlock()
		return w
	}
	p.mu.Unlock()
	return &worker{server: p.server, next: make(chan *conn, 1), wake: make(chan struct{}, 1)}
}

// start gives c to a worker. If the worker is new, it starts its goroutine.
func (p *pool) start(w *worker, c *conn) {
	if !w.running {
		w.running = true
		w.conn = c
		p.all.Go(w.workLoop)
		return
	}
	w.next <- c
}

// park keeps a worker for the next connection. It returns false if the pool has ended.
func (p *pool) park(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.parked = append(p.parked, w)
	return true
}

// trim ends half of the workers that had no work since the last call, so that the workers of a burst end in time.
func (p *pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := (p.fewest + 1) / 2
	for _, w := range p.parked[:idle] { // those that parked first
		close(w.next)
	}
	p.parked = append(p.parked[:0], p.parked[idle:]...)
	p.fewest = len(p.parked)
}

// end ends all workers and waits for them. None may have a connection.
func (p *pool) end() {
	p.mu.Lock()
	p.ended = true
	for _, w := range p.parked {
		close(w.next)
	}
	p.parked = nil
	p.mu.Unlock()
	p.all.Wait()
}
