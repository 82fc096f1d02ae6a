package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The generator sleeps in epoll and reads the system's clock, so these tests take real time, at most a second. They do
// not depend on how busy the machine is.

// serve runs a server on loopback until the test ends: each connection is handled by one call.
func serve(t *testing.T, handle func(c net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex // guards conns
		conns []net.Conn
		done  sync.WaitGroup
	)
	done.Go(func() { // ends when the listener closes
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			done.Go(func() { // ends when its connection closes
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		done.Wait()
	})
	return "http://" + listener.Addr().String() + "/"
}

// answering calls respond for every request on a connection until it returns false.
func answering(respond func(c net.Conn) bool) func(net.Conn) {
	return func(c net.Conn) {
		from := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(from)
			if err != nil {
				return
			}
			if _, err := from.Discard(int(r.ContentLength)); err != nil || !respond(c) {
				return
			}
		}
	}
}

func write(c net.Conn, text string) bool {
	_, err := c.Write([]byte(text))
	return err == nil
}

const (
	bid   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
	noBid = "HTTP/1.1 204 No Content\r\n\r\n"
)

// load offers the load of f to a server, with bodies of two deadlines in turn.
func load(t *testing.T, url string, f flags) result {
	t.Helper()
	bodies := filepath.Join(t.TempDir(), "bodies.jsonl")
	if err := os.WriteFile(bodies, []byte(`{"id":"@@@@@@@@@@@@@@@@","tmax":50}`+"\n"+`{"id":"@@@@@@@@@@@@@@@@","tmax":100}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.URL, f.Bodies, f.Arrivals, f.Interval, f.Marker = url, bodies, "even", time.Second, "@@@@@@@@@@@@@@@@"
	f.Distribution = time.Millisecond
	requests, err := loadRequests(f)
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGenerator(f, requests, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if err := g.run(); err != nil {
		t.Fatal(err)
	}
	r := g.result()
	due := uint64(0)
	for _, s := range r.Distribution.ByTMax {
		due += s.Sent
	}
	if due != r.Sent || r.Sent != r.Answered+r.Failed+r.Unanswered {
		t.Errorf("sent %d, by tmax %d; answered %d, failed %d, unanswered %d", r.Sent, due, r.Answered, r.Failed, r.Unanswered)
	}
	return r
}

// A server that stalls is charged for every request that would have come meanwhile, even though most of them wait for a
// connection.
func TestStall(t *testing.T) {
	const stall = 200 * time.Millisecond
	var (
		mu     sync.Mutex // guards served, and is held while the server stalls
		served int
	)
	url := serve(t, answering(func(c net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		if served++; served == 300 {
			time.Sleep(stall)
		}
		return write(c, bid)
	}))
	r := load(t, url, flags{Rate: 1000, Connections: 4, Duration: time.Second, Deadline: 50 * time.Millisecond, Drain: 5 * time.Second})
	if r.Sent != 1000 || r.Answered != 1000 {
		t.Fatalf("of 1000 requests, %d were due and %d answered", r.Sent, r.Answered)
	}
	if r.Late < 140 || r.Latency.P99 < 180 || r.Latency.P90 < 90 {
		t.Errorf("late %d, p99 %.0f ms, p90 %.0f ms after a stall of %v, want 150, 190 and 100 at least or so",
			r.Late, r.Latency.P99, r.Latency.P90, stall)
	}
	if r.SendLag.P99 < 180 {
		t.Errorf("the requests that waited for a connection lagged %.0f ms at p99, want 190 or so", r.SendLag.P99)
	}
}

// Requests that never found a connection count like those that were sent and not answered.
func TestSilentServer(t *testing.T) {
	url := serve(t, answering(func(net.Conn) bool { return true }))
	r := load(t, url, flags{Rate: 1000, Connections: 2, Duration: 100 * time.Millisecond, Deadline: time.Millisecond, Drain: 100 * time.Millisecond})
	if r.Sent != 100 || r.Unanswered != 100 || r.Late != 100 {
		t.Errorf("of 100 requests %d were due, %d unanswered, %d late", r.Sent, r.Unanswered, r.Late)
	}
	// They were due evenly over 100 ms, and the drain ended 100 ms later.
	if r.Latency.P50 < 145 || r.Latency.P50 > 155 || r.Latency.Max < 195 || r.Latency.Max > 201 {
		t.Errorf("p50 %.1f and at most %.1f ms, want 150 and 200", r.Latency.P50, r.Latency.Max)
	}
}

// What is counted if the server closes connections or answers in pieces.
func TestConnections(t *testing.T) {
	f := func(name string, handle func(net.Conn), check func(r result) bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			for _, rate := range []float64{0, 400} {
				r := load(t, serve(t, handle), flags{Rate: rate, Connections: 2, Duration: 250 * time.Millisecond,
					Deadline: time.Minute, Drain: 5 * time.Second})
				if r.Sent == 0 || !check(r) {
					t.Errorf("at rate %v: sent %d, answered %d (%v), failed %d, reconnects %d", rate, r.Sent, r.Answered, r.Status,
						r.Failed, r.Reconnects)
				}
			}
		})
	}
	f("kept open", answering(func(c net.Conn) bool { return write(c, noBid) }),
		func(r result) bool { return r.Status["204"] == r.Sent && r.Reconnects == 0 })
	f("closed with each answer", answering(func(c net.Conn) bool {
		write(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
		return false
	}), func(r result) bool { return r.Status["200"] == r.Sent && r.Reconnects == r.Sent && r.Failed == 0 })
	f("closed in place of an answer", answering(func(net.Conn) bool { return false }),
		func(r result) bool {
			return r.Failed == r.Sent && r.Late == r.Sent && r.Reconnects >= r.Sent && r.Latency.P50 >= 5000
		})
	f("written a byte at a time", answering(func(c net.Conn) bool {
		for i := range len(bid) {
			if !write(c, bid[i:i+1]) {
				return false
			}
		}
		return true
	}), func(r result) bool { return r.Good == r.Sent })
}

// If a server sends 408 on an idle connection and closes it, the run continues.
func TestIdleConnections(t *testing.T) {
	url := serve(t, answering(func(c net.Conn) bool {
		write(c, bid)
		time.Sleep(10 * time.Millisecond)
		write(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return false
	}))
	r := load(t, url, flags{Rate: 20, Connections: 4, Duration: 500 * time.Millisecond, Deadline: time.Second, Drain: 5 * time.Second})
	if r.Good == 0 || r.Reconnects == 0 {
		t.Errorf("good %d of %d, reconnects %d", r.Good, r.Sent, r.Reconnects)
	}
}
