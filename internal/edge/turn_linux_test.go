package edge

import (
	"net"
	"testing"
	"time"
)

// Requests are answered while the loop's goroutine gets no turn, because workers have theirs.
func TestOthersTurn(t *testing.T) {
	l, c := serving(t)
	l.turn.Lock()
	send(t, c, request("GET", "/", ""))
	l.wait()
	l.take() // as a worker would, with the loop shut out
	answers(t, c, 1, false)
	l.turn.Unlock()
}

// Help takes events, and where nobody needs it or another has the turn it leaves them.
func TestHelp(t *testing.T) {
	l, _ := serving(t)
	taken := func() bool {
		before := l.clock.Load()
		l.help()
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
