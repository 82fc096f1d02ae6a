package openrtb

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gavel/internal/auction"
	"gavel/internal/httpd/httpdtest"
)

func TestNotices(t *testing.T) {
	var got Notice
	var result NoticeResult
	var fail error
	notices := noticeFunc(func(n *Notice) (NoticeResult, error) {
		got = *n
		if n.Token == "boom" {
			panic("boom")
		}
		return result, fail
	})
	s, bids, client := startServer(t, &fakeAuctions{run: func(_ context.Context, r *auction.Request) auction.Result { return oneBid(r) }}, notices, Options{})
	base := "http://" + httpdtest.Serve(t, noticeSide{s})
	if resp, _ := do(t, client, "GET", bids+"/n/win?t=T", ""); resp.StatusCode != 404 {
		t.Errorf("the port for bid requests answers a notice with %d", resp.StatusCode)
	}
	f := func(method, path string, wantStatus int, kind NoticeKind, wantOutcome string) *http.Response {
		t.Helper()
		count := func() float64 {
			if wantOutcome == "" {
				return 0
			}
			return counted(t, s.metrics.notices[kind][wantOutcome])
		}
		before := count()
		resp, _ := do(t, client, method, base+path, "", "User-Agent", "tester")
		if resp.StatusCode != wantStatus || wantOutcome != "" && count() != before+1 {
			t.Errorf("%s %s: status %d, want %d; %s counted %v times", method, path, resp.StatusCode, wantStatus, wantOutcome, count()-before)
		}
		return resp
	}
	f("GET", "/n/win?t=T&p=1.25&m=3", 204, Win, "ok")
	if want := (Notice{Kind: Win, Token: "T", Price: "1.25", Quantity: "3"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	f("GET", "/n/billing?t=T&p=AUDIT", 204, Billing, "ok")
	f("GET", "/n/loss?t=T&r=102", 204, Loss, "ok")
	if got.Reason != "102" {
		t.Errorf("reason %q", got.Reason)
	}
	f("POST", "/n/conversion?t=T&c=order-1&v=9.5", 204, Conversion, "ok")
	if got.ConversionID != "order-1" || got.Value != "9.5" {
		t.Errorf("conversion %+v", got)
	}
	resp, body := do(t, client, "GET", base+"/n/impression?t=T", "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/gif" || len(body) != 43 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("impression: status %d, %d bytes, headers %v", resp.StatusCode, len(body), resp.Header)
	}
	result.Redirect = "https://shop.test/?a=b&c=%20d"
	if resp := f("GET", "/n/click?t=T", 302, Click, "ok"); resp.Header.Get("Location") != result.Redirect {
		t.Errorf("location %q", resp.Header.Get("Location"))
	}
	fail = errors.New("the stream is away")
	f("GET", "/n/click?t=T", 302, Click, "failed")
	f("GET", "/n/win?t=T", 503, Win, "failed")
	result.Redirect = ""
	f("GET", "/n/win?t=T", 503, Win, "failed")
	for _, bad := range []string{"javascript:alert(1)", "https://x\r\nSet-Cookie: a=b"} {
		fail, result.Redirect = nil, bad
		f("GET", "/n/click?t=T", 204, Click, "ok")
	}
	result.Redirect = ""
	fail = ErrBadToken
	f("GET", "/n/billing?t=T", 403, Billing, "forged")
	fail = ErrUnknownNotice
	f("GET", "/n/click?t=T", 404, Click, "unknown")
	fail = ErrBadNotice
	f("GET", "/n/loss?t=T", 400, Loss, "malformed")
	fail = nil
	f("GET", "/n/win", 403, Win, "forged")
	f("GET", "/n/win?t="+strings.Repeat("x", MaxNoticeField+1), 400, Win, "malformed")
	f("GET", "/n/win?t=T&p="+strings.Repeat("9", MaxNoticeField+1), 204, Win, "ok")
	f("GET", "/n/win?t=T&p="+url.QueryEscape(strings.Repeat("x", 20_000)), 414, Win, "")
	f("GET", "/n/win?t=boom", 500, Win, "panic")
	f("GET", "/n/other?t=T", 404, Win, "")
	f("POST", "/openrtb2/bid", 404, Win, "")
	f("GET", "/n/", 404, Win, "")
	if resp := f("HEAD", "/n/click?t=T", 405, Click, ""); resp.Header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow %q", resp.Header.Get("Allow"))
	}
}
