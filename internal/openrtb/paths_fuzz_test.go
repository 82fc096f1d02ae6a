package openrtb

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"gavel/internal/privacy/privacytest"
)

// Whatever a path and its query are, a notice has a kind that exists, a token, and fields within their bound; and the answer
// has a status of notices and no header that the query made.
func FuzzNoticeQueries(f *testing.F) {
	for _, target := range []string{
		"/n/win?t=T&p=1.5", "/n/click?t=T&p=%2e", "/n/impression?t=T&t=U", "/n/loss?t=T&r=${AUCTION_LOSS}", "/n/win?p=1&p=2;t=T", "/n/%77in?t=T", "/n/win/?t=T",
		"/n//win?t=T", "/n/../n/win?t=T", "/n/conversion?t=T&id=a%0d%0ab&v=1e9", "/n/win?t=%zz", "/n/win?t=" + strings.Repeat("x", MaxNoticeField+1), "/n/", "/", "*", "http://h/n/win?t=T",
	} {
		f.Add("GET", target)
	}
	f.Add("HEAD", "/n/click?t=T")
	var got *Notice
	s, err := NewServer(&fakeAuctions{}, testLinker{}, noticeFunc(func(n *Notice) (NoticeResult, error) {
		got = n
		return NoticeResult{Redirect: n.Reason}, nil
	}), Options{Law: privacytest.Lenient(f), Sellers: testSellers(f), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		got = nil
		var c fasthttp.RequestCtx
		c.Request.Header.SetMethod(method)
		c.Request.SetRequestURI(target)
		if string(c.Path()) == bidPath {
			return
		}
		s.handleNotice(&c)
		status := c.Response.StatusCode()
		if got != nil {
			if _, known := s.metrics.notices[got.Kind]; !known || got.Token == "" || method != http.MethodGet && method != http.MethodPost {
				t.Errorf("%s %q is a notice: %+v", method, target, got)
			}
			for _, field := range []string{got.Token, got.Price, got.Reason, got.ConversionID, got.Value} {
				if len(field) > MaxNoticeField {
					t.Errorf("%q: a field has %d bytes", target, len(field))
				}
			}
		}
		switch status {
		case 200, 204, 302:
			if got == nil {
				t.Errorf("%s %q is answered %d without a notice", method, target, status)
			}
		case 400, 403, 404, 405:
		default:
			t.Errorf("%s %q is answered %d", method, target, status)
		}
		if location := string(c.Response.Header.Peek("Location")); location != "" && (status != 302 || strings.ContainsAny(location, "\r\n")) {
			t.Errorf("%q is sent to %q", target, location)
		}
	})
}

// No more comes out of a gzip body than the bound.
func FuzzInflate(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00"))
	f.Add([]byte("no gzip"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var out bytes.Buffer
		if err := inflate(&out, body, 1000); err == nil && out.Len() > 1000 {
			t.Errorf("%d bytes came out", out.Len())
		}
	})
}
