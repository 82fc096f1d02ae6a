package httpd

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stepped returns a loop with one connection that does not run by itself. The test takes its turns.
func stepped(t *testing.T, g *gate) (l *loop, c *conn, peer net.Conn) {
	t.Helper()
	s, err := NewServer(options(func(o *Options) { o.Gate = g.gate() }))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if l, err = newLoop(s, listener); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.closeAll)
	peer = dial(t, listener.Addr().String())
	for len(l.slots) == 0 {
		l.accept()
	}
	c = l.slots[0]
	t.Cleanup(func() {
		if c.state.Load() == idle {
			l.close(c)
		}
	})
	return l, c, peer
}

// flood sends requests that are refused, with bodies of size bytes, until the returned function closes the connection.
func flood(peer net.Conn, size int) (end func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		text := strings.Repeat(request("POST", "/shed", strings.Repeat("x", size)), 200_000/size)
		for {
			if _, err := io.WriteString(peer, text); err != nil {
				return
			}
		}
	}()
	return func() { peer.Close(); <-done }
}

// A connection that always has more to read is read once a round, even if epoll reports it several times.
func TestTurns(t *testing.T) {
	var g gate
	l, c, peer := stepped(t, &g)
	defer flood(peer, 20_000)() // its answers find room unread
	for turns := 0; turns < 100; {
		l.ready(c, unix.EPOLLIN)
		l.resume()
		if len(l.unread.waiting) > 1 {
			t.Fatalf("it has %d turns", len(l.unread.waiting))
		}
		turns += len(l.unread.waiting)
		if c.state.Load() != idle {
			t.Fatal("it was closed")
		}
	}
}

// A turn that leaves something to read wakes the loop, because epoll does not report it again.
func TestHelpLeaves(t *testing.T) {
	var g gate
	l, c, peer := stepped(t, &g)
	defer flood(peer, 20_000)() // its answers find room unread
	for len(l.unread.waiting) == 0 {
		l.clock.Store(l.now() - int64(helpAfter))
		l.help(eventsMost)
		if c.state.Load() != idle {
			t.Fatal("it was closed")
		}
	}
	for _, e := range l.events[:poll(l.epoll, l.events)] {
		if uint32(e.Fd) == wakeSlot {
			return
		}
	}
	t.Error("the loop sleeps on")
}

// The loop takes a turn each tick even without connections.
func TestWait(t *testing.T) {
	var g gate
	l, c, _ := stepped(t, &g)
	l.close(c)
	poll(l.epoll, l.events) // of the connection
	waited := make(chan struct{})
	go func() { defer close(waited); l.wait() }()
	select {
	case <-waited:
	case <-time.After(10 * time.Second):
		t.Error("it sleeps on")
		l.wakeUp()
		<-waited
	}
}

// If refusals cannot be written, Leave is called for the admitted request after them.
func TestLeaveUnanswered(t *testing.T) {
	var g gate
	l, c, _ := stepped(t, &g)
	if err := unix.Shutdown(c.fd, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	l.find(c, []byte(request("POST", "/shed", "")+request("POST", "/a", "")), false)
	if a, n := g.admitted.Load(), g.left.Load(); a != 1 || n != 1 || c.state.Load() != closing {
		t.Errorf("%d admitted, %d left, state %d; want 1, 1, closing", a, n, c.state.Load())
	}
}
