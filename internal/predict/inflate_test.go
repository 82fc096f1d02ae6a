package predict

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // to memory
	_ = z.Close()
	return b.Bytes()
}

func TestInflate(t *testing.T) {
	s := &Server{options: Options{MaxBody: 1000}}
	f := func(name, encoding string, body []byte, want outcome, text string) {
		t.Helper()
		var c fasthttp.RequestCtx
		c.Request.Header.SetContentEncoding(encoding)
		c.Request.SetBody(body)
		got, err := s.inflate(&c, &work{server: s})
		if got != want || (err == nil) != (want == outcomeOK) || err == nil && string(c.Request.Body()) != text {
			t.Errorf("%s: outcome %d, %v, %.20q; want %d, %q", name, got, err, c.Request.Body(), want, text)
		}
	}
	f("gzip", "gzip", gzipped("text"), outcomeOK, "text")
	f("in any case", "X-GZip", gzipped("text"), outcomeOK, "text")
	f("none", "identity", []byte("text"), outcomeOK, "text")
	f("as large as a body may be", "gzip", gzipped(strings.Repeat("x", 1000)), outcomeOK, strings.Repeat("x", 1000))
	f("too large", "gzip", gzipped(strings.Repeat("x", 1001)), outcomeTooLarge, "")
	f("a bomb", "gzip", gzipped(strings.Repeat("x", 10<<20)), outcomeTooLarge, "")
	f("no gzip", "gzip", []byte("text"), outcomeInvalid, "")
	f("half of it", "gzip", gzipped(strings.Repeat("text", 99))[:20], outcomeInvalid, "")
	f("nothing", "gzip", nil, outcomeInvalid, "")
}

// Whatever is sent as gzip, no more than a body may be comes out.
func FuzzInflate(f *testing.F) {
	f.Add(gzipped("text"))
	f.Add(gzipped(strings.Repeat("x", 5000)))
	f.Add(append(gzipped("a"), gzipped("b")...))
	f.Add([]byte("text"))
	s := &Server{options: Options{MaxBody: 1000}}
	f.Fuzz(func(t *testing.T, body []byte) {
		var c fasthttp.RequestCtx
		c.Request.Header.SetContentEncoding("gzip")
		c.Request.SetBody(body)
		if o, err := s.inflate(&c, &work{server: s}); o == outcomeOK && (err != nil || len(c.Request.Body()) > 1000) {
			t.Errorf("%d bytes came out, %v", len(c.Request.Body()), err)
		}
	})
}
