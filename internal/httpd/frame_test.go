package httpd

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

const (
	testHead = 1024     // the bound of a head in tests
	testBody = 64 << 10 // and of a body
)

func TestScan(t *testing.T) {
	const post, host = "POST /a?b HTTP/1.1\r\n", "Host: x\r\n"
	f := func(name, request string, want kind, status int) frame {
		t.Helper()
		got := scan([]byte(request), testHead, nil)
		if got.kind != want || (got.fault != nil) != (status != 0) || got.fault != nil && got.fault.Status != status {
			t.Errorf("%s: kind %d, fault %+v; want %d, %d", name, got.kind, got.fault, want, status)
		}
		return got
	}
	whole := func(name, headers string, body int) {
		t.Helper()
		text := post + host + headers + "\r\n"
		if got := f(name, text, simple, 0); got.size() != len(text)+body || string(got.path) != "/a" || !got.hasHost {
			t.Errorf("%s: %+v", name, got)
		}
	}
	rewritten := func(name, text, want string) {
		t.Helper()
		got := f(name, text, odd, 0)
		if is := string(rewrite(nil, []byte(text), &got, got.body)); is != want {
			t.Errorf("%s: rewritten as %q, want %q", name, is, want)
		}
	}
	wrong := func(name string, status int, headers ...string) {
		t.Helper()
		for _, h := range headers {
			f(name+": "+h, post+host+h+"\r\n", refused, status)
		}
	}
	whole("no body", "", 0)
	whole("a body", "Content-Length: 12\r\n", 12)
	whole("in any case", "cOnTENT-lENGTH:\t7 \r\nConnection: Keep-Alive\r\n", 7)
	whole("what has other names of the same length", "expand: 1\r\nContent-Lengtx: 9\r\nTransfer-Encodinx: chunked\r\n", 0)
	whole("an offer to upgrade", "Upgrade: h2c\r\n", 0)
	whole("names and values of all characters", "!#$%&'*+-.^_`|~: \t\x80\xff \"()\r\n", 0)

	f("nothing", "", incomplete, 0)
	f("a part of a head", post, incomplete, 0)
	f("a head that ends too late", post+"X: "+strings.Repeat("x", testHead)+"\r\n\r\n", refused, 431)
	f("a head without an end", post+"X: "+strings.Repeat("x", testHead), refused, 431)
	f("a request line without an end", "GET /"+strings.Repeat("x", testHead), refused, 414)
	f("bare LFs", "GET / HTTP/1.1\nHost: x\n\n", refused, 400)
	f("an empty line first", "\r\n", refused, 400)
	f("TLS", "\x16\x03\x01", refused, 400)
	for _, line := range []string{
		"GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET /\t HTTP/1.1", "GET / x HTTP/1.1", "GET / http/1.1", "GET / HTTP/1.10",
		"GET / HTTP/1", "GET /", "GET HTTP/1.1", "G@T / HTTP/1.1", "GET x HTTP/1.1", "GET * HTTP/1.1", "GET /#a HTTP/1.1", "GET /%z1 HTTP/1.1",
		"GET /%2 HTTP/1.1", "GET /\x7f HTTP/1.1", "GET /\rx HTTP/1.1", "GET ftp://x/ HTTP/1.1", "GET http:// HTTP/1.1", "GET http://a@b/ HTTP/1.1",
		"GET http://[::1/ HTTP/1.1", "GET http://x:8y/ HTTP/1.1", "GET //x HTTP/\x81.1",
	} {
		f(line, line+"\r\n"+host+"\r\n", refused, 400)
	}
	f("OPTIONS *", "OPTIONS * HTTP/1.1\r\n"+host+"\r\n", simple, 0)
	f("CONNECT", "CONNECT x:1 HTTP/1.1\r\n"+host+"\r\n", refused, 501)
	for _, version := range []string{"2.0", "9.9", "0.9"} {
		f(version, "GET / HTTP/"+version+"\r\n"+host+"\r\n", refused, 505)
	}
	wrong("a field", 400, "X : 1\r\n", "X\t: 1\r\n", ": 1\r\n", "X\r\n", " X: 1\r\n", "X: 1\r\n 2\r\n", "X: 1\r\n\t2\r\n", "X: a\nY: 5\r\n", "X: a\rY: 5\r\n",
		"X: a\r\r\n", "X: \x00\r\n", "X: \x01\r\n", "X: \x7f\r\n", "X\x80: 1\r\n", "(X): 1\r\n")
	wrong("a length", 400, "Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1, 1\r\n", "Content-Length: +1\r\n", "Content-Length:\r\n",
		"Content-Length: 1 1\r\n", "Content-Length: 0x1\r\n", "Content-Length : 1\r\n", "Content-Length: -1\r\n")
	wrong("an encoding", 400, "Transfer-Encoding : chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked, chunked\r\n",
		"Transfer-Encoding: chunked, gzip\r\n", "Transfer-Encoding: identity\r\n", "Transfer-Encoding:\r\n", "Transfer-Encoding: xchunked\r\n",
		"Transfer-Encoding: chunked\r\nTrailer: X, Content-Length\r\n", "Transfer-Encoding: \x0bchunked\r\n")
	wrong("an unknown encoding", 501, "Transfer-Encoding: gzip, chunked\r\n")
	wrong("an expectation", 417, "Expect: 200-ok\r\n", "Expect: 100-continue, x\r\n", "Expect: 100-continue\r\nExpect: x\r\n")
	wrong("two hosts", 400, host)
	f("no host", post+"\r\n", refused, 400)
	f("no host with an absolute target", "GET http://x/ HTTP/1.1\r\n\r\n", refused, 400)
	f("what is no host", post+"Host: a b\r\n\r\n", refused, 400)
	f("what is no host either", post+"Host: a/b\r\n\r\n", refused, 400)
	f("two hosts of 1.0", "GET / HTTP/1.0\r\n"+host+host+"\r\n", refused, 400)
	f("an encoding of 1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", refused, 400)

	const get = "GET / HTTP/1.1\r\n"
	for _, header := range []string{"Connection: close\r\n", "connection: Close\r\n", "Connection: keep-alive, close\r\n", "Connection: ,CLOSE ,\r\n",
		"Connection: keep-alive\r\nConnection: x,close\r\n"} {
		rewritten(header, get+host+header+"X: y\r\n\r\n", get+host+"X: y\r\nConnection: close\r\n\r\n")
	}
	rewritten("other connection options", get+host+"Connection: TE, upgrade\r\nTE: trailers\r\nUpgrade: h2c\r\n\r\n", get+host+"\r\n")
	rewritten("1.2", "GET / HTTP/1.2\r\n"+host+"\r\n", get+host+"\r\n")
	rewritten("1.0", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: close\r\n\r\n")
	rewritten("1.0 that stays", "GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	rewritten("an absolute target", "GET HTTP://y:80/a?b HTTP/1.1\r\nhost: x\r\n\r\n", "GET /a?b HTTP/1.1\r\nHost: y:80\r\n\r\n")
	rewritten("one without a path", "GET http://[::1]?b HTTP/1.1\r\nhost: x\r\n\r\n", "GET /?b HTTP/1.1\r\nHost: [::1]\r\n\r\n")
	rewritten("an expectation", post+host+"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n", post+host+"Content-Length: 3\r\n\r\n")
}

// What scan calls a request, as it is or rewritten, fasthttp reads as a request of the same size, or refuses. scan gives
// the same result as soon as the head is there, and refuses no head before that which it would not refuse whole.
func FuzzScan(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := scan(b, testHead, nil)
		for i := range b {
			part := scan(b[:i], testHead, nil)
			if part.kind != incomplete && (part.kind != got.kind || part.kind != refused && part.size() != got.size()) {
				t.Fatalf("%q is %+v, but %+v when %d bytes have come", b, got, part, i)
			}
		}
		if got.kind != simple && got.kind != odd || got.chunked || got.size() > len(b) {
			return
		}
		text := b
		if got.kind == odd {
			text = append(rewrite(nil, b[:got.head], &got, got.body), b[got.head:]...)
		}
		var r fasthttp.Request
		from := bytes.NewReader(text)
		in := bufio.NewReaderSize(from, 2*testHead)
		if r.Header.Read(in) != nil || r.ContinueReadBody(in, 1<<30, false) != nil {
			return
		}
		if left := from.Len() + in.Buffered(); left != len(b)-got.size() || !bytes.Equal(r.Header.Method(), got.method) {
			t.Errorf("%q: %d bytes of %q by %s, fasthttp leaves %d by %s", b, got.size(), text, got.method, left, r.Header.Method())
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
	"GET http://y/a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, upgrade\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\n\r\n2;a=\"b\"\r\nab\r\n0;\r\nX: y\r\n\r\nGET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3_\r\nabc\r\n0\r\n\r\n",
	"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length : 39\r\n\r\n" + smuggled,
	"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + smuggled,
	"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
	"GET /a?%zz HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * HTTP/1.1\r\nHost:\r\n\r\nGET //a//../b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
}

// smuggled is a request in a body. An answer of its own would show that it was taken for a request.
const smuggled = "GET /n/impression HTTP/1.1\r\nHost: x\r\n\r\n"
