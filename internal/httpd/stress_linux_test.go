package httpd

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"
)

// Workers without work end gradually, and connections are still served.
func TestTrim(t *testing.T) {
	const most = 8
	entered, release := make(chan struct{}), make(chan struct{})
	s, address := start(t, func(o *Options) {
		o.Handler = func(*fasthttp.RequestCtx) { entered <- struct{}{}; <-release }
	})
	var all []*net.TCPConn
	for range most {
		c := dial(t, address)
		send(t, c, request("GET", "/", ""))
		<-entered
		all = append(all, c)
	}
	close(release)
	for _, c := range all {
		answers(t, c, 1, false)
	}
	for range most { // the first call starts counting; each other call ends half
		s.workers.trim()
	}
	s.workers.mu.Lock()
	if n := len(s.workers.parked); n > most/4 {
		t.Errorf("%d workers are left", n)
	}
	s.workers.mu.Unlock()
	go func() { <-entered }()
	send(t, all[0], request("GET", "/", ""))
	answers(t, all[0], 1, false)
}

// Other peers do not wait while a peer that floods the server is refused.
func TestFlood(t *testing.T) {
	var g gate
	_, address := start(t, func(o *Options) { o.Gate = g.gate() })
	peer, c := dial(t, address), dial(t, address)
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	defer flood(peer, 1000)()
	for range 100 {
		send(t, c, request("POST", "/a", ""))
		if got := answers(t, c, 1, false); got[0] != "200 POST /a 0" {
			t.Errorf("answered %v", got)
		}
	}
}

// Connections open, send, break and close in many ways: each answer reaches its peer, and nothing leaks.
func TestStress(t *testing.T) {
	descriptors := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(all)
	}
	if listener, err := net.Listen("tcp", "127.0.0.1:0"); err != nil { // Go's poller has descriptors too
		t.Fatal(err)
	} else if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	before := descriptors()
	stress := func(t *testing.T, change func(*Options)) { // what it leaks is seen after its end
		_, address := start(t, change)
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				for j := range 60 {
					misbehave(t, address, i, j)
				}
			})
		}
		all.Wait()
	}
	var g, passing gate
	t.Run("workers", func(t *testing.T) { stress(t, func(o *Options) { o.Gate = g.gate() }) })
	if a, r, l := g.admitted.Load(), g.refused.Load(), g.left.Load(); a == 0 || r == 0 || a != l {
		t.Errorf("%d admitted, %d refused, %d left", a, r, l)
	}
	passing.pass.Store(true)
	var taken atomic.Int64
	t.Run("direct", func(t *testing.T) {
		stress(t, func(o *Options) {
			o.Gate = passing.gate()
			o.Direct = &Direct{Begin: func(call *Call) bool {
				taken.Add(1)
				body := fmt.Appendf(nil, "%s %s %d %s", call.Method, call.Path, len(call.Body), call.Body)
				go call.Answer(200, "text/plain", body)
				return true
			}}
		})
	})
	if taken.Load() == 0 || passing.refused.Load() == 0 {
		t.Errorf("%d taken on the loop, %d refused", taken.Load(), passing.refused.Load())
	}
	if after := descriptors(); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

// misbehave opens one connection, sends some requests, together or one after the other, and leaves in one of several
// ways.
func misbehave(t *testing.T, address string, i, j int) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	c := conn.(*net.TCPConn)
	id := fmt.Sprintf("/%d/%d", i, j)
	requests := []string{request("GET", id, ""), request("POST", "/shed", id), request("POST", id, id)}
	oneByOne := (i+j)%8 >= 4
	if !oneByOne {
		text := strings.Join(requests, "")
		cut := (i*31 + j*17) % len(text)
		_, _ = io.WriteString(c, text[:cut])
		switch (i + j) % 4 {
		case 0: // resets
			_ = c.SetLinger(0)
			return
		case 1: // leaves in the middle
			return
		}
		_, _ = io.WriteString(c, text[cut:])
	}
	if !oneByOne && (i+j)%4 == 2 {
		_ = c.CloseWrite()
	}
	in := bufio.NewReader(c)
	for k, want := range []string{fmt.Sprintf("GET %s 0 ", id), "", fmt.Sprintf("POST %s %d %s", id, len(id), id)} {
		if oneByOne {
			_, _ = io.WriteString(c, requests[k])
			switch {
			case k == (i+j)%4: // leaves before the answer
				if i%2 == 0 {
					_ = c.SetLinger(0)
				}
				return
			case k == 2 && j%2 == 0:
				_ = c.CloseWrite()
			}
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Errorf("%s, answer %d: %v", id, k, err)
			return
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != want {
			t.Errorf("%s, answer %d: %q, %v; want %q", id, k, body, err, want)
		}
	}
}
