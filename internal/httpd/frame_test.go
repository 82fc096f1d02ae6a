package httpd

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

const testHead = 1024 // the bound of a head in tests

func TestScan(t *testing.T) {
	f := func(name, request string, want kind, size int, path string) {
		t.Helper()
		got := scan([]byte(request), testHead, nil)
		if got.kind != want || got.size != size || string(got.path) != path {
			t.Errorf("%s: kind %d, size %d, path %q; want %d, %d, %q", name, got.kind, got.size, got.path, want, size, path)
		}
	}
	const post = "POST /a?b HTTP/1.1\r\nHost: x\r\n"
	whole := func(headers string, body int) (string, kind, int, string) {
		return post + headers + "\r\n", simple, len(post+headers) + 2 + body, "/a"
	}
	odd := func(headers string) (string, kind, int, string) { return post + headers + "\r\n", uncertain, 0, "" }
	g := func(name string) func(string, kind, int, string) {
		return func(request string, want kind, size int, path string) { t.Helper(); f(name, request, want, size, path) }
	}
	g("no body")(whole("", 0))
	g("a body")(whole("Content-Length: 12\r\n", 12))
	g("in any case")(whole("cOnTENT-lENGTH:7\r\nConnection: Keep-Alive\r\n", 7))
	g("what has other names of the same length")(whole("expand: 1\r\nContent-Lengtx: 9\r\nTransfer-Encodinx: chunked\r\n", 0))
	f("nothing", "", incomplete, 0, "")
	f("a part of a head", post, incomplete, 0, "")
	f("bare LFs never end a head", "GET / HTTP/1.1\n\n", incomplete, 0, "")
	f("no end in sight", post+"X: "+strings.Repeat("x", testHead), uncertain, 0, "")
	f("an end too late", post+"X: "+strings.Repeat("x", testHead)+"\r\n\r\n", uncertain, 0, "")
	g("chunked")(odd("Transfer-Encoding: chunked\r\n"))
	g("expect")(odd("Content-Length: 1\r\nExpect: 100-continue\r\n"))
	g("close")(odd("Connection: close\r\n"))
	g("upgrade")(odd("Upgrade: h2c\r\n"))
	g("two lengths")(odd("Content-Length: 1\r\nContent-Length: 1\r\n"))
	g("a signed length")(odd("Content-Length: +1\r\n"))
	g("no length")(odd("Content-Length:\r\n"))
	g("a length of ten digits")(odd("Content-Length: 1000000000\r\n"))
	g("a continued line")(odd("Content-Length: 1\r\n 2\r\n"))
	g("a space before the colon")(odd("Content-Length : 1\r\n"))
	g("a header within a header")(odd("X: a\nContent-Length: 5\r\n"))
	g("a CR within a line")(odd("X: a\rContent-Length: 5\r\n"))
	g("two CRs before an LF")(odd("X: a\r\r\n"))
	f("a CR in the first line", "GET /\rx HTTP/1.1\r\n\r\n", uncertain, 0, "")
	f("1.0", "GET / HTTP/1.0\r\n\r\n", uncertain, 0, "")
	f("spaces", "GET  / HTTP/1.1\r\n\r\n", uncertain, 0, "")
	f("an empty line first", "\r\nGET / HTTP/1.1\r\n\r\n", uncertain, 0, "")
	f("no HTTP", "\x16\x03\x01\r\n\r\n", uncertain, 0, "")
}

// If scan calls a request simple, fasthttp reads a request of the same method and size, or refuses it. scan gives the
// same result as soon as the head is there.
func FuzzScan(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := scan(b, testHead, nil)
		for i := range b {
			part := scan(b[:i], testHead, nil)
			if part.kind != incomplete && (part.kind != got.kind || part.size != got.size) {
				t.Fatalf("%q is %+v, but %+v when %d bytes have come", b, got, part, i)
			}
		}
		if got.kind != simple || got.size > len(b) {
			return
		}
		var r fasthttp.Request
		from := bytes.NewReader(b)
		in := bufio.NewReaderSize(from, testHead)
		if r.Header.Read(in) != nil || r.ContinueReadBody(in, 1<<30, false) != nil {
			return
		}
		if size := len(b) - from.Len() - in.Buffered(); size != got.size || !bytes.Equal(r.Header.Method(), got.method) {
			t.Errorf("%q: %d bytes by %s, fasthttp says %d by %s", b, got.size, got.method, size, r.Header.Method())
		}
	})
}

// streams are the contents of connections: requests one after another, and other bytes.
var streams = []string{
	"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /shed HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbodyGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /c HTTP/1.0\r\n\r\n",
	"HEAD /h HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nxyGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nxy",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nxy",
	"POST /a HTTP/1.1\r\nHost: x\r\nX: a\nContent-Length: 5\r\n\r\nhello",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\nnot all",
	"GET /a HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("x", 2*testHead) + "\r\n\r\n",
	"\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", "BREW / HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nHo", "\x16\x03\x01\x02\x00",
	strings.Repeat("GET /many HTTP/1.1\r\nHost: x\r\n\r\n", 100),
}
