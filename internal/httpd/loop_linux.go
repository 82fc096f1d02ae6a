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
)

const (
	tick       = 100 * time.Millisecond // between sweeps for what has waited too long
	trimEvery  = 10 * time.Second       // between trims of workers without work
	newGrace   = 5 * time.Second        // after which a shutdown closes connections without a request
	lingerTime = time.Second            // in which a peer that was answered before it had sent all can read the answer
	lingerMost = 1 << 20                // bytes discarded in that time
	helpAfter  = 20 * time.Microsecond  // time without a turn after which workers help
	refuseMost = 64                     // refusals in one write
	eventsMost = 256                    // events taken in a turn
	beginsMost = 16                     // events taken by a worker whose own request waits
)

// Slots that are not connections.
const (
	listenerSlot = math.MaxUint32
	wakeSlot     = math.MaxUint32 - 1
)

// loop is the event loop. Its goroutine waits for events, and then for a processor, while other goroutines have them
// all. So whoever holds turn may take the events from epoll. Workers do so when they begin and when they have answered:
// see help.
type loop struct {
	server *Server
	epoll  int
	waker  int // an eventfd that ends the wait
	start  time.Time
	clock  atomic.Int64 // ns since start, as of the last turn

	turn         sync.Mutex // guards the fields below, down to except
	listener     int        // -1: closed
	swept        int64      // time of the last sweep, ns
	trimmed      int64
	acceptPaused bool // until the next tick: no descriptors were left

	slots   []*conn
	ages    []uint32 // generation of each slot
	free    []uint32
	events  []unix.EpollEvent
	scratch []byte   // where read puts data
	spare   [][]byte // buffers of held requests
	answers []byte   // refuseMost refusals, one after the other

	unread list     // connections with more to read, for the next turn
	except []string // Direct's ExceptHeaders

	date    atomic.Pointer[[]byte] // the Date header's value
	asleep  atomic.Bool            // the goroutine waits or is about to
	replied atomic.Bool            // replies is not empty

	mu      sync.Mutex // guards the lists
	ending  list       // connections that their workers gave up
	back    list       // connections that their workers gave back with what has arrived
	replies list       // connections whose call has been answered
}

func newLoop(s *Server, listener net.Listener) (*loop, error) {
	l := &loop{
		server: s, listener: -1, waker: -1, epoll: -1, start: time.Now(),
		events: make([]unix.EpollEvent, eventsMost), scratch: make([]byte, 64<<10),
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
		l.except = d.ExceptHeaders
	}
	l.renewDate()
	return l, nil
}

// duplicate returns a descriptor of the listener that Go's network poller does not know.
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

// now returns the time since start, ns.
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

// help takes a turn of at most most events, if the loop had none for helpAfter and no other goroutine has the turn.
func (l *loop) help(most int) {
	if l.now()-l.clock.Load() < int64(helpAfter) || !l.turn.TryLock() {
		return
	}
	l.take(most)
	more := len(l.unread.waiting) > 0
	l.turn.Unlock()
	if more || l.server.stopping.Load() {
		l.wakeUp() // epoll does not report what is left, and this turn may have taken the loop's own wake-up
	}
}

// take handles at most most events, without waiting, and reports whether there may be more.
func (l *loop) take(most int) bool {
	n := poll(l.epoll, l.events[:most])
	l.clock.Store(l.now())
	for i := range l.events[:n] {
		l.deliver()
		l.event(&l.events[i])
	}
	l.deliver()
	l.resume()
	l.closeEnded()
	l.goOn()
	l.sweep()
	return n > 0 || len(l.unread.waiting) > 0
}

// wait returns when an event is ready or a tick has passed. The tick is needed even without connections, because a
// worker's turn may accept one. wait takes no event, so that workers can take them while the loop has no processor.
func (l *loop) wait() {
	l.asleep.Store(true)
	if !l.replied.Load() { // earlier replies did not wake the loop
		events := []unix.PollFd{{Fd: int32(l.epoll), Events: unix.POLLIN}}
		_, _ = unix.Poll(events, int(tick/time.Millisecond)) // fails only if it is interrupted
	}
	l.asleep.Store(false)
}

func (l *loop) event(e *unix.EpollEvent) {
	switch slot := uint32(e.Fd); slot {
	case wakeSlot: // take checks after every event what the loop was woken for
	case listenerSlot:
		l.accept()
	default:
		if l.ages[slot] != uint32(e.Pad) {
			return // the connection has been closed since
		}
		l.ready(l.slots[slot], e.Events)
	}
}

// ready passes an event to the connection's owner.
func (l *loop) ready(c *conn, events uint32) {
	for {
		switch c.state.Load() {
		case idle:
			if c.queued { // resume reads it, and its end
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

// close closes a connection that the loop owns.
func (l *loop) close(c *conn) {
	c.state.Store(closing)
	l.discard(c)
	l.server.counts.open.Add(-1) // before Close, so that a peer that sees the end can connect again
	_ = unix.Close(c.fd)         // also removes it from epoll
	l.ages[c.slot]++
	l.slots[c.slot] = nil
	l.free = append(l.free, c.slot)
}

// giveUp hands a connection to the loop, which closes it. Workers call it.
func (l *loop) giveUp(c *conn) {
	c.since = never
	c.state.Store(closing)
	l.pass(&l.ending, c)
}

// takeBack hands a busy connection to the loop, which goes on with what has arrived. Workers call it.
func (l *loop) takeBack(c *conn) { l.pass(&l.back, c) }

func (l *loop) pass(to *list, c *conn) {
	l.mu.Lock()
	to.add(c)
	first := len(to.waiting) == 1
	l.mu.Unlock()
	if first {
		l.wakeUp()
	}
}

// wakeUp ends the loop's wait. Any goroutine may call it until the loop has ended.
func (l *loop) wakeUp() {
	_, _ = unix.Write(l.waker, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only if the eventfd's counter is full, and then the loop is awake
}

// closeEnded closes the connections that workers gave up, or lets them linger.
func (l *loop) closeEnded() {
	l.mu.Lock()
	ended := l.ending.take()
	l.mu.Unlock()
	for _, c := range ended {
		if c.unreadInput {
			l.lingerOn(c)
		} else {
			l.close(c)
		}
	}
}

// goOn goes on with the connections that workers gave back.
func (l *loop) goOn() {
	l.mu.Lock()
	back := l.back.take()
	l.mu.Unlock()
	for _, c := range back {
		data := c.arrived
		c.arrived = nil
		c.state.Store(idle)
		l.find(c, data, true)
		if c.state.Load() == idle {
			l.receive(c, true)
		}
	}
}

// lingerOn ends the answers of a connection, and lets it linger.
func (l *loop) lingerOn(c *conn) {
	c.state.Store(closing)
	l.discard(c)
	if unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		l.close(c)
		return
	}
	c.since, c.need = l.clock.Load(), 0
	l.linger(c)
}

// linger discards what a peer still sends after its answer. To close a socket with unread input would reset the
// connection, and the peer might lose the answer.
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
