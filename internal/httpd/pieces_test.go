package httpd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// pieces sends a stream in pieces and returns all that the server answers.
func pieces(t *testing.T, address string, stream []byte, seed uint64) []byte {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
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
	return <-got
}

// asFramed fails the test unless the server, whatever pieces a stream arrives in, answers the messages that framed finds in
// it, and then what framed refuses. answer is the answer to a message. fasthttp may refuse a message that framed accepts.
func asFramed(t *testing.T, address string, stream []byte, seed uint64, answer func(message) string) {
	t.Helper()
	if len(stream) > 32<<10 {
		t.Skip()
	}
	all, fault := framed(stream)
	in := bufio.NewReader(bytes.NewReader(pieces(t, address, stream, seed)))
	next := func(method string) (status int, text string) {
		for {
			resp, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				return 0, err.Error()
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				return 0, err.Error()
			}
			if resp.StatusCode != http.StatusContinue {
				return resp.StatusCode, strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", string(body)))
			}
		}
	}
	for i, m := range all {
		status, got := next(m.method)
		want := answer(m)
		if m.method == "HEAD" {
			want, _, _ = strings.Cut(want, " ")
		}
		if status == http.StatusBadRequest {
			return
		}
		if got != want {
			t.Fatalf("%q, seed %d: message %d is answered %q, want %q", stream, seed, i, got, want)
		}
	}
	if fault != nil {
		if status, got := next(""); status != fault.Status {
			t.Errorf("%q, seed %d: the end is answered %q, want %d", stream, seed, got, fault.Status)
		}
	}
	if rest, _ := io.ReadAll(in); len(rest) > 0 {
		t.Errorf("%q, seed %d: %q follows", stream, seed, rest)
	}
}

func echoed(m message) string {
	return strings.TrimSpace(fmt.Sprintf("200 %s %s %d %s", m.method, m.target, len(m.body), m.body))
}

// A stream that arrives in arbitrary pieces gets the answers to the messages that are in it.
func FuzzPieces(f *testing.F) {
	for i, s := range streams {
		f.Add([]byte(s), uint64(i))
		f.Add([]byte(s), uint64(1000+i))
	}
	_, address := start(f, nil)
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) { asFramed(t, address, stream, seed, echoed) })
}

// The loop and the workers refuse the same.
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
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		asFramed(t, address, stream, seed, func(m message) string {
			var u fasthttp.URI
			if u.Parse(nil, []byte(m.target)) == nil && shed([]byte(m.method), u.Path()) == Refuse {
				return "204"
			}
			return echoed(m)
		})
	})
}

var date = regexp.MustCompile("Date: [^\r]*\r\n")

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
		if got := date.ReplaceAll(pieces(t, address, stream.Bytes(), seed), nil); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %d requests were answered\n%q", seed, n, got)
		}
	}
	if g.refused.Load() == 0 || g.left.Load() != g.admitted.Load() {
		t.Errorf("%d refused, %d admitted, %d left", g.refused.Load(), g.admitted.Load(), g.left.Load())
	}
}
