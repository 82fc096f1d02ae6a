package httpd

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/valyala/fasthttp"
)

var date = regexp.MustCompile("Date: [^\r]*\r\n")

// recorded is a connection whose input is complete. It keeps the answers.
type recorded struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (c *recorded) Read(p []byte) (int, error)      { return c.in.Read(p) }
func (c *recorded) Write(p []byte) (int, error)     { return c.out.Write(p) }
func (c *recorded) SetReadDeadline(time.Time) error { return nil }
func (c *recorded) Close() error                    { return nil }

// whole returns fasthttp's own answers to a stream. sure is false if they depend on how the stream is cut, as after a
// chunked body with a trailer that begins with 0.
func whole(stream []byte, handler fasthttp.RequestHandler) (answer string, sure bool) {
	serve := func(in io.Reader) string {
		o := options(nil)
		c := &recorded{in: in}
		_ = codec(&o, handler).ServeConn(c) // its error is one of the stream
		return date.ReplaceAllString(c.out.String(), "")
	}
	answer = serve(bytes.NewReader(stream))
	return answer, answer == serve(iotest.OneByteReader(bytes.NewReader(stream)))
}

// pieces returns the server's answers to a stream that arrives in pieces.
func pieces(t *testing.T, address string, stream []byte, seed uint64) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 1)
	go func() {
		all, err := io.ReadAll(c) // after a reset, answers are missing
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q, seed %d: the connection was not closed", stream, seed)
		}
		got <- all
	}()
	random := rand.New(rand.NewPCG(seed, 1))
	for rest := stream; len(rest) > 0; {
		n := 1 + random.IntN(len(rest))
		if random.IntN(2) == 0 {
			n = min(n, 1+random.IntN(8))
		}
		if _, err := c.Write(rest[:n]); err != nil {
			break // the server has closed the connection
		}
		rest = rest[n:]
	}
	_ = c.(*net.TCPConn).CloseWrite()
	return date.ReplaceAllString(string(<-got), "")
}

// asWhole fails the test unless the server's answers to a stream in pieces equal those of fasthttp with handler to the
// whole stream. If readable, it compares them only up to what fasthttp cannot read.
func asWhole(t *testing.T, address string, handler fasthttp.RequestHandler, stream []byte, seed uint64, readable bool) {
	t.Helper()
	if len(stream) > 32<<10 {
		t.Skip()
	}
	want, sure := whole(stream, handler)
	if !sure {
		t.Skip()
	}
	got := pieces(t, address, stream, seed)
	read, _, bad := strings.Cut(want, "HTTP/1.1 4")
	if got != want && !(readable && bad && strings.HasPrefix(got, read)) {
		t.Errorf("%q, seed %d, is answered\n%s\nwant\n%s", stream, seed, got, want)
	}
}

// A stream that arrives in arbitrary pieces gets the answers that fasthttp gives to the whole stream.
func FuzzPieces(f *testing.F) {
	for i, s := range streams {
		f.Add([]byte(s), uint64(i))
		f.Add([]byte(s), uint64(1000+i))
	}
	_, address := start(f, nil)
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		asWhole(t, address, echo, stream, seed, false)
	})
}

// The loop and the workers refuse what a gate behind fasthttp refuses, up to what fasthttp cannot read.
func FuzzRefusals(f *testing.F) {
	for i, s := range streams {
		f.Add([]byte(strings.ReplaceAll(s, "/a ", "/shed ")), uint64(i))
		f.Add([]byte(strings.NewReplacer("GET /", "POST /shed", "POST / ", "POST /shed ").Replace(s)), uint64(1000+i))
	}
	shed := func(method, path []byte) Verdict {
		if string(method) == "POST" && string(path) == "/shed" {
			return Refuse
		}
		return Pass
	}
	_, address := start(f, func(o *Options) { o.Gate = &Gate{Status: 204, Ask: shed, Leave: func() {}} })
	handler := func(c *fasthttp.RequestCtx) {
		if shed(c.Method(), c.Path()) == Refuse {
			c.SetStatusCode(204)
			return
		}
		echo(c)
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		asWhole(t, address, handler, stream, seed, true)
	})
}

// Requests that the loop reads are answered in the same order and with the same bytes as those that a worker reads.
func TestRefusalsInPieces(t *testing.T) {
	var g gate
	_, address := start(t, func(o *Options) {
		o.Gate = g.gate()
		o.Handler = func(c *fasthttp.RequestCtx) { c.SetStatusCode(204) }
	})
	random := rand.New(rand.NewPCG(1, 2))
	for seed := range uint64(50) {
		var stream bytes.Buffer
		n, most := 1+random.IntN(20), 3000
		if seed%5 == 0 { // more than one write answers
			n, most = 200+random.IntN(200), 30
		}
		for range n {
			body := bytes.Repeat([]byte("x"), random.IntN(most))
			stream.WriteString(request("POST", []string{"/shed", "/a", "/%73hed"}[random.IntN(3)], string(body)))
		}
		want := bytes.Repeat([]byte("HTTP/1.1 204 No Content\r\n\r\n"), n)
		if got := pieces(t, address, stream.Bytes(), seed); got != string(want) {
			t.Fatalf("seed %d: %d requests were answered\n%q", seed, n, got)
		}
	}
	if g.refused.Load() == 0 || g.left.Load() != g.admitted.Load() {
		t.Errorf("%d refused, %d admitted, %d left", g.refused.Load(), g.admitted.Load(), g.left.Load())
	}
}
