package openrtb

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"gavel/internal/auction"
	"gavel/internal/httpd/httpdtest"
	"gavel/internal/privacy/privacytest"
	"gavel/internal/sellers"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine a process that formats the date header.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its pool's sweeper notices the end only when it wakes, every 10 s.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// fakeAuctions answers with run's result and records which bids were sent or withdrawn.
type fakeAuctions struct {
	run func(ctx context.Context, req *auction.Request) auction.Result

	mu        sync.Mutex
	sent      []string
	withdrawn []string
}

func (f *fakeAuctions) Run(ctx context.Context, req *auction.Request, dst []auction.Bid) auction.Result {
	r := f.run(ctx, req)
	r.Bids = append(dst[:0], r.Bids...)
	return r
}

func (f *fakeAuctions) Sent(_ *auction.Request, bid *auction.Bid) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, bid.ID)
}

func (f *fakeAuctions) Withdraw(_ *auction.Request, bid *auction.Bid, why auction.NoBidReason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.withdrawn = append(f.withdrawn, bid.ID+" "+string(why))
}

// noticeFunc is Notices as a function.
type noticeFunc func(*Notice) (NoticeResult, error)

func (f noticeFunc) Notice(_ context.Context, n *Notice) (NoticeResult, error) { return f(n) }

func oneBid(*auction.Request) auction.Result {
	return auction.Result{Bids: []auction.Bid{{ID: "bid1", Price: 1500, Candidate: auction.Candidate{Campaign: &campaign, Creative: &bannerCreative}}}}
}

// testSellers are sellers that are known by a secret each, and "adx", which is known by the address of loopback.
func testSellers(t testing.TB, more ...string) *sellers.Set {
	t.Helper()
	settings := map[string]sellers.Settings{"adx": {Addresses: []string{"127.0.0.0/8", "::1"}}}
	for _, name := range more {
		settings[name] = sellers.Settings{Secret: sellers.Secret("secret-of-seller-" + name)}
	}
	set, err := sellers.New(settings, "USD")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// noticeSide is a server's port for notices.
type noticeSide struct{ *Server }

func (s noticeSide) Serve(l net.Listener) error { return s.ServeNotices(l) }

// startServer serves on a free port until the test ends.
func startServer(t testing.TB, auctions Auctions, notices Notices, o Options) (*Server, string, *http.Client) {
	t.Helper()
	if notices == nil {
		notices = noticeFunc(func(*Notice) (NoticeResult, error) { return NoticeResult{}, nil })
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Law == nil {
		o.Law = privacytest.Lenient(t)
	}
	if o.Sellers == nil {
		o.Sellers = testSellers(t)
	}
	o.Registerer = prometheus.NewRegistry()
	s, err := NewServer(auctions, testLinker{}, notices, o)
	if err != nil {
		t.Fatal(err)
	}
	address := httpdtest.Serve(t, s)
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return s, "http://" + address, client
}

func do(t testing.TB, client *http.Client, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

// counted reads a counter.
func counted(t testing.TB, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

const minimal = `{"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250}}],"tmax":1000}`

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBidHTTP(t *testing.T) {
	auctions := &fakeAuctions{run: func(ctx context.Context, req *auction.Request) auction.Result {
		deadline, ok := ctx.Deadline()
		switch {
		case !ok || !deadline.Equal(req.Deadline):
			t.Errorf("context's deadline %v is not the request's %v", deadline, req.Deadline)
		case req.Exchange == "empty":
			return auction.Result{Reason: auction.NoBidFloor}
		case req.Exchange == "boom":
			panic("boom")
		}
		return oneBid(req)
	}}
	s, base, client := startServer(t, auctions, nil, Options{MaxBody: 4096, Sellers: testSellers(t, "empty", "boom")})
	bid := base + "/openrtb2/bid"
	f := func(name, method, url, body string, wantStatus int, wantOutcome outcome, header ...string) (*http.Response, string) {
		t.Helper()
		before := counted(t, s.metrics.requests[wantOutcome])
		resp, answer := do(t, client, method, url, body, header...)
		if resp.StatusCode != wantStatus {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, wantStatus)
		}
		if after := counted(t, s.metrics.requests[wantOutcome]); after != before+1 {
			t.Errorf("%s: outcome %s counted %v times, want once", name, wantOutcome, after-before)
		}
		if wantStatus != 200 && answer != "" {
			t.Errorf("%s: content %q, want none", name, answer)
		}
		return resp, answer
	}
	resp, answer := f("bid", "POST", bid, minimal, 200, outcomeBid, "Content-Type", "application/json", "x-openrtb-version", "2.5")
	if resp.Header.Get("x-openrtb-version") != "2.5" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", resp.Header)
	}
	var parsed openrtb2.BidResponse
	if err := json.Unmarshal([]byte(answer), &parsed); err != nil || parsed.SeatBid[0].Bid[0].ID != "bid1" || parsed.SeatBid[0].Bid[0].Price != 1.5 {
		t.Errorf("%v in %s", err, answer)
	}
	resp, _ = f("no version", "POST", bid, minimal, 200, outcomeBid)
	if v := resp.Header.Get("x-openrtb-version"); v != "2.6" {
		t.Errorf("version %q, want 2.6", v)
	}
	f("version 2.6-202309", "POST", bid, minimal, 200, outcomeBid, "x-openrtb-version", "2.6-202309")
	f("version 3.0", "POST", bid, minimal, 400, outcomeInvalid, "x-openrtb-version", "3.0")
	f("no bid", "POST", bid+"/secret-of-seller-empty", minimal, 204, outcomeNoBid)
	f("panic", "POST", bid+"/secret-of-seller-boom?exchange=adx", minimal, 204, outcomeNoBid)
	f("nothing to fill", "POST", bid, `{"id":"r","imp":[{"id":"1"}]}`, 204, outcomeNoBid)
	f("another's word", "POST", bid+"/secret-of-seller-none", minimal, 403, outcomeStranger)
	f("part of a secret", "POST", bid+"/secret-of-seller-boo", minimal, 403, outcomeStranger)
	f("more than a secret", "POST", bid+"/secret-of-seller-empty/x", minimal, 403, outcomeStranger)
	f("not JSON", "POST", bid, "x", 400, outcomeInvalid)
	f("empty", "POST", bid, "", 400, outcomeInvalid)
	f("gzip", "POST", bid, gzipped(t, minimal), 200, outcomeBid, "Content-Encoding", "gzip")
	f("not gzip", "POST", bid, minimal, 400, outcomeInvalid, "Content-Encoding", "gzip")
	f("gzip cut off", "POST", bid, gzipped(t, minimal)[:40], 400, outcomeInvalid, "Content-Encoding", "gzip")
	f("gzip bomb", "POST", bid, gzipped(t, strings.Repeat(" ", 1<<20)), 413, outcomeTooLarge, "Content-Encoding", "gzip")
	f("other coding", "POST", bid, minimal, 415, outcomeContentType, "Content-Encoding", "br")
	f("protobuf", "POST", bid, minimal, 415, outcomeContentType, "Content-Type", "application/x-protobuf")
	f("text", "POST", bid, minimal, 200, outcomeBid, "Content-Type", "text/plain; charset=utf-8")
	f("form, as curl sends", "POST", bid, minimal, 200, outcomeBid, "Content-Type", "application/x-www-form-urlencoded")
	f("too large", "POST", bid, strings.Repeat(" ", 5000), 413, outcomeTooLarge)
	resp, _ = f("get", "GET", bid, "", 405, outcomeMethod)
	if resp.Header.Get("Allow") != "POST" {
		t.Errorf("Allow is %q", resp.Header.Get("Allow"))
	}
	if resp, _ := do(t, client, "GET", base+"/", ""); resp.StatusCode != 404 {
		t.Errorf("another path: status %d, want 404", resp.StatusCode)
	}
	resp, answer = f("gzip accepted", "POST", bid, minimal, 200, outcomeBid, "Accept-Encoding", "br, gzip;q=0.5")
	if z, err := gzip.NewReader(strings.NewReader(answer)); err != nil || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("answer is not gzip: %v, headers %v", err, resp.Header)
	} else if err := json.NewDecoder(z).Decode(&parsed); err != nil {
		t.Error(err)
	}
	if n := counted(t, s.metrics.panics); n != 1 {
		t.Errorf("%v panics counted, want 1", n)
	}
	if len(auctions.sent) == 0 || len(auctions.withdrawn) != 0 {
		t.Errorf("sent %v, withdrawn %v", auctions.sent, auctions.withdrawn)
	}
	if n := s.InFlight(); n != 0 {
		t.Errorf("%d auctions in flight at rest", n)
	}
}

func TestNoBidStatus200(t *testing.T) {
	auctions := &fakeAuctions{run: func(context.Context, *auction.Request) auction.Result {
		return auction.Result{Reason: auction.NoBidShed}
	}}
	_, base, client := startServer(t, auctions, nil, Options{NoBidStatus: 200})
	resp, answer := do(t, client, "POST", base+"/openrtb2/bid", minimal)
	if resp.StatusCode != 200 || answer != `{"id":"r","nbr":15}` {
		t.Errorf("status %d, %s", resp.StatusCode, answer)
	}
}

// A bid that is later than deadline and grace is withdrawn. So is a bid that does not fit.
func TestWithdraw(t *testing.T) {
	f := func(name string, run func(context.Context, *auction.Request) auction.Result, want string) {
		t.Helper()
		auctions := &fakeAuctions{run: run}
		s, base, client := startServer(t, auctions, nil, Options{})
		resp, _ := do(t, client, "POST", base+"/openrtb2/bid", `{"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250}}],"tmax":20}`)
		if resp.StatusCode != 204 || len(auctions.sent) != 0 || len(auctions.withdrawn) != 1 || auctions.withdrawn[0] != want {
			t.Errorf("%s: status %d, sent %v, withdrawn %v, want %q", name, resp.StatusCode, auctions.sent, auctions.withdrawn, want)
		}
		reason := auction.NoBidReason(strings.TrimPrefix(want, "bid1 "))
		if n := counted(t, s.metrics.withdrawn[reason]); n != 1 {
			t.Errorf("%s: %v withdrawals counted, want 1", name, n)
		}
	}
	f("late", func(ctx context.Context, req *auction.Request) auction.Result {
		<-ctx.Done()
		timer := time.NewTimer(time.Until(req.Deadline.Add(6 * time.Millisecond))) // after the grace of 5 ms
		defer timer.Stop()
		<-timer.C
		return oneBid(req)
	}, "bid1 expired")
	video := bannerCreative
	video.Kind = auction.VideoCreative
	f("another format", func(context.Context, *auction.Request) auction.Result {
		r := oneBid(nil)
		r.Bids[0].Candidate.Creative = &video
		return r
	}, "bid1 no_creative")
}

// An auction's deadline counts from the first byte of its request, not from the last.
func TestReceivedWithTheFirstByte(t *testing.T) {
	received := make(chan time.Time, 1)
	run := func(_ context.Context, req *auction.Request) auction.Result {
		received <- req.Received
		return oneBid(req)
	}
	_, base, _ := startServer(t, &fakeAuctions{run: run}, nil, Options{})
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const body = `{"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250}}],"tmax":60000}`
	before := time.Now()
	fmt.Fprintf(c, "POST /openrtb2/bid HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q, %v; want 100 Continue", line, err)
	}
	read := time.Now()
	fmt.Fprint(c, body)
	if got := <-received; got.Before(before) || got.After(read) {
		t.Errorf("received %v after the first byte was sent, want at most %v", got.Sub(before), read.Sub(before))
	}
}

func TestOptionFaults(t *testing.T) {
	_, err := NewServer(nil, nil, nil, Options{NoBidStatus: 500, MaxBody: -1, ReadTimeout: -1, Timing: Timing{Margin: -1}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"a law is required", "no-bid status 500", "max body -1", "timeouts", "margin -1ns", "a logger is required", "a metrics registerer is required", "no linker", "auctions and notices"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	f := func(header string, want bool) {
		t.Helper()
		if got := acceptsGzip(header); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	f("", false)
	f("gzip", true)
	f("deflate, GZIP;q=0.8", true)
	f("br;q=1.0, gzip; q=0", false)
	f("*", true)
	f("*, gzip;q=0", false)
	f("identity", false)
}
