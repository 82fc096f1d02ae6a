package httpd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

var plainPath = regexp.MustCompile("^/a[a-z-]*$")

// later answers POSTs to plain paths from other goroutines, as reply does, and counts the requests that it took.
type later struct {
	taken atomic.Int64
	begun chan struct{} // receives one value a request taken; nil: none
	hold  chan struct{} // answers wait until it is closed; nil: they do not wait
}

// holding is a later whose answers wait, at most 8 of them.
func holding() *later {
	return &later{begun: make(chan struct{}, 8), hold: make(chan struct{})}
}

// ask sends a request and waits until Begin has taken it.
func (l *later) ask(t *testing.T, c net.Conn, body string) {
	t.Helper()
	send(t, c, request("POST", "/a", body))
	<-l.begun
}

func (l *later) direct() *Direct {
	return &Direct{ExceptHeaders: []string{"x-other"}, Begin: func(call *Call) bool {
		if string(call.Method) != "POST" || !plainPath.Match(call.Path) { // fasthttp would read others differently
			return false
		}
		body := reply(call.Method, call.Path, call.Body)
		l.taken.Add(1)
		select {
		case l.begun <- struct{}{}:
		default:
		}
		if string(call.Path) == "/at-once" {
			call.Answer(200, "text/x", body)
			return true
		}
		go func() {
			if l.hold != nil {
				<-l.hold
			}
			call.Answer(200, "text/x", body)
		}()
		return true
	}}
}

func reply(method, path, body []byte) []byte {
	return []byte(string(method) + " " + string(path) + " " + string(body))
}

// replying is a handler with the same answers as later.
func replying(c *fasthttp.RequestCtx) {
	c.Response.Header.SetContentType("text/x")
	c.SetBody(reply(c.Method(), c.Path(), c.Request.Body()))
}

// Plain requests that come one by one are handled on the loop. Others, and those that come together, are handled by a
// worker. The answers are the same.
func TestDirect(t *testing.T) {
	var l later
	var g gate
	s, address := start(t, func(o *Options) { o.Handler, o.Direct, o.Gate = replying, l.direct(), g.gate() })
	c := dial(t, address)
	f := func(name, text string, taken int64, want ...string) {
		t.Helper()
		rest(s)
		before := l.taken.Load()
		send(t, c, text)
		if got := answers(t, c, len(want), false); strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if n := l.taken.Load() - before; n != taken {
			t.Errorf("%s: %d taken on the loop, want %d", name, n, taken)
		}
	}
	g.pass.Store(true)
	f("one", request("POST", "/a", "1"), 1, "200 POST /a 1")
	f("another of the same connection", request("POST", "/a?x", "2"), 1, "200 POST /a 2")
	f("one that is answered at once", request("POST", "/at-once", "3"), 1, "200 POST /at-once 3")
	f("one that it does not take", request("GET", "/a", ""), 0, "200 GET /a")
	f("two at once", request("POST", "/a", "4")+request("POST", "/a", "5"), 0, "200 POST /a 4", "200 POST /a 5")
	f("a header that it is not told of", "POST /a HTTP/1.1\r\nHost: x\r\nX-Other: 1\r\nContent-Length: 1\r\n\r\n6", 0, "200 POST /a 6")
	f("an empty host", "POST /a HTTP/1.1\r\nHost:\r\nContent-Length: 1\r\n\r\n7", 0, "200 POST /a 7")
	f("a body in chunks", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n8\r\n0\r\n\r\n", 0, "200 POST /a 8")
	f("one behind a refused one", request("POST", "/shed", "")+request("POST", "/a", "9"), 1, "204", "200 POST /a 9")
	g.pass.Store(false)
	f("one that the gate counts", request("POST", "/a", "0"), 0, "200 POST /a 0")
	g.pass.Store(true)
	rest(s)
	send(t, c, request("POST", "/a", "in pieces")[:50])
	f("one that comes in pieces", request("POST", "/a", "in pieces")[50:], 1, "200 POST /a in pieces")
	send(t, c, request("POST", "/a", strings.Repeat("x", 70<<10))) // larger than a body may be
	if got := answers(t, c, 1, true); got[0] != "413" {
		t.Errorf("a large one: %v, want 413", got)
	}
}

// rest waits until every connection is idle. A worker that has answered still owns its connection for a moment.
func rest(s *Server) {
	for some(s, func(c *conn) bool { return c.state.Load() != idle }) {
		runtime.Gosched()
	}
}

// What arrives during a request (another request, the peer's end or both) is handled after its answer.
func TestDirectBusy(t *testing.T) {
	f := func(name, behind string, ends bool, want ...string) {
		t.Helper()
		l := holding()
		_, address := start(t, func(o *Options) { o.Handler, o.Direct = replying, l.direct() })
		c := dial(t, address)
		l.ask(t, c, "1")
		send(t, c, behind)
		if ends {
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		close(l.hold)
		if got := answers(t, c, len(want), ends); strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f("nothing", "", false, "200 POST /a 1")
	f("the end", "", true, "200 POST /a 1")
	f("another", request("POST", "/a", "2"), false, "200 POST /a 1", "200 POST /a 2")
	f("two, and the end", request("POST", "/a", "2")+request("GET", "/", ""), true, "200 POST /a 1", "200 POST /a 2", "200 GET /")
}

// Peers that leave before their answer do no harm.
func TestDirectBroken(t *testing.T) {
	l := holding()
	s, address := start(t, func(o *Options) { o.Handler, o.Direct = replying, l.direct() })
	for i := range 8 {
		c := dial(t, address)
		l.ask(t, c, "")
		if i%2 == 0 {
			_ = c.SetLinger(0)
		}
		c.Close()
	}
	close(l.hold)
	c := dial(t, address)
	send(t, c, request("POST", "/a", "1"))
	answers(t, c, 1, false)
	for s.Connections() > 1 { // the test's time bounds this
		time.Sleep(time.Millisecond)
	}
}

// An answer wakes a loop that sleeps.
func TestDirectRouses(t *testing.T) {
	var g gate
	l, c, peer := stepped(t, &g)
	events := make([]unix.EpollEvent, 4)
	woken := func() bool {
		for _, e := range events[:poll(l.epoll, events)] {
			if uint32(e.Fd) == wakeSlot {
				return true
			}
		}
		return false
	}
	answer := func(asleep bool) {
		l.asleep.Store(asleep)
		c.state.Store(busy)
		c.call = Call{loop: l, conn: c, out: c.call.out}
		c.call.Answer(200, "text/x", []byte("1"))
	}
	woken() // the wake-up of the set-up
	if answer(false); woken() {
		t.Error("woken while awake")
	}
	l.deliver()
	if answer(true); !woken() {
		t.Error("not woken while asleep")
	}
	l.deliver()
	if got := answers(t, peer, 2, false); got[0] != "200 1" || got[1] != "200 1" {
		t.Errorf("answers: %q", got)
	}
	if c.state.Load() != idle {
		t.Errorf("the connection's state is %d, want idle", c.state.Load())
	}
}

// A peer that does not read its answers loses its connection, and no goroutine waits for it.
func TestDirectUnread(t *testing.T) {
	var g gate
	l, c, peer := stepped(t, &g)
	body := make([]byte, 8<<20) // more than sockets hold
	c.state.Store(busy)
	c.call = Call{loop: l, conn: c}
	c.call.Answer(200, "text/x", body)
	l.deliver()
	if c.state.Load() != closing {
		t.Errorf("the connection's state is %d, want closing", c.state.Load())
	}
	if n, err := io.Copy(io.Discard, peer); n >= int64(len(body)) {
		t.Errorf("the whole answer came (%v)", err)
	}
}

// Shutdown waits for requests that are not answered yet.
func TestDirectShutdown(t *testing.T) {
	l := holding()
	s, address := start(t, func(o *Options) { o.Handler, o.Direct = replying, l.direct() })
	c := dial(t, address)
	l.ask(t, c, "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown while a request runs: %v", err)
	}
	close(l.hold)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if string(body) != "POST /a 1" || err != nil || !resp.Close {
		t.Errorf("the request under way: %q, %v, closes %v; want its answer and the connection's end told", body, err, resp.Close)
	}
}

// A stream that arrives in arbitrary pieces and is handled on the loop gets the answers to the messages that are in it.
func FuzzDirect(f *testing.F) {
	for i, s := range streams {
		f.Add([]byte(s), uint64(i))
		f.Add([]byte(strings.ReplaceAll(s, "GET /", "POST /a")), uint64(1000+i))
	}
	var l later
	_, address := start(f, func(o *Options) { o.Handler, o.Direct = replying, l.direct() })
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		asFramed(t, address, stream, seed, func(m message) string {
			var u fasthttp.URI
			_ = u.Parse(nil, []byte(m.target))
			return strings.TrimSpace("200 " + string(reply([]byte(m.method), u.Path(), []byte(m.body))))
		})
	})
}
