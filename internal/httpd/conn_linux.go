package httpd

import (
	"net"
	"sync/atomic"
)

// conn is one connection. Its state says whose it is:
//
//	idle     the loop's: it reads, closes it when it has waited too long, and makes it busy
//	busy     its worker's, which makes it idle again after an answer, or its call's (see Direct) until the loop has written
//	         the answer
//	pending  busy, and epoll has told of it since the worker last read: there may be more to read
//	waiting  its worker sleeps until epoll tells of it, or the deadline passes; the loop makes it busy and wakes the worker
//	closing  the loop's: it lingers or is about to be closed
//
// epoll is edge-triggered: each arrival is told once, so a worker that would give the connection back while it is
// pending reads first.
type conn struct {
	fd            int
	slot          uint32 // in the loop's table
	local, remote net.Addr

	state    atomic.Uint32
	deadline atomic.Int64 // of a worker that waits, by the loop's clock, ns

	// Of whose it is:
	asked bool  // it has had a request
	since int64 // when it became idle, or began to linger, ns

	// The loop's:
	held  []byte // the beginning of a request
	need  int    // bytes until that is whole; 0: unknown
	began int64  // when its first byte came, ns
	call  Call   // its request that was taken on the loop; whoever answers it has it meanwhile
	again bool   // it is in the loop's list of those that have more to read, once

	worker *worker // while it isn't idle; nil where a call has it
	rude   bool    // its last request was not read to the end: linger
}

const (
	idle uint32 = iota
	busy
	pending
	waiting
	closing
)

// list is connections that wait, in two memories used in turn: what is added while those taken are dealt with is of the
// next taking.
type list struct{ waiting, taken []*conn }

func (l *list) add(c *conn) { l.waiting = append(l.waiting, c) }

// take empties the list. What it returns is whole until it is called again.
func (l *list) take() []*conn {
	clear(l.taken) // no connection is kept for having waited here
	l.waiting, l.taken = l.taken[:0], l.waiting
	return l.taken
}

// collect makes a pending connection busy and reports whether it was pending.
func (c *conn) collect() bool { return c.state.CompareAndSwap(pending, busy) }

// release gives a busy connection back to the loop, unless it is pending.
func (c *conn) release() bool { return c.state.CompareAndSwap(busy, idle) }
