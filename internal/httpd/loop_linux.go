package httpd

import (
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gavel/internal/host"
)

const (
	tick       = 100 * time.Millisecond // between looks at what has waited too long
	trimEvery  = 10 * time.Second       // between looks at workers without work
	maxHeld    = 32 << 10               // bytes of a request that the loop waits for; a worker reads larger ones
	newGrace   = 5 * time.Second        // after which a shutdown closes connections that were never asked on
	lingerTime = time.Second            // for a peer that was answered before it had sent all, to read the answer
	lingerMost = 1 << 20                // bytes thrown away meanwhile
	patience   = 20 * time.Microsecond  // without a turn, before workers have one
	refuseMost = 64                     // requests refused by one write
	eventsMost = 256                    // taken at once
	beginsMost = 16                     // taken by a worker whose own request waits meanwhile, some 8 µs each
)

// Slots of the table that are no connection.
const (
	listenerSlot = math.MaxUint32
	wakeSlot     = math.MaxUint32 - 1
)

// loop is the event loop. Its goroutine waits for events, but while others have the processors it waits for one of those
// too; so whoever holds turn may take the events, and workers do when they begin and when they have answered: see help.
type loop struct {
	server *Server
	epoll  int
	waker  int // an eventfd that ends the wait
	start  time.Time
	clock  atomic.Int64 // ns since start, as of the last turn

	givesWay bool         // threads do, in an overload
	scarce   atomic.Int64 // until when cores count as scarce, ns since start
	gaveWay  atomic.Int64 // when a thread gave way last, ns since start

	turn     sync.Mutex // guards what follows
	listener int        // -1: closed
	swept    int64      // when expired things were looked for last, ns
	trimmed  int64
	deaf     bool // accepting waits for the next tick, for want of descriptors

	slots   []*conn
	ages    []uint32 // generation of each slot
	free    []uint32
	events  []unix.EpollEvent
	scratch []byte   // what is read goes here first
	spare   [][]byte // buffers of held requests
	answers []byte   // to refuseMost refused requests

	again list     // have more to read, but others had their turn
	but   []string // headers that Direct is not told of

	date    atomic.Pointer[[]byte] // for answers
	asleep  atomic.Bool            // the goroutine waits, or is about to
	replied atomic.Bool            // there are replies

	mu      sync.Mutex // guards what follows
	ending  list       // given up by their workers
	replies list       // of which the call has been answered
}

func newLoop(s *Server, listener net.Listener) (*loop, error) {
	l := &loop{
		server: s, listener: -1, waker: -1, epoll: -1, start: time.Now(),
		events: make([]unix.EpollEvent, eventsMost), scratch: make([]byte, 64<<10), givesWay: host.HasShortSlice(),
	}
	fail := func(err error) (*loop, error) {
		l.closeAll()
		return nil, fmt.Errorf("httpd: cannot make an event loop: %w", err)
	}
	var err error
	if l.listener, err = duplicate(listener); err != nil {
		return fail(err)
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fail(err)
	}
	if l.waker, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fail(err)
	}
	if err := errors.Join(l.watch(l.listener, unix.EPOLLIN, listenerSlot, 0), l.watch(l.waker, unix.EPOLLIN|unix.EPOLLET, wakeSlot, 0)); err != nil {
		return fail(err)
	}
	if d := s.options.Direct; d != nil {
		l.but = d.But
	}
	l.tell()
	return l, nil
}

// duplicate is a descriptor of the listener that Go's poller does not know.
func duplicate(listener net.Listener) (fd int, err error) {
	known, ok := listener.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T has no descriptor", listener)
	}
	raw, err := known.SyscallConn()
	if err != nil {
		return -1, err
	}
	failed := raw.Control(func(from uintptr) { fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(failed, err)
}

func (l *loop) watch(fd int, events uint32, slot, generation uint32) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(slot), Pad: int32(generation)})
}

// now is the loop's clock, in ns.
func (l *loop) now() int64 { return int64(time.Since(l.start)) }

// run serves until the server is stopping and no connection is left.
func (l *loop) run() {
	for {
		l.turn.Lock()
		more := l.take(eventsMost)
		done := l.server.stopping.Load() && l.stop()
		l.turn.Unlock()
		if done {
			return
		}
		if !more {
			l.wait()
		}
	}
}

// help has a turn for the loop, where that has had none for a while and nobody else has one. It takes so many events at most.
func (l *loop) help(most int) {
	if l.now()-l.clock.Load() < int64(patience) || !l.turn.TryLock() {
		return
	}
	l.take(most)
	more := len(l.again.waiting) > 0
	l.turn.Unlock()
	if more || l.server.stopping.Load() {
		l.rouse() // of what is left epoll tells nobody, and what the loop was roused for may have been this turn's
	}
}

// take handles so many events at most, without waiting, and reports whether there may be more.
func (l *loop) take(most int) bool {
	n := poll(l.epoll, l.events[:most])
	l.clock.Store(l.now())
	for i := range l.events[:n] {
		l.deliver()
		l.event(&l.events[i])
	}
	l.deliver()
	l.resume()
	l.bury()
	l.sweep()
	return n > 0 || len(l.again.waiting) > 0
}

// wait returns when something has happened, or a tick has passed, even where there is no connection: another's turn may
// accept one meanwhile. It takes no event, so that others can while it has no processor to go on with.
func (l *loop) wait() {
	l.asleep.Store(true)
	if !l.replied.Load() { // for those that came before it is not roused
		events := []unix.PollFd{{Fd: int32(l.epoll), Events: unix.POLLIN}}
		_, _ = unix.Poll(events, int(tick/time.Millisecond)) // fails only where it is interrupted
	}
	l.asleep.Store(false)
}

func (l *loop) event(e *unix.EpollEvent) {
	switch slot := uint32(e.Fd); slot {
	case wakeSlot: // what it woke for is looked at after every event
	case listenerSlot:
		l.accept()
	default:
		if l.ages[slot] != uint32(e.Pad) {
			return // of a connection that was closed since
		}
		l.ready(l.slots[slot], e.Events)
	}
}

// ready tells whose connection it is that something happened.
func (l *loop) ready(c *conn, events uint32) {
	for {
		switch c.state.Load() {
		case idle:
			if c.again { // what came is read then, its end too
				return
			}
			l.receive(c, events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
			return
		case busy:
			if c.state.CompareAndSwap(busy, pending) {
				return
			}
		case waiting:
			if c.state.CompareAndSwap(waiting, busy) {
				c.worker.wake <- struct{}{}
				return
			}
		case closing:
			l.linger(c)
			return
		default:
			return
		}
	}
}

// close ends a connection that is the loop's.
func (l *loop) close(c *conn) {
	c.state.Store(closing)
	l.discard(c)
	l.server.counts.open.Add(-1) // first, so that who sees its end finds its place free
	_ = unix.Close(c.fd)         // epoll forgets it
	l.ages[c.slot]++
	l.slots[c.slot] = nil
	l.free = append(l.free, c.slot)
}

// giveUp leaves a connection to the loop to close. Workers call it.
func (l *loop) giveUp(c *conn) {
	c.since = never
	c.state.Store(closing)
	l.mu.Lock()
	l.ending.add(c)
	first := len(l.ending.waiting) == 1
	l.mu.Unlock()
	if first {
		l.rouse()
	}
}

// rouse makes the loop look around. Anybody may call it until the loop has ended.
func (l *loop) rouse() {
	_, _ = unix.Write(l.waker, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // it fails only where the loop is awake for sure
}

// bury closes what workers gave up.
func (l *loop) bury() {
	l.mu.Lock()
	ended := l.ending.take()
	l.mu.Unlock()
	for _, c := range ended {
		if !c.rude || unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
			l.close(c)
			continue
		}
		c.since, c.need = l.clock.Load(), 0
		l.linger(c)
	}
}

// linger throws away what a peer still sends after its answer, so that the answer is not lost with it: closing a
// socket with unread bytes resets the connection.
func (l *loop) linger(c *conn) {
	if c.since == never { // its worker has just given it up
		return
	}
	for {
		n, errno := read(c.fd, l.scratch)
		switch {
		case errno == unix.EAGAIN:
			return
		case errno == unix.EINTR:
		case errno != 0 || n == 0 || c.need > lingerMost:
			l.close(c)
			return
		default:
			c.need += n
		}
	}
}

func (l *loop) closeAll() {
	for _, fd := range []int{l.listener, l.waker, l.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
