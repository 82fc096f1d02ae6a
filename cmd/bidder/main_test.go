package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp has one goroutine in each process that formats the Date header.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// The goroutine that cleans fasthttp's pool ends up to 10 s after the pool stops.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// signalWriter keeps what is written. It closes found when the text contains want.
type signalWriter struct {
	mu    sync.Mutex
	text  bytes.Buffer
	want  string
	found chan struct{}
}

func (w *signalWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if w.want != "" && strings.Contains(w.text.String(), w.want) {
		w.want = ""
		close(w.found)
	}
	return len(p), nil
}

func (w *signalWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestServe runs the whole command without a model version. It starts, reports that it is not ready, answers, and drains.
func TestServe(t *testing.T) {
	dir, listen, admin, notices := t.TempDir(), freeAddress(t), freeAddress(t), freeAddress(t)
	config := filepath.Join(dir, "bidder.yaml")
	text := fmt.Sprintf("listen: %s\nadmin_listen: %s\npublic_url: http://%[3]s\nnotices: {listen: '%[3]s'}\nstate_dir: %[4]s/state\ncampaigns: ../../configs/campaigns.yaml\n"+
		"sellers: {sim: {addresses: [127.0.0.1]}, far: {secret: a-secret-of-far-away, addresses: [192.0.2.1]}}\nmodel_store: %[4]s/store\nmodels: {ctr: {runners: 1, nice: 2}, cvr: {}}\nauction: {conversion: cvr}\nlimits: {body_bytes: 4096, read_timeout: 300ms, drain_delay: 1ms}\n"+
		"events: {embedded_listen: %[5]s, embedded_dir: %[4]s/stream, token_file: %[4]s/stream.token}\n",
		listen, admin, notices, dir, freeAddress(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := &signalWriter{want: "msg=serving", found: make(chan struct{})}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0)) // serving raises it
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"serve", "--config", config}, io.Discard, log) }()
	select {
	case <-log.found:
	case err := <-ended:
		t.Fatalf("ended: %v\n%s", err, log)
	case <-time.After(time.Minute):
		t.Fatalf("not serving after a minute\n%s", log)
	}
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	f := func(method, url, body string, want ...int) string {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, status := range want {
			if response.StatusCode == status {
				return string(answer)
			}
		}
		t.Errorf("%s %s: %s, want %v", method, url, response.Status, want)
		return string(answer)
	}
	f("GET", "http://"+admin+"/healthz", "", 200)
	if answer := f("GET", "http://"+admin+"/readyz", "", 503); !strings.Contains(answer, "no warm version of ctr") {
		t.Errorf("/readyz says %q", answer)
	}
	f("GET", "http://"+admin+"/debug/pprof/cmdline", "", 200)
	bid := "http://" + listen + "/openrtb2/bid"
	f("POST", bid, `{"id":"1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}`, 200, 204)
	f("POST", bid, `{"id":"1"}`, 400)
	f("GET", bid, "", 405)
	f("POST", bid, strings.Repeat(" ", 5000), 413)
	f("POST", bid+"/a-secret-of-far-away", `{"id":"1"}`, 403) // from another address than its own
	f("POST", bid+"/far", `{"id":"1"}`, 403)
	f("GET", "http://"+notices+"/n/billing?t=forged&p=1", "", 403)
	f("GET", "http://"+listen+"/n/billing?t=forged&p=1", "", 404)
	f("POST", "http://"+notices+"/openrtb2/bid", `{"id":"1"}`, 404)
	f("GET", "http://"+listen+"/metrics", "", 404) // only the admin port serves it
	if answer := f("GET", "http://"+admin+"/metrics", "", 200); !strings.Contains(answer, `gavel_openrtb_requests_total{outcome="too_large"} 1`) {
		t.Error("the metrics lack the request that was too large")
	}

	slow, err := net.Dial("tcp", listen) // it never ends its headers
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "POST /openrtb2/bid HTTP/1.1\r\nHost: x\r\n")
	_ = slow.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, slow); err != nil {
		t.Errorf("the connection of an unfinished request stays open: %v", err)
	}
	if answer := f("GET", "http://"+admin+"/metrics", "", 200); !strings.Contains(answer, "gavel_openrtb_connections_timed_out_total 1\n") {
		t.Error("the metrics lack the connection that timed out")
	}
	if answer := f("GET", "http://"+admin+"/", "", 200); !strings.Contains(answer, "<title>Gavel batcher</title>") {
		t.Errorf("the admin port's page is %.100q", answer)
	}
	if answer := f("GET", "http://"+admin+"/batcher.json", "", 200); !strings.Contains(answer, `"model":"ctr","stable":null`) {
		t.Errorf("/batcher.json says %s", answer)
	}

	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("ended with %v\n%s", err, log)
	}
	rest := log.String()
	for _, part := range []string{"edge", "models", "batcher", "batcher of ctr", "budget leases", "events", "stream", "embedded stream"} {
		_, after, ok := strings.Cut(rest, "msg=stopped part="+quoted(part)+" ")
		if !ok {
			t.Fatalf("%q did not stop in this order:\n%s", part, log)
		}
		rest = after
	}
	secret, err := os.ReadFile(filepath.Join(dir, "stream.token"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), strings.TrimSpace(string(secret))) {
		t.Error("the stream's token is in the log")
	}
	if strings.Contains(log.String(), "a-secret-of") {
		t.Error("a seller's secret is in the log")
	}
}

func quoted(s string) string {
	if strings.Contains(s, " ") {
		return `"` + s + `"`
	}
	return s
}

func TestExitStatus(t *testing.T) {
	f := func(status int, want string, args ...string) {
		t.Helper()
		err := run(context.Background(), args, io.Discard, io.Discard)
		if err == nil || exitStatus(err) != status || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want status %d and %q", args, err, status, want)
		}
	}
	f(2, "absent.yaml", "serve", "--config", "absent.yaml")
	f(2, "absent.yaml", "check", "--config", "absent.yaml")
	f(2, "unknown flag", "serve", "--confg", "x")
	f(2, "directory", "verify")
	f(1, "no assets.extra/manifest.json", "verify", t.TempDir())
}

func TestCheck(t *testing.T) {
	f := func(extra string, want ...string) {
		t.Helper()
		var out bytes.Buffer
		path := filepath.Join(t.TempDir(), "b.yaml")
		if err := os.WriteFile(path, []byte("campaigns: ../../configs/campaigns.yaml\n"+extra), 0o600); err != nil {
			t.Fatal(err)
		}
		err := run(context.Background(), []string{"check", "--config", path}, &out, io.Discard)
		if err != nil {
			fmt.Fprint(&out, err)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%q: no %q in:\n%s", extra, w, out.String())
			}
		}
	}
	f("auction: {conversion: cvr}\n", "b.yaml: sound\n", "campaigns.yaml: sound, ", "warning: sellers: there are none")
	f("sellers: {a: {secret_file: nowhere}}\n", "sellers.a.secret_file: cannot read")
	f("", "warning: ", "auction.conversion names no model")
	f("auction: {currency: EUR}\n", "auction.currency is EUR")
}

func TestVerify(t *testing.T) {
	dir := filepath.Join(newStore(t), "ctr", "1")
	verified := func() (string, error) {
		var out bytes.Buffer
		err := run(context.Background(), []string{"verify", dir}, &out, io.Discard)
		return out.String(), err
	}
	out, err := verified()
	if err != nil || !strings.Contains(out, "ctr version 1: sound") || !strings.Contains(out, "golden rows as Python computed them") {
		t.Errorf("a sound version: %v\n%s", err, out)
	}
	if err := os.Truncate(filepath.Join(dir, "saved_model.pb"), 100); err != nil {
		t.Fatal(err)
	}
	if out, err := verified(); err == nil || exitStatus(err) != 1 || !strings.Contains(err.Error(), "saved_model.pb") || out != "" {
		t.Errorf("a truncated file: %v\n%s", err, out)
	}
}
