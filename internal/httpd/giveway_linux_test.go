package httpd

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// Threads give way at intervals after a refusal, until none has been refused for scarceFor.
func TestGiveWay(t *testing.T) {
	l, c, peer := stepped(t, &gate{})
	f := func(when string, at time.Duration, want bool) {
		t.Helper()
		if got := l.due(int64(at)); got != want {
			t.Errorf("%s: due %v, want %v", when, got, want)
		}
	}
	const ms = time.Millisecond
	l.refuse(c, 0)
	f("nothing was refused", ms, false)
	if _, err := io.WriteString(peer, request("POST", "/shed", "")); err != nil {
		t.Fatal(err)
	}
	l.wait()
	l.take(eventsMost)
	if !c.used {
		t.Fatal("the request was not read")
	}
	at := time.Duration(l.clock.Load())
	f("one was", at+ms, true)
	f("right after another", at+ms+giveWayEvery-1, false)
	f("a while after another", at+ms+giveWayEvery, true)
	f("at last", at+scarceFor-1, true)
	f("when none was refused for a while", at+scarceFor+ms, false)
}

// A refusal by a worker counts as well.
func TestGiveWayAfterWorkersRefusal(t *testing.T) {
	g := &gate{}
	s, address := start(t, func(o *Options) { o.Gate = g.gate() })
	c := dial(t, address)
	send(t, c, "POST /shed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
	answers(t, c, 1, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.refused.Load() != 1 || s.loop.scarce.Load() == 0 {
		t.Errorf("%d refused, cores scarce until %d", g.refused.Load(), s.loop.scarce.Load())
	}
}

// A worker gives way before it waits for a connection, if slices are short.
func TestWorkersGiveWay(t *testing.T) {
	f := func(name string, gives bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := resting(t)
				const long = int64(time.Hour)
				l.givesWay = gives
				l.scarce.Store(long)
				l.gaveWay.Store(-long)
				w := &worker{server: l.server, next: make(chan *conn, 1)}
				given := make(chan bool)
				go func() { given <- w.await() }()
				synctest.Wait()
				if got := l.gaveWay.Load() != -long; got != gives {
					t.Errorf("gave way %v, want %v", got, gives)
				}
				close(w.next)
				<-given
			})
		})
	}
	f("where slices are short", true)
	f("elsewhere", false)
}
