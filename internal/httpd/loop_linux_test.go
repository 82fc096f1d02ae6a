package httpd

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stepped is a loop that does not run by itself, with one connection. The test has its turns.
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

// flood sends requests to be refused, with bodies of size bytes, until the connection is closed by the function that it
// returns.
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

// A connection that always has more to read has one turn a round, however often epoll tells of it.
func TestTurns(t *testing.T) {
	var g gate
	l, c, peer := stepped(t, &g)
	defer flood(peer, 20_000)() // its answers find room unread
	for turns := 0; turns < 100; {
		l.ready(c, unix.EPOLLIN)
		l.resume()
		if len(l.again.waiting) > 1 {
			t.Fatalf("it has %d turns", len(l.again.waiting))
		}
		turns += len(l.again.waiting)
		if c.state.Load() != idle {
			t.Fatal("it was closed")
		}
	}
}

// A turn that leaves something to read rouses the loop, which epoll would not tell of it.
func TestHelpLeaves(t *testing.T) {
	var g gate
	l, c, peer := stepped(t, &g)
	defer flood(peer, 20_000)() // its answers find room unread
	for len(l.again.waiting) == 0 {
		l.clock.Store(l.now() - int64(patience))
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

// The loop looks around each tick even where it knows of no connection.
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
		l.rouse()
		<-waited
	}
}

// A request that never ends, but never pauses either, ends in time.
func TestEndless(t *testing.T) {
	var g gate
	l, c, peer := stepped(t, &g)
	c.state.Store(busy)
	defer c.state.Store(idle)
	l.server.loop = l
	w := &worker{server: l.server, conn: c}
	send(t, peer, "abcd")
	in := make([]byte, 1)
	if n, err := w.Read(in); n != 1 || err != nil {
		t.Errorf("in time: %d, %v", n, err)
	}
	l.clock.Store(int64(l.server.options.ReadTimeout))
	if n, err := w.Read(in); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("too late: %d, %v", n, err)
	}
	if err := errors.Join(w.SetReadDeadline(time.Now()), w.SetReadDeadline(time.Time{})); err != nil { // the next request
		t.Error(err)
	}
	if n, err := w.Read(in); n != 1 || err != nil {
		t.Errorf("the next: %d, %v", n, err)
	}
}

// Where what was refused can't be answered, the request that was admitted behind it leaves.
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
