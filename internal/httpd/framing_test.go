package httpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// message is a request as its reader understands it.
type message struct{ method, target, body string }

// framed returns the requests that are whole in a stream, and why the stream has no more: nil if it ends between requests,
// or a request asks for the connection's end.
func framed(stream []byte) (all []message, fault *Fault) {
	for len(stream) > 0 {
		f := scan(stream, testHead, nil)
		switch {
		case f.kind == refused:
			return all, f.fault
		case f.kind == incomplete:
			return all, cutOff
		case f.body > testBody:
			return all, largeBody
		}
		var body []byte
		rest := stream[f.head:]
		if f.chunked {
			if body, rest, fault = dechunked(rest); fault != nil {
				return all, fault
			}
		} else if len(rest) < f.body {
			return all, cutOff
		} else {
			body, rest = rest[:f.body], rest[f.body:]
		}
		target := string(f.target)
		if !strings.HasPrefix(target, "/") && target != "*" {
			target = "/" + target
		}
		all = append(all, message{string(f.method), target, string(body)})
		if f.closes {
			return all, nil
		}
		stream = rest
	}
	return all, nil
}

// dechunked returns a chunked body and what follows it.
func dechunked(b []byte) (body, rest []byte, fault *Fault) {
	var d chunks
	for len(b) > 0 && d.state != chunksDone {
		part, rest, fault := d.read(b)
		if fault != nil {
			return nil, nil, fault
		}
		if len(body)+len(part)+d.size > testBody {
			return nil, nil, largeBody
		}
		body, b = append(body, part...), rest
	}
	if d.state != chunksDone {
		return nil, nil, cutOff
	}
	return body, b, nil
}

func TestChunks(t *testing.T) {
	f := func(text, body, rest string, status int) {
		t.Helper()
		got, after, fault := dechunked([]byte(text))
		if (fault != nil) != (status != 0) || fault != nil && fault.Status != status || string(got) != body || string(after) != rest {
			t.Errorf("%.40q: %q, %q, %v; want %q, %q, %d", text, got, after, fault, body, rest, status)
		}
		var d chunks // byte by byte
		var slow []byte
		for i := range len(text) {
			part, _, fault := d.read([]byte(text[i : i+1]))
			if fault != nil && status == 0 {
				t.Errorf("%.40q, byte by byte: %v", text, fault)
			}
			slow = append(slow, part...)
		}
		if status == 0 && (string(slow) != body || d.state != chunksDone) {
			t.Errorf("%.40q, byte by byte: %q, state %d", text, slow, d.state)
		}
	}
	f("0\r\n\r\n", "", "", 0)
	f("3\r\nabc\r\n0\r\n\r\nGET", "abc", "GET", 0)
	f("A\r\n0123456789\r\n00a\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789", "", 0)
	f("1;x\r\na\r\n1 ; x=\"y\"\r\nb\r\n0;\r\nX: y\r\nZ:\r\n\r\n", "ab", "", 0)
	f("1;"+strings.Repeat("x", 4000)+"\r\na\r\n0\r\n\r\n", "a", "", 0)
	for _, text := range []string{
		"3_\r\nabc\r\n0\r\n\r\n", "3x\r\nabc\r\n0\r\n\r\n", "3 abc\r\nabc\r\n0\r\n\r\n", "0_2e\r\n\r\n", "3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n",
		"-3\r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n", "0x3\r\nabc\r\n", " 3\r\nabc\r\n", "\r\n", ";x\r\n", "3\r\n", "3\r\nabc", "3\r\nabc\r\n", "0\r\n", "0\r\nX\r\n\r\n", "0\r\n X: y\r\n\r\n",
		"0\r\nX : y\r\n\r\n", "0\r\nX: \x00\r\n\r\n", "0\r\nX: y\n\r\n", "0\r\n\n", "1;\n\r\na\r\n0\r\n\r\n", "1;\x01\r\na\r\n0\r\n\r\n", "00000000000000003\r\nabc\r\n0\r\n\r\n", "3\r",
		"1;" + strings.Repeat("x", 5000) + "\r\na\r\n0\r\n\r\n", strings.Repeat("1;"+strings.Repeat("x", 100)+"\r\na\r\n", 100) + "0\r\n\r\n",
		"0\r\nX: " + strings.Repeat("y", 5000) + "\r\n\r\n",
	} {
		f(text, "", "", 400)
	}
	f("fffffffffffffffe\r\n", "", "", 413)
	f("10001\r\n", "", "", 413)
}

// stdlib runs net/http's server on connections whose input is there from the start.
type stdlib struct {
	conns chan net.Conn
	mu    sync.Mutex
	all   []message
	done  chan struct{}
}

func (s *stdlib) Accept() (net.Conn, error) {
	c, ok := <-s.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (s *stdlib) Close() error   { return nil }
func (s *stdlib) Addr() net.Addr { return &net.TCPAddr{} }

func newStdlib(t testing.TB) *stdlib {
	s := &stdlib{conns: make(chan net.Conn), done: make(chan struct{}, 1)}
	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute, DisableGeneralOptionsHandler: true,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				s.done <- struct{}{}
			}
		},
	}
	go func() { _ = server.Serve(s) }() // ends when conns is closed
	t.Cleanup(func() { close(s.conns) })
	return s
}

func (s *stdlib) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // it refuses the body
	}
	target := r.RequestURI
	if i := strings.Index(target, "://"); i > 0 && target[0] != '/' {
		target = target[i+3:]
		target = target[min(len(target), len(r.URL.Host)):]
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
	}
	s.mu.Lock()
	s.all = append(s.all, message{r.Method, target, string(body)})
	s.mu.Unlock()
	w.Header().Set("Content-Length", "0")
}

// read returns the requests that net/http finds in a stream.
func (s *stdlib) read(stream []byte) []message {
	s.all = nil
	s.conns <- &input{Reader: bytes.NewReader(stream)}
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// input is a connection that has sent all.
type input struct {
	net.Conn
	*bytes.Reader
}

func (c *input) Read(p []byte) (int, error)       { return c.Reader.Read(p) }
func (c *input) Write(p []byte) (int, error)      { return len(p), nil }
func (c *input) Close() error                     { return nil }
func (c *input) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *input) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *input) SetDeadline(time.Time) error      { return nil }
func (c *input) SetReadDeadline(time.Time) error  { return nil }
func (c *input) SetWriteDeadline(time.Time) error { return nil }

// asStdlib returns an error unless all requests that framed finds in a stream are those that net/http finds. net/http may
// find more, because framed refuses more.
func asStdlib(s *stdlib, stream []byte) error {
	ours, fault := framed(stream)
	theirs := s.read(stream)
	for i, m := range ours {
		if i >= len(theirs) {
			return fmt.Errorf("net/http refuses request %d, %q", i, m)
		}
		if m != theirs[i] {
			return fmt.Errorf("request %d is %q, to net/http %q", i, m, theirs[i])
		}
	}
	if fault == nil && len(theirs) > len(ours) {
		return errors.New("net/http finds a request after the connection's end")
	}
	return nil
}

// Whatever the bytes, no request is found in them where net/http finds none or another one.
func FuzzFraming(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s))
	}
	s := newStdlib(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		if err := asStdlib(s, stream); err != nil {
			t.Errorf("%q: %v", stream, err)
		}
	})
}

// The same for streams made of parts that framing depends on, for a while in every run of the tests.
func TestFraming(t *testing.T) {
	s := newStdlib(t)
	random := rand.New(rand.NewPCG(7, 8))
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	field := func() string {
		name := pick("Content-Length", "Transfer-Encoding", "Connection", "Expect", "Host", "Trailer", "X", "content-length", "TRANSFER-ENCODING")
		value := pick("0", "3", "39", "chunked", "Chunked", "close", "keep-alive", "100-continue", "x", "identity", "gzip, chunked", "chunked,", "+3", "3, 3", "", "a b", "\x01")
		return name + pick(":", ": ", ":\t", " :", ": ", ": ") + value + pick("\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", " \r\n", "\r\n ")
	}
	for range 5000 {
		text := ""
		for range 1 + random.IntN(3) {
			text += pick("GET", "POST", "POST", "HEAD", "get", "G T", "OPTIONS") + pick(" ", " ", " ", "  ", "\t") + pick("/a", "/a?b", "*", "http://y/a", "a", "//a", "/%41", "/%4", "") +
				pick(" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0", " HTTP/1.2", " HTTP/2.0", "", " HTTP/1.1 ") + "\r\n" + pick("Host: x\r\n", "Host: x\r\n", "Host: x\r\n", "")
			for range random.IntN(4) {
				text += field()
			}
			text += "\r\n" + pick("", "abc", smuggled, "3\r\nabc\r\n0\r\n\r\n", "3;x\r\nabc\r\n0\r\nX: y\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "03\r\nabc\r\n00\r\n\r\n", "3\nabc\n0\n\n")
		}
		if err := asStdlib(s, []byte(text)); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
}
