package httpd

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// What is framed wrongly is answered once and ends its connection: what follows is no request.
func TestRefusedFraming(t *testing.T) {
	s, address := start(t, nil)
	want := map[int]uint64{}
	f := func(status int, head string) {
		t.Helper()
		c := dial(t, address)
		send(t, c, head+smuggled)
		if got := answers(t, c, 1, true); got[0] != strconv.Itoa(status) {
			t.Errorf("%q is answered %q, want %d", head, got, status)
		}
		want[status]++
	}
	const post = "POST /a HTTP/1.1\r\nHost: x\r\n"
	f(400, post+"Content-Length : 39\r\n\r\n")
	f(400, post+"Transfer-Encoding : chunked\r\n\r\n")
	f(400, post+"Content-Length: 39\r\nContent-Length: 39\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\nContent-Length: 39\r\n\r\n0\r\n\r\n")
	f(400, "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(501, post+"Transfer-Encoding: gzip, chunked\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\n\r\n3_\r\nabc\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\n\r\n3x\r\nabc\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\n\r\n3 abc\r\nabc\r\n0\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\n\r\n0_2e\r\n\r\n")
	f(400, post+"Transfer-Encoding: chunked\r\n\r\n1;"+strings.Repeat("x", 100_000)+"\r\na\r\n0\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n")
	f(400, "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n")
	f(400, "GET / HTTP/1.1\nHost: x\n\n")
	f(505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n")
	f(505, "GET / HTTP/9.9\r\nHost: x\r\n\r\n")
	f(417, "GET / HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n")
	f(413, post+"Content-Length: 99999999999999999999\r\n\r\n")
	f(414, "GET /"+strings.Repeat("x", testHead)+" HTTP/1.1\r\n")
	f(431, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", testHead)+"\r\n")
	if got := s.Errors(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("errors counted: %v, want %v", got, want)
	}
	if n := s.UnderWay(); n != 0 {
		t.Errorf("%d bytes are still under way", n)
	}
}

// Connection and Expect are lists, without case.
func TestConnectionOptions(t *testing.T) {
	_, address := start(t, nil)
	for _, header := range []string{"Connection: Close", "Connection: keep-alive, close", "Connection: keep-alive\r\nConnection: close"} {
		c := dial(t, address)
		send(t, c, "GET /a HTTP/1.1\r\nHost: x\r\n"+header+"\r\n\r\n")
		if got := answers(t, c, 1, true); got[0] != "200 GET /a 0" {
			t.Errorf("%s: %q", header, got)
		}
	}
	for _, header := range []string{"Content-Length: 4\r\nExpect: 100-Continue", "Transfer-Encoding: chunked\r\nExpect: 100-continue"} {
		c := dial(t, address)
		send(t, c, "POST /a HTTP/1.1\r\nHost: x\r\n"+header+"\r\n\r\n")
		line := make([]byte, len(continues))
		if _, err := io.ReadFull(c, line); err != nil || string(line) != string(continues) {
			t.Fatalf("%s: %q, %v; want 100", header, line, err)
		}
		send(t, c, map[bool]string{false: "body", true: "4\r\nbody\r\n0\r\n\r\n"}[header[0] == 'T'])
		if got := answers(t, c, 1, false); got[0] != "200 POST /a 4 body" {
			t.Errorf("%s: %q", header, got)
		}
	}
	c := dial(t, address)
	send(t, c, "GET http://y/a?b HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /d HTTP/1.0\r\n\r\n")
	if got := strings.Join(answers(t, c, 3, true), ","); got != "200 GET /a?b 0,200 GET /c 0,200 GET /d 0" {
		t.Errorf("an absolute target, then HTTP/1.0: %s", got)
	}
}

// A new connection may be silent as long as one between requests.
func TestSilent(t *testing.T) {
	s, address := start(t, func(o *Options) { o.ReadTimeout = time.Millisecond })
	c := dial(t, address)
	until(t, "three sweeps", func() bool {
		swept := int64(0)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.loop != nil {
			s.loop.turn.Lock()
			swept = s.loop.swept
			s.loop.turn.Unlock()
		}
		return swept >= int64(3*tick)
	})
	send(t, c, request("GET", "/a", ""))
	if got := answers(t, c, 1, false); got[0] != "200 GET /a 0" {
		t.Errorf("answered %q", got)
	}
}

// until waits until a condition is met. The test fails if that takes too long.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no sign of %s", what)
		}
	}
}

// residentBytes returns the process's memory in RAM.
func residentBytes(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// Connections that announce bodies and send none take little memory. GAVEL_ANNOUNCED says how many; 4,000 need as many
// descriptors twice.
func TestAnnounced(t *testing.T) {
	n, most := 400, 8<<20
	if more, err := strconv.Atoi(os.Getenv("GAVEL_ANNOUNCED")); err == nil {
		n, most = more, 64<<20
	}
	for _, framing := range []string{"Content-Length: 262144", "Transfer-Encoding: chunked", "Content-Length: 262144\r\nExpect: 100-continue"} {
		s, address := start(t, func(o *Options) { o.MaxBody, o.MaxUnderWay, o.MaxConnections = 256<<10, 128<<20, n })
		heap := func() int {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapInuse + m.StackInuse)
		}
		before, resident := heap(), residentBytes(t)
		for range n {
			send(t, dial(t, address), "POST /a HTTP/1.1\r\nHost: x\r\n"+framing+"\r\n\r\n")
		}
		until(t, "all heads", func() bool {
			held := 0
			some(s, func(c *conn) bool {
				if len(c.held) > 0 {
					held++
				}
				return false
			})
			return held == n
		})
		grown, more := heap()-before, residentBytes(t)-resident
		t.Logf("%s: %d connections take %d kB of heap and stacks, %d kB of RSS, %d kB of the budget", framing, n, grown>>10, more>>10, s.UnderWay()>>10)
		if grown > most || more > most {
			t.Errorf("%s: %d connections take %d bytes of heap and stacks, %d of RSS; want at most %d", framing, n, grown, more, most)
		}
	}
}

// Requests that arrive have a budget together. One that finds none left is refused, others are served.
func TestUnderWay(t *testing.T) {
	s, address := start(t, func(o *Options) { o.MaxUnderWay = testHead + 2*testBody })
	half := request("POST", "/a", strings.Repeat("x", 60_000))[:40_000]
	var all []net.Conn
	for range 4 {
		c := dial(t, address)
		send(t, c, half)
		all = append(all, c)
	}
	until(t, "a refusal", func() bool { return s.Errors()[503] > 0 })
	c := dial(t, address)
	send(t, c, request("POST", "/a", "1"))
	if got := answers(t, c, 1, false); got[0] != "200 POST /a 1 1" {
		t.Errorf("a small one: %q", got)
	}
	served := 0
	for _, c := range all {
		_, _ = io.WriteString(c, strings.Repeat("x", len(request("POST", "/a", strings.Repeat("x", 60_000)))-len(half)))
		if got := answers(t, c, 1, false); strings.HasPrefix(got[0], "200 ") {
			served++
		} else if got[0] != "503" {
			t.Errorf("answered %.40q, want 503", got)
		}
	}
	if served == 0 || served+int(s.Errors()[503]) != len(all) {
		t.Errorf("%d served, %v errors", served, s.Errors())
	}
	until(t, "the end of all that is under way", func() bool { return s.UnderWay() == 0 })
}

// While it drains, a server accepts connections, and ends each with its answer. Then it answers all that has arrived.
func TestDrain(t *testing.T) {
	entered, release := make(chan struct{}, 4), make(chan struct{})
	s, address := start(t, func(o *Options) {
		o.Handler = func(c *fasthttp.RequestCtx) {
			if string(c.Path()) == "/slow" {
				entered <- struct{}{}
				<-release
			}
			echo(c)
		}
	})
	kept, slow := dial(t, address), dial(t, address)
	send(t, kept, request("GET", "/1", ""))
	answers(t, kept, 1, false)
	send(t, slow, request("GET", "/slow", ""))
	<-entered
	s.Drain()
	send(t, kept, request("GET", "/2", ""))
	if got := answers(t, kept, 1, true); got[0] != "200 GET /2 0" {
		t.Errorf("a kept connection: %q", got)
	}
	if got := announcesEnd(t, address); !got {
		t.Error("a new connection's answer does not say that it is the last")
	}
	send(t, slow, request("GET", "/3", "")+request("GET", "/4", "")) // while it handles /slow
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	close(release)
	if got := strings.Join(answers(t, slow, 3, true), ","); got != "200 GET /slow 0,200 GET /3 0,200 GET /4 0" {
		t.Errorf("what had arrived is answered %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// announcesEnd reports whether the answer on a new connection announces the connection's end.
func announcesEnd(t *testing.T, address string) bool {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Close
}

// Requests that were sent before Shutdown are answered, also on connections that nobody has accepted yet.
func TestShutdownAnswers(t *testing.T) {
	for range 5 {
		s, address := start(t, nil)
		var all []net.Conn
		for i := range 60 {
			c := dial(t, address)
			if i%2 == 0 {
				send(t, c, request("GET", "/1", ""))
				answers(t, c, 1, false)
			}
			all = append(all, c)
		}
		for _, c := range all {
			send(t, c, request("GET", "/2", ""))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(ctx) }()
		for i, c := range all {
			if got := answers(t, c, 1, true); got[0] != "200 GET /2 0" {
				t.Errorf("connection %d: %q", i, got)
			}
			c.Close()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		cancel()
	}
}
