package httpd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"gavel/internal/httpd/httpdtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine a process that formats the date header.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// echo answers with what it was asked.
func echo(c *fasthttp.RequestCtx) {
	fmt.Fprintf(c, "%s %s %d %s", c.Method(), c.RequestURI(), len(c.Request.Body()), c.Request.Body())
}

func unreadable(c *fasthttp.RequestCtx, fault *Fault) { c.SetStatusCode(fault.Status) }

// gate refuses requests for /shed and counts.
type gate struct {
	admitted, refused, left atomic.Int64
	pass                    atomic.Bool // what is not refused
}

func (g *gate) gate() *Gate {
	return &Gate{Status: 204, Ask: func(method, path []byte) Verdict {
		switch {
		case string(path) == "/shed" && string(method) == "POST":
			g.refused.Add(1)
			return Refuse
		case string(path) == "/free" || g.pass.Load():
			return Pass
		}
		g.admitted.Add(1)
		return Admit
	}, Leave: func() { g.left.Add(1) }}
}

func options(change func(*Options)) Options {
	o := Options{
		Handler: echo, ErrorHandler: unreadable, MaxConnections: 1000, MaxBody: testBody, MaxHead: testHead, MaxUnderWay: 16 << 20,
		ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
	}
	if change != nil {
		change(&o)
	}
	return o
}

// start serves on a free port until the test ends.
func start(t testing.TB, change func(*Options)) (s *Server, address string) {
	t.Helper()
	s, err := NewServer(options(change))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // when it has been shut down
		if n := s.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	return s, httpdtest.Serve(t, s)
}

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil { // bounds a hanging test
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// answers reads n answers. Nothing may follow; if closed, the connection's end must.
func answers(t testing.TB, c net.Conn, n int, closed bool) (all []string) {
	t.Helper()
	in := bufio.NewReader(c)
	for range n {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", string(body))))
	}
	if closed {
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Errorf("%q and %v follow, want the end", rest, err)
		}
	}
	return all
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func request(method, path, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
}

// Refused requests are answered in order, their bodies are skipped, and none reaches the handler.
func TestGate(t *testing.T) {
	var g gate
	_, address := start(t, func(o *Options) { o.Gate = g.gate() })
	c := dial(t, address)
	shed := request("POST", "/shed", "a body")
	send(t, c, shed+request("POST", "/a", "1")+shed+shed+request("GET", "/shed", "")+request("GET", "/free", "")+shed[:len(shed)-3])
	send(t, c, shed[len(shed)-3:]+"POST /%73hed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"+
		"POST /shed HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
	got := strings.Join(answers(t, c, 9, true), ", ")
	if want := "204, 200 POST /a 1 1, 204, 204, 200 GET /shed 0, 200 GET /free 0, 204, 204, 204"; got != want {
		t.Errorf("answers: %s\nwant:    %s", got, want)
	}
	if a, r, l := g.admitted.Load(), g.refused.Load(), g.left.Load(); a != 2 || r != 6 || l != 2 {
		t.Errorf("%d admitted, %d refused, %d left; want 2, 6, 2", a, r, l)
	}
	c = dial(t, address)
	send(t, c, "GET /a HTTP/1.1\r\nHost: x\r\nX: \x01\r\n\r\n")
	if got := answers(t, c, 1, true); got[0] != "400" || g.admitted.Load() != 2 {
		t.Errorf("a request that can't be read: %v, %d admitted", got, g.admitted.Load())
	}
}

func TestTimeouts(t *testing.T) {
	f := func(name, text string, want string, change func(*Options)) {
		t.Helper()
		_, address := start(t, change)
		c := dial(t, address)
		send(t, c, text)
		n := 0
		if want != "" {
			n = 1 + strings.Count(want, ",")
		}
		if got := strings.Join(answers(t, c, n, true), ","); got != want {
			t.Errorf("%s: answered %q, want %q", name, got, want)
		}
	}
	slowly := func(o *Options) { o.ReadTimeout = time.Millisecond }
	f("nothing comes", "", "", func(o *Options) { o.IdleTimeout = time.Millisecond })
	f("half a head", "GET / HT", "408", slowly)
	f("half a body", request("POST", "/", "body")[:50], "408", slowly)
	f("half a chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", "408", slowly)
	f("half a large body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nhe", "408", slowly)
	f("half a second request", request("GET", "/a", "")+"GET", "200 GET /a 0,408", slowly)
	f("no second request", request("GET", "/a", ""), "200 GET /a 0", func(o *Options) { o.IdleTimeout = time.Millisecond })
}

// A peer that does not read its answer loses its connection after the write timeout.
func TestWriteTimeout(t *testing.T) {
	large, asked := make([]byte, 32<<20), make(chan struct{})
	s, address := start(t, func(o *Options) {
		o.WriteTimeout = time.Millisecond
		o.Handler = func(c *fasthttp.RequestCtx) { close(asked); c.Response.SetBodyRaw(large) }
	})
	c := dial(t, address)
	send(t, c, request("GET", "/", ""))
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil { // it waits for the connection's end
		t.Error(err)
	}
	if n, err := io.Copy(io.Discard, c); n >= int64(len(large)) {
		t.Errorf("the whole answer came (%v)", err)
	}
}

// A peer that reads slowly gets the whole answer.
func TestSlowReader(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<20)
	_, address := start(t, func(o *Options) { o.Handler = func(c *fasthttp.RequestCtx) { c.SetBodyString(large) } })
	c := dial(t, address)
	send(t, c, request("GET", "/1", "")+request("GET", "/2", ""))
	for i, got := range answers(t, c, 2, false) {
		if got != "200 "+large {
			t.Errorf("answer %d has %d bytes, or others", i, len(got))
		}
	}
}

// An answer that comes before the request has been sent is not lost with the connection.
func TestLinger(t *testing.T) {
	_, address := start(t, nil)
	c := dial(t, address)
	send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n")
	for range 9 {
		send(t, c, strings.Repeat("x", 100_000))
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := answers(t, c, 1, true); got[0] != "413" {
		t.Errorf("answered %s, want 413", got)
	}
}

func TestMaxConnections(t *testing.T) {
	s, address := start(t, func(o *Options) { o.MaxConnections = 1 })
	first := dial(t, address)
	send(t, first, request("GET", "/1", ""))
	answers(t, first, 1, false)
	if got := answers(t, dial(t, address), 1, true); got[0] != "503" || s.Refused() != 1 || s.Connections() != 1 {
		t.Errorf("the second connection: %v, %d refused, %d open", got, s.Refused(), s.Connections())
	}
	send(t, first, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answers(t, first, 1, true) // when its end is seen, another connection is accepted
	third := dial(t, address)
	send(t, third, request("GET", "/3", ""))
	if got := answers(t, third, 1, false); got[0] != "200 GET /3 0" {
		t.Errorf("the third connection: %v", got)
	}
}

func TestAddresses(t *testing.T) {
	_, address := start(t, func(o *Options) {
		o.Handler = func(c *fasthttp.RequestCtx) { fmt.Fprint(c, c.RemoteAddr(), " ", c.LocalAddr()) }
	})
	c := dial(t, address)
	send(t, c, request("GET", "/", ""))
	if got, want := answers(t, c, 1, false)[0], fmt.Sprint("200 ", c.LocalAddr(), " ", address); got != want {
		t.Errorf("addresses %s, want %s", got, want)
	}
}

// A handler cannot hijack its connection.
func TestHijack(t *testing.T) {
	_, address := start(t, func(o *Options) {
		o.Handler = func(c *fasthttp.RequestCtx) {
			c.Hijack(func(net.Conn) { t.Error("hijacked") })
			c.HijackSetNoResponse(true)
		}
	})
	c := dial(t, address)
	send(t, c, request("GET", "/", ""))
	if got := answers(t, c, 1, true); got[0] != "500" {
		t.Errorf("answered %v, want 500", got)
	}
}

// Shutdown answers running requests with "Connection: close" and closes idle connections.
func TestShutdown(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, address := start(t, func(o *Options) {
		o.Handler = func(c *fasthttp.RequestCtx) {
			if string(c.Path()) == "/slow" {
				close(entered)
				<-release
			}
		}
	})
	quiet, slow := dial(t, address), dial(t, address)
	send(t, quiet, request("GET", "/", ""))
	answers(t, quiet, 1, false)
	send(t, slow, request("GET", "/slow", ""))
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown while a request runs: %v", err)
	}
	answers(t, quiet, 0, true)
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("still listening")
	}
	if n := s.Connections(); n != 1 {
		t.Errorf("%d connections, want the slow one", n)
	}
	close(release)
	if got := answers(t, slow, 1, true); got[0] != "200" {
		t.Errorf("the slow request: %v", got)
	}
}

func TestServeOnce(t *testing.T) {
	s, err := NewServer(options(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"", "already"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if err := s.Serve(listener); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("served with %v, want %q", err, want)
		}
	}
}

func TestFaults(t *testing.T) {
	_, err := NewServer(Options{Gate: &Gate{Status: 200}})
	for _, want := range []string{"handler", "Ask and Leave", "status 200", "max connections 0", "max body 0", "max head 0", "timeouts"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in %v", want, err)
		}
	}
}
