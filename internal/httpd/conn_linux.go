package httpd

import (
	"net"
	"sync/atomic"
)

// conn is one connection. Its state says who owns it:
//
//	idle     the loop: it reads, closes the connection after the idle timeout, or makes it busy
//	busy     the connection's worker, which makes it idle again after an answer; or its call (see Direct), until the loop
//	         has written the answer
//	pending  as busy, and epoll has reported an event since the worker last read: there may be more to read
//	waiting  the worker, which sleeps until epoll reports an event or the deadline passes; then the loop makes it busy
//	         and wakes the worker
//	closing  the loop: it lingers or is about to be closed
//
// epoll is edge-triggered: it reports each arrival once. So a worker must read a pending connection before it gives it
// back.
type conn struct {
	fd            int
	slot          uint32 // in the loop's table
	local, remote net.Addr

	state    atomic.Uint32
	deadline atomic.Int64 // until when its worker waits, by the loop's clock, ns

	// Used by the owner:
	used  bool  // it has had a request
	since int64 // when it became idle or began to linger, ns

	// Used by the loop:
	held    []byte // the beginning of a request; of a chunked one, the head and the body so far, without its framing
	need    int    // length at which held is a whole request; 0: unknown
	head    int    // bytes of the head of a chunked request
	chunked bool   // chunks reads the body of the request
	chunks  chunks
	charged int    // bytes charged to the budget of requests under way
	began   int64  // when the request's first byte arrived, ns
	call    Call   // the request that Direct took; it belongs to whoever answers it
	queued  bool   // it is in loop.unread
	arrived []byte // what a worker gave back with it

	worker      *worker // its owner, unless it is idle or a call has it
	unreadInput bool    // its last request was not read to the end, so it must linger
}

const (
	idle uint32 = iota
	busy
	pending
	waiting
	closing
)

// list holds connections for one pass of the loop. Its two slices are used in turn: what is added while those taken are
// handled belongs to the next pass.
type list struct{ waiting, taken []*conn }

func (l *list) add(c *conn) { l.waiting = append(l.waiting, c) }

// take empties the list. What it returns is valid until the next call.
func (l *list) take() []*conn {
	clear(l.taken) // keeps no closed connection alive
	l.waiting, l.taken = l.taken[:0], l.waiting
	return l.taken
}

// collect makes a pending connection busy and reports whether it was pending.
func (c *conn) collect() bool { return c.state.CompareAndSwap(pending, busy) }

// release returns a busy connection to the loop. It reports false if the connection is pending.
func (c *conn) release() bool { return c.state.CompareAndSwap(busy, idle) }
