package httpd

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// worker answers requests of one connection after another. It is the net.Conn that fasthttp reads them from and writes
// the answers to: one connection that never ends, as long as no request asks for its end. When fasthttp has answered and
// reads with nothing left in its buffer, the worker gives the connection back and reads on from the next one that it is
// given. It must be certain then that no byte of the one is left for the other: fasthttp sets a read deadline, that
// of an idle connection, when it has done with a request, and takes it away when it has the next one's first byte. A
// read between the two finds its buffer empty.
type worker struct {
	server *Server
	next   chan *conn    // capacity 1: it has one place to work, and the loop must not wait; closed at the end
	wake   chan struct{} // capacity 1: the loop tells a waiting worker once a wait

	running  bool  // its loop has begun
	over     bool  // its loop ends
	conn     *conn // nil: none
	buffer   []byte
	in       []byte // what the loop has read and fasthttp has not; of buffer
	began    int64  // when the request's first byte came, ns
	between  bool   // fasthttp has no byte of a request
	fresh    bool   // the request is the first of those that the loop has read, and its time runs already
	admitted bool   // Leave is due
	unread   bool   // there may be more to read
	late     bool   // the time is over
}

// maxKept bounds the buffer a worker keeps for the next request.
const maxKept = 64 << 10

// workLoop answers requests until the pool ends. It begins with one.
func (w *worker) workLoop() {
	w.server.loop.help(beginsMost)
	for !w.over {
		err := w.server.codec.ServeConn(w)
		if c := w.conn; c != nil { // it asked for its end, or was broken
			w.leave()
			c.rude = err != nil
			c.worker = nil
			w.conn, w.in, w.between, w.late, w.unread = nil, nil, false, false, false
			w.server.loop.giveUp(c)
		}
	}
}

// await parks the worker until it is given a connection, by itself perhaps. It returns false when there will be none.
// The loop is helped before and after: in an overload workers that begin and those that have answered come in crowds, one
// after the other, and it would wait for either to pass. A worker gives way while it is nobody's yet: parked, it may be
// given a connection, which would wait with it.
func (w *worker) await() bool {
	if cap(w.buffer) > maxKept {
		w.buffer = nil
	}
	w.server.loop.giveWay()
	if !w.server.workers.park(w) {
		w.over = true
		return false
	}
	w.server.loop.help(eventsMost)
	c, ok := <-w.next
	w.conn, w.over = c, !ok
	if ok {
		w.server.loop.help(beginsMost)
	}
	return ok
}

// leave tells the gate, if that is due.
func (w *worker) leave() {
	if w.admitted {
		w.admitted = false
		w.server.options.Gate.Leave()
	}
}

// Read implements net.Conn.
func (w *worker) Read(p []byte) (int, error) {
	for {
		if len(w.in) > 0 {
			n := copy(p, w.in)
			w.in = w.in[n:]
			return n, nil
		}
		if w.conn == nil {
			if !w.await() {
				return 0, io.EOF
			}
			continue
		}
		if w.between && w.release() {
			continue
		}
		n, err := w.receive(p)
		if w.between && errors.Is(err, unix.EAGAIN) {
			continue
		}
		return n, err
	}
}

// release gives the connection back unless there may be more to read.
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

// receive reads from the socket. If nothing is there it waits, or, between requests, returns EAGAIN. A peer that always
// has more to send, and so never lets it wait, has no more time than others.
func (w *worker) receive(p []byte) (int, error) {
	l, deadline := w.server.loop, w.began+int64(w.server.options.ReadTimeout)
	for {
		if w.late || !w.between && l.clock.Load() >= deadline {
			return 0, os.ErrDeadlineExceeded
		}
		w.conn.collect()
		w.unread = true // what ends a connection is told of once, with the bytes before it: only EAGAIN says that all is read
		n, errno := read(w.conn.fd, p)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			w.unread = false
			if w.between {
				return 0, errno
			}
			w.wait(deadline)
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements net.Conn. It waits for a peer that does not read.
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
			w.unread = true // what it was woken for may have been that
			if w.late {
				return sent, os.ErrDeadlineExceeded
			}
		default:
			return sent, errno
		}
	}
}

// wait sleeps until epoll tells of the connection or the deadline has passed, which makes the worker late.
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

// Close implements net.Conn: the loop closes.
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

// SetDeadline implements net.Conn: the times are the loop's to keep.
func (w *worker) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn: it tells where requests begin and end.
func (w *worker) SetReadDeadline(t time.Time) error {
	w.between = !t.IsZero()
	if !w.between && !w.fresh { // it begins now: before, the last one was answered
		w.began = w.server.loop.now()
	}
	w.fresh = false
	return nil
}

// SetWriteDeadline implements net.Conn.
func (w *worker) SetWriteDeadline(time.Time) error { return nil }

// pool are the workers that have nothing to do. There are never more than connections, for each has one.
type pool struct {
	server *Server

	mu     sync.Mutex // guards what follows
	parked []*worker  // the last one parked works next
	fewest int        // parked since the last trim
	ended  bool
	all    sync.WaitGroup
}

// take returns a worker for one connection, which is sent to its next.
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

// start sets a worker to work on c. A new one begins its loop.
func (p *pool) start(w *worker, c *conn) {
	if !w.running {
		w.running = true
		w.conn = c
		p.all.Go(w.workLoop)
		return
	}
	w.next <- c
}

// park keeps a worker for later. It returns false if there is no later.
func (p *pool) park(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.parked = append(p.parked, w)
	return true
}

// trim ends half of the workers that have had nothing to do since it was last called, so that a burst's go in time.
func (p *pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := (p.fewest + 1) / 2
	for _, w := range p.parked[:idle] { // those parked longest
		close(w.next)
	}
	p.parked = append(p.parked[:0], p.parked[idle:]...)
	p.fewest = len(p.parked)
}

// end ends all workers and waits for them; none may be at work.
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
