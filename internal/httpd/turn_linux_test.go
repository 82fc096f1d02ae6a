package httpd

import (
	"context"
	"net"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

// Requests are answered while the loop's goroutine gets no turn, because workers take turns.
func TestOthersTurn(t *testing.T) {
	l, c := serving(t)
	l.turn.Lock()
	send(t, c, request("GET", "/", ""))
	l.wait()
	l.take(eventsMost) // as a worker would, while the loop is locked out
	answers(t, c, 1, false)
	l.turn.Unlock()
}

// help takes events, unless it is too early or another goroutine has the turn.
func TestHelp(t *testing.T) {
	l, _ := serving(t)
	taken := func() bool {
		before := l.clock.Load()
		l.help(eventsMost)
		return l.clock.Load() != before
	}
	l.turn.Lock() // the loop waits for this
	l.clock.Store(l.now() + int64(time.Hour))
	if taken() {
		t.Error("a turn right after another")
	}
	l.clock.Store(l.now() - int64(time.Hour))
	if taken() {
		t.Error("two turns at once")
	}
	l.turn.Unlock()
	for range 1000 { // until the loop waits for events and leaves the turn
		if l.clock.Store(l.now() - int64(time.Hour)); taken() {
			return
		}
	}
	t.Error("no help in 1000 tries")
}

// Workers help before they wait for a connection and when they get one, including a new worker's first.
func TestWorkersHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := resting(t)
		const long = -int64(time.Hour)
		w := &worker{server: l.server, next: make(chan *conn, 1)}
		l.clock.Store(long)
		given := make(chan bool)
		go func() { given <- w.await() }()
		synctest.Wait()
		if l.clock.Load() == long {
			t.Error("no turn before it waits")
		}
		l.clock.Store(long)
		w.next <- new(conn)
		if !<-given {
			t.Error("it was given no connection")
		}
		if l.clock.Load() == long {
			t.Error("no turn when it has a connection")
		}
		l.clock.Store(long)
		(&worker{server: l.server, ended: true}).workLoop()
		if l.clock.Load() == long {
			t.Error("no turn when it is new")
		}
	})
}

// resting returns a server's loop that does not run.
func resting(t *testing.T) *loop {
	t.Helper()
	s, err := NewServer(options(nil))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if s.loop, err = newLoop(s, listener); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.loop.closeAll)
	return s.loop
}

// Received is the time of the first byte, even if the rest or a worker comes late.
func TestReceived(t *testing.T) {
	received := make(chan time.Time, 1)
	s, address := start(t, func(o *Options) {
		o.Handler = func(c *fasthttp.RequestCtx) { received <- Received(c) }
	})
	c := dial(t, address)
	whole := request("GET", "/", "")
	before := time.Now()
	send(t, c, whole[:10])
	for !holds(s) {
		runtime.Gosched()
	}
	read := time.Now()
	send(t, c, whole[10:])
	if got := <-received; got.Before(before) || got.After(read) {
		t.Errorf("received %v after the first byte was sent, want at most %v", got.Sub(before), read.Sub(before))
	}
	answers(t, c, 1, false)
	send(t, c, whole)
	if got := <-received; got.Before(read) || got.After(time.Now()) {
		t.Errorf("the next one was received %v after the first had come whole", got.Sub(read))
	}
	answers(t, c, 1, false)
}

// holds says whether the loop has the beginning of a request.
func holds(s *Server) bool {
	return some(s, func(c *conn) bool { return len(c.held) > 0 })
}

// some says whether a connection meets the condition; false if the server does not serve.
func some(s *Server, so func(*conn) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop == nil {
		return false
	}
	s.loop.turn.Lock()
	defer s.loop.turn.Unlock()
	return slices.ContainsFunc(s.loop.slots, func(c *conn) bool { return c != nil && so(c) })
}

// serving is the loop of a server that has answered on c.
func serving(t *testing.T) (l *loop, c net.Conn) {
	t.Helper()
	s, address := start(t, nil)
	c = dial(t, address)
	send(t, c, request("GET", "/", ""))
	answers(t, c, 1, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loop, c
}
