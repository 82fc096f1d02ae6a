package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"gavel/internal/host"
)

// generator offers the load. The goroutine of run does all the work, on one OS thread.
type generator struct {
	f        flags
	requests []request
	numbered uint64 // how many requests were due so far, including the warm-up

	epoll int
	conns []*conn
	free  []*conn // idle connections, used in turn so that all stay warm
	// waiting are the open-loop requests that found no free connection, oldest first.
	waiting []pending

	start   time.Time
	tally   *tally
	buf     []byte
	address unix.Sockaddr
	domain  int
}

// pending is a request that is due. Its number determines its body and tmax, so that it is counted by tmax even if it
// is never sent.
type pending struct {
	due    int64 // ns from the start
	number uint64
}

// conn is one connection. due and tmax are those of its current request.
type conn struct {
	fd     int
	busy   bool
	due    int64 // when the request should have been sent, ns from the start
	tmax   int64
	unsent []byte
	answer answer
}

func newGenerator(f flags, requests []request, series *series) (*generator, error) {
	u, err := url.Parse(f.URL)
	if err != nil {
		return nil, err
	}
	tcp, err := net.ResolveTCPAddr("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	g := &generator{f: f, requests: requests, buf: make([]byte, 64<<10), tally: newTally(f, series), domain: unix.AF_INET}
	if v4 := tcp.IP.To4(); v4 != nil {
		g.address = &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(v4)}
	} else {
		g.domain, g.address = unix.AF_INET6, &unix.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(tcp.IP.To16())}
	}
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	for range f.Connections {
		c := &conn{fd: -1}
		if err := g.dial(c); err != nil {
			g.close()
			return nil, fmt.Errorf("cannot connect to %s: %w", u.Host, err)
		}
		g.conns = append(g.conns, c)
		g.free = append(g.free, c)
	}
	return g, nil
}

// dial opens c's connection. It blocks, but on loopback not for long.
func (g *generator) dial(c *conn) error {
	fd, err := unix.Socket(g.domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = errors.Join(unix.Connect(fd, g.address), unix.SetNonblock(fd, true),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(g.conns))}))
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	c.fd = fd
	return nil
}

func (g *generator) close() {
	for _, c := range g.conns {
		if c.fd >= 0 {
			_ = unix.Close(c.fd)
		}
	}
	_ = unix.Close(g.epoll)
}

// now is ns from the start.
func (g *generator) now() int64 { return int64(time.Since(g.start)) }

// run offers the load until the duration is over and the last answers have arrived.
func (g *generator) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// If this thread waits for a processor while the server has them, its delay counts as the server's. A short time
	// slice gives it a processor sooner, but no larger share. If the system refuses, send_lag_ms shows the delay.
	_ = host.ShortSlice()
	debug.SetGCPercent(400) // there is hardly any garbage, and a collection would delay requests
	end := int64(g.f.Warmup + g.f.Duration)
	giveUp := g.tally.giveUp
	g.start = time.Now()
	g.tally.begin()
	var due *schedule
	if g.f.Rate > 0 {
		due = newSchedule(g.f.Rate, g.f.Arrivals, g.f.Seed)
	}
	events := make([]unix.EpollEvent, 512)
	for {
		now := g.now()
		g.tally.advance(now)
		for due != nil && due.next() <= now && due.next() < end { // also after the end, if this thread was delayed
			g.tally.noticed(due.next(), now)
			g.waiting = append(g.waiting, g.schedule(due.next()))
			due.take()
		}
		if err := g.sendWaiting(); err != nil {
			return err
		}
		if now >= end && (g.idle() || now >= giveUp) {
			break
		}
		until := giveUp
		switch {
		case now >= end:
		case due == nil:
			until = end
			for len(g.free) > 0 {
				if err := g.send(g.take(), g.schedule(g.now())); err != nil {
					return err
				}
			}
		default:
			until = min(due.next(), end)
		}
		n, err := g.wait(events, until-g.now())
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if err := g.ready(g.conns[e.Fd], e.Events, now < end && due == nil); err != nil {
				return err
			}
		}
		if err := g.sendWaiting(); err != nil {
			return err
		}
	}
	for _, c := range g.conns {
		if c.busy {
			g.tally.unanswered(c.due)
		}
	}
	for _, p := range g.waiting {
		g.tally.unanswered(p.due)
	}
	g.tally.end(g.now())
	return nil
}

func (g *generator) idle() bool { return len(g.free) == len(g.conns) && len(g.waiting) == 0 }

// wait sleeps until a connection has an event, at most ns.
func (g *generator) wait(events []unix.EpollEvent, ns int64) (int, error) {
	span := unix.NsecToTimespec(max(ns, 0))
	n, err := epollPwait2(g.epoll, events, &span)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return 0, fmt.Errorf("epoll: %w", err)
	}
	return max(n, 0), nil
}

// take returns the connection that has been idle longest.
func (g *generator) take() *conn {
	c := g.free[0]
	g.free = g.free[:copy(g.free, g.free[1:])]
	return c
}

// schedule numbers and counts the request that is due at the given time.
func (g *generator) schedule(due int64) pending {
	p := pending{due: due, number: g.numbered}
	g.numbered++
	g.tally.scheduled(due, g.body(p).tmax)
	return p
}

// body returns the request with the body of p.
func (g *generator) body(p pending) *request { return &g.requests[p.number%uint64(len(g.requests))] }

func (g *generator) sendWaiting() error {
	sent := 0
	for sent < len(g.waiting) && len(g.free) > 0 {
		if err := g.send(g.take(), g.waiting[sent]); err != nil {
			return err
		}
		sent++
	}
	g.waiting = g.waiting[:copy(g.waiting, g.waiting[sent:])]
	return nil
}

// send writes a request that is due.
func (g *generator) send(c *conn, p pending) error {
	r := g.body(p)
	r.number(p.number)
	c.busy, c.due, c.tmax = true, p.due, r.tmax
	c.answer.reset()
	g.tally.sent(p.due, g.now())
	return g.write(c, r.wire)
}

// write sends what the socket accepts, and the rest when the socket is writable again.
func (g *generator) write(c *conn, p []byte) error {
	n, err := rawWrite(c.fd, p)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return g.broken(c)
	}
	n = max(n, 0)
	events := uint32(unix.EPOLLIN)
	had := len(c.unsent) > 0
	c.unsent = append(c.unsent[:0], p[n:]...)
	if len(c.unsent) > 0 {
		events |= unix.EPOLLOUT
	} else if !had {
		return nil
	}
	return g.interest(c, events)
}

func (g *generator) interest(c *conn, events uint32) error {
	for i, other := range g.conns {
		if other == c {
			return unix.EpollCtl(g.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(i)})
		}
	}
	return nil
}

// ready handles the events of a connection. again: it sends the next request at once (closed loop).
func (g *generator) ready(c *conn, events uint32, again bool) error {
	if len(c.unsent) > 0 && events&unix.EPOLLOUT != 0 {
		if err := g.write(c, append([]byte(nil), c.unsent...)); err != nil {
			return err
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return nil
	}
	n, err := rawRead(c.fd, g.buf)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil || n == 0:
		return g.broken(c)
	case !c.busy && bytes.HasPrefix(g.buf[:n], idleTimeout):
		return g.broken(c) // the server closes an idle connection
	case !c.busy:
		return fmt.Errorf("the server sent %d bytes without a request", n)
	}
	whole, err := c.answer.add(g.buf[:n])
	if err != nil {
		return err
	}
	if !whole {
		return nil
	}
	g.tally.answered(c.due, g.now(), c.answer.status, c.tmax)
	c.busy = false
	if c.answer.closes {
		return g.reopen(c)
	}
	if again {
		return g.send(c, g.schedule(g.now()))
	}
	g.free = append(g.free, c)
	return nil
}

// broken counts the request on a lost connection as failed, and opens a new connection.
func (g *generator) broken(c *conn) error {
	if c.busy {
		g.tally.failed(c.due)
		c.busy = false
	} else { // reopen puts it into free again
		for i, other := range g.free {
			if other == c {
				g.free = append(g.free[:i], g.free[i+1:]...)
				break
			}
		}
	}
	return g.reopen(c)
}

func (g *generator) reopen(c *conn) error {
	_ = unix.Close(c.fd)
	c.fd, c.unsent = -1, nil
	at := 0
	for g.conns[at] != c {
		at++
	}
	held := g.conns
	g.conns = g.conns[:at] // dial numbers the connection by len(g.conns)
	err := g.dial(c)
	g.conns = held
	if err != nil {
		return fmt.Errorf("cannot connect again: %w", err)
	}
	g.tally.reconnects++
	g.free = append(g.free, c)
	return nil
}
