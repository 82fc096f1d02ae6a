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

// worker answers the requests of one connection after another. It is the net.Conn of fasthttp: to fasthttp, one
// connection that never ends, unless a request asks for its end. When fasthttp has answered and reads again, with
// nothing left in its buffer, the worker gives the connection back. It reads on from the next connection that it is
// given.
//
// No byte of one connection may reach the next. fasthttp sets an idle read deadline when it has answered a request, and
// clears it when it has the first byte of the next one. So a read between the two finds fasthttp's buffer empty.
type worker struct {
	server *Server
	next   chan *conn    // capacity 1: a worker has one connection, and the loop must not block; closed to end the worker
	wake   chan struct{} // capacity 1: the loop wakes a waiting worker once a wait

	running  bool  // workLoop has begun
	ended    bool  // workLoop ends
	conn     *conn // nil: none
	buffer   []byte
	in       []byte // the part of buffer that fasthttp has not read
	began    int64  // when the request's first byte arrived, ns
	between  bool   // fasthttp has no byte of a request, so the connection may be given back
	timed    bool   // the loop has set began for the next request
	admitted bool   // the gate admitted the request, so Leave is due
	unread   bool   // there may be more to read
	late     bool   // the deadline has passed
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
			c.unreadInput = err != nil
			c.worker = nil
			w.conn, w.in, w.between, w.late, w.unread = nil, nil, false, false, false
			w.server.loop.giveUp(c)
		}
	}
}

// await parks the worker until it is given a connection. It returns false if the pool has ended.
//
// It helps the loop before and after. In an overload workers come in crowds: those that a batch has answered, and those
// that begin the requests after it. The loop would have to wait until a crowd has passed.
func (w *worker) await() bool {
	if cap(w.buffer) > maxKept {
		w.buffer = nil
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

// receive reads from the socket. If the socket is empty, it waits, or, between requests, returns EAGAIN. It also checks
// the deadline before each read, so that a peer that always has more to send has no more time than others.
func (w *worker) receive(p []byte) (int, error) {
	l, deadline := w.server.loop, w.began+int64(w.server.options.ReadTimeout)
	for {
		if w.late || !w.between && l.clock.Load() >= deadline {
			return 0, os.ErrDeadlineExceeded
		}
		w.conn.collect()
		w.unread = true // until EAGAIN: epoll reports the end of the stream only once, together with the bytes before it
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
