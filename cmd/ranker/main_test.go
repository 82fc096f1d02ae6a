package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
	"gavel/internal/stream"
	"gavel/internal/stream/nats"
)

// serveEnv turns the test binary into a ranker with this configuration file, for tests that kill one.
const serveEnv = "GAVEL_TEST_RANKER"

func TestMain(m *testing.M) {
	if path, ok := os.LookupEnv(serveEnv); ok {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err := run(ctx, []string{"serve", "--config", path}, os.Stdout, os.Stderr)
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitStatus(err))
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		// fasthttp has one goroutine in each process that formats the Date header.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// The goroutine that cleans fasthttp's pool ends up to 10 s after the pool stops.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// lines keeps what is written, and tells of each write.
type lines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	added chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	select {
	case l.added <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until the log has a text.
func (l *lines) await(t *testing.T, want string, ended <-chan error) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(l.String(), want) {
		select {
		case <-l.added:
		case err := <-ended:
			t.Fatalf("ended: %v\n%s", err, l)
		case <-deadline:
			t.Fatalf("no %q after a minute\n%s", want, l)
		}
	}
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

// prior and shoes are a prior and a classifier that is a delta to it.
func prior() *classifiers.File {
	return &classifiers.File{Kind: classifiers.Prior, Version: 5, Trainer: "test", Intercept: -4, Features: []classifiers.Feature{
		{Name: "country", Of: []string{"country"}, Values: []string{"AT", "DE"}, Weights: []float64{0.25, 0.5}, Other: -0.25}}}
}

func shoes() *classifiers.File {
	return &classifiers.File{Kind: classifiers.Classifier, Campaign: "shoes", Version: 9, Prior: 5, Trainer: "test", Intercept: 0.125,
		Variance: 0.5, Features: []classifiers.Feature{
			{Name: "device", Of: []string{"device"}, Values: []string{"desktop", "mobile"}, Weights: []float64{-1, 1.5}, Other: 0},
			{Name: "device×placement", Of: []string{"device", "placement"}, Values: []string{"mobile\x1ftop"}, Weights: []float64{0.75}, Other: 0}}}
}

// The whole process: it ranks by real classifier files, redirects a click, joins its sale, follows its files, and stops in order.
func TestServe(t *testing.T) {
	dir, listen, admin, streamAt := t.TempDir(), freeAddress(t), freeAddress(t), freeAddress(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("campaigns.yaml", "campaigns:\n"+
		"  - {id: shoes, value: 2, landing: 'https://shop.example/shoes?k=${TOKEN}'}\n"+
		"  - {id: hats, value: 1, landing: 'https://shop.example/hats?k=${TOKEN}'}\n")
	write("ranker.yaml", fmt.Sprintf("listen: %s\nadmin_listen: %s\nstate_dir: %[3]s/state\ncampaigns: %[3]s/campaigns.yaml\nmodels: {sale: {scorer: bank, directory: %[3]s/classifiers}}\n"+
		"profile: {fields: {placement: [top, side]}}\nclick: {policy: best}\nlimits: {drain_delay: 0s}\nprivacy: {gdpr: {unknown: does_not_apply}}\n"+
		"events: {embedded_listen: %[4]s, embedded_dir: %[3]s/stream, token_file: %[3]s/stream.token}\n", listen, admin, dir, streamAt))
	files := filepath.Join(dir, "classifiers")
	for _, f := range []*classifiers.File{prior(), shoes()} {
		if err := os.MkdirAll(files, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := classifiers.Write(files, f); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &lines{added: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--config", filepath.Join(dir, "ranker.yaml")}, io.Discard, log)
	}()
	log.await(t, "msg=serving", ended)

	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	do := func(status int, method, url, body string, header ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		response, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != status {
			t.Fatalf("%s %s: %s %s, %v; want %d", method, url, response.Status, answer, err, status)
		}
		return response, string(answer)
	}
	do(200, "GET", "http://"+admin+"/healthz", "")
	for status := 0; status != 200; { // the files are read while it serves already
		response, err := client.Get("http://" + admin + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if status = response.StatusCode; status != 200 && (status != 503 || !strings.Contains(string(answer), "are being read")) {
			t.Fatalf("/readyz: %s %s", response.Status, answer)
		}
	}

	const agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"
	p := score.Profile{{Name: "device", Value: "mobile"}, {Name: "country", Value: "DE"}, {Name: "placement", Value: "top"}}
	base := prior().Logit(p)
	want := classifiers.Probability(base + shoes().Logit(p))
	_, text := do(200, "POST", "http://"+listen+"/rank", `{"profile": {"user_agent": "`+agent+`", "country": "DEU", "placement": "top"}}`)
	var answer struct {
		Ranking []struct {
			Campaign           string
			Probability, Value float64
			Version, Prior     uint64
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer.Ranking) != 2 {
		t.Fatalf("%s: %v", text, err)
	}
	if r := answer.Ranking[0]; r.Campaign != "shoes" || math.Abs(r.Probability-want) > 1e-6 || math.Abs(r.Value-2*want) > 2e-6 || r.Version != 9 || r.Prior != 5 {
		t.Errorf("%+v, want the probability %v", r, want)
	}
	if r := answer.Ranking[1]; r.Campaign != "hats" || math.Abs(r.Probability-classifiers.Probability(base)) > 1e-6 || r.Version != 0 {
		t.Errorf("%+v, want the prior's probability %v", r, classifiers.Probability(base))
	}

	response, _ := do(302, "GET", "http://"+listen+"/click?placement=top&country=DE", "", "User-Agent", agent)
	page, err := url.Parse(response.Header.Get("Location"))
	if err != nil || page.Host != "shop.example" || page.Path != "/shoes" {
		t.Fatalf("redirected to %v", page)
	}
	sale := "http://" + listen + "/sale?v=12.5&t=" + page.Query().Get("k")
	do(204, "GET", sale, "")
	do(204, "POST", sale, "")
	do(403, "GET", "http://"+listen+"/sale?t=x", "")
	do(404, "GET", "http://"+listen+"/metrics", "") // only the admin port serves it
	clicks := readEvents(t, streamAt, filepath.Join(dir, "stream.token"), 2)
	if r, s := clicks[0], clicks[1]; r.Type != events.TypeRanking || r.Campaign != "shoes" || r.Ranking.Version != 9 || math.Abs(r.Ranking.Probability-want) > 1e-6 ||
		s.Type != events.TypeSale || s.Key != r.Key || s.Price != 12_500_000 {
		t.Errorf("events %+v", clicks)
	}

	// The page counts from the stream.
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, text := do(200, "GET", "http://"+admin+"/campaigns.json?sort=campaign", "")
		var page struct {
			Campaigns []struct {
				Campaign     string
				Clicks, Sold int
				Predicted    float64
				Version      uint64
				Bytes        int64
			}
		}
		if err := json.Unmarshal([]byte(text), &page); err != nil || len(page.Campaigns) != 2 {
			t.Fatalf("%v: %s", err, text)
		}
		if c := page.Campaigns[1]; c.Campaign == "shoes" && c.Clicks == 1 && c.Sold == 1 && math.Abs(c.Predicted-want) <= 1e-6 && c.Version == 9 && c.Bytes > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page: %s", text)
		}
	}
	if response, text := do(200, "GET", "http://"+admin+"/", ""); response.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(text, "<bdi>shoes</bdi>") {
		t.Errorf("the page: %v\n%s", response.Header, text)
	}

	// Another classifier.
	next := shoes()
	next.Version, next.Intercept = 10, -3
	if err := classifiers.Write(files, next); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, text := do(200, "POST", "http://"+listen+"/rank", `{"profile": {}, "campaigns": ["shoes"]}`)
		if strings.Contains(text, `"version":10,`) {
			break
		}
		if !strings.Contains(text, `"version":9,`) || time.Now().After(deadline) {
			t.Fatalf("with another classifier: %s", text)
		}
	}

	// Another campaign file.
	write("campaigns.yaml", "campaigns:\n  - {id: hats, value: 1, landing: 'https://shop.example/hats?k=${TOKEN}'}\n")
	log.await(t, "msg=\"campaigns loaded\"", ended)
	if _, text := do(200, "POST", "http://"+listen+"/rank", `{"profile": {}}`); !strings.Contains(text, `"candidates":1,`) {
		t.Errorf("with another campaign file: %s", text)
	}
	_, text = do(200, "GET", "http://"+admin+"/metrics", "")
	for _, series := range []string{`gavel_rank_requests_total{endpoint="click",outcome="ok"} 1`, `gavel_rank_choices_total{policy="best"} 1`,
		`gavel_notices_total{kind="sale",outcome="replayed"} 1`, `gavel_bank_classifiers{model="sale"} 1`, "gavel_campaigns 1",
		"gavel_rank_recent_clicks 1", "gavel_rank_recent_scored_clicks 1", "gavel_rank_recent_sold_clicks 1"} {
		if !strings.Contains(text, series+"\n") {
			t.Errorf("the metrics lack %s", series)
		}
	}

	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("ended with %v\n%s", err, log)
	}
	rest := log.String()
	for _, part := range []string{"edge", "admin", `"files of sale"`, `"bank of sale"`, `"campaign watch"`, "counts", "events", "stream", `"embedded stream"`} {
		_, after, ok := strings.Cut(rest, "msg=stopped part="+part+" ")
		if !ok {
			t.Fatalf("%s did not stop in this order:\n%s", part, log)
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
}

// readEvents reads the first n events of the stream that are no ticks.
func readEvents(t *testing.T, address, tokenFile string, n int) (all []events.Event) {
	t.Helper()
	readUntil(t, address, tokenFile, func(e events.Event) bool {
		all = append(all, e)
		return len(all) >= n
	})
	return all
}

// readUntil calls each with the events of the stream that are no ticks, until it returns true.
func readUntil(t *testing.T, address, tokenFile string, each func(events.Event) (last bool)) {
	t.Helper()
	s, err := nats.Connect(nats.Options{URL: "nats://" + address, TokenFile: tokenFile, Name: "reader", MaxAge: time.Hour, MaxBytes: 1 << 30,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := s.Open(ctx, stream.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for seen := 0; ; {
		entry, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("after %d events: %v", seen, err)
		}
		m := codec.Read(entry)
		if m.Damaged != nil {
			t.Fatal(m.Damaged)
		}
		for _, e := range m.Events {
			if e.Type == events.TypeTick {
				continue
			}
			if seen++; each(e) {
				return
			}
		}
	}
}

func TestExitStatus(t *testing.T) {
	f := func(status int, want string, args ...string) {
		t.Helper()
		err := run(t.Context(), args, io.Discard, io.Discard)
		if err == nil || exitStatus(err) != status || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want status %d and %q", args, err, status, want)
		}
	}
	f(2, "absent.yaml", "serve", "--config", "absent.yaml")
	f(2, "absent.yaml", "check", "--config", "absent.yaml")
	f(2, "unknown flag", "serve", "--confg", "x")
}

func TestCheck(t *testing.T) {
	check := func(text string) (string, error) {
		path := filepath.Join(t.TempDir(), "r.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := run(t.Context(), []string{"check", "--config", path}, &out, io.Discard)
		return out.String(), err
	}
	out, err := check("campaigns: ../../configs/rank-campaigns.yaml\n")
	if err != nil || !strings.Contains(out, "r.yaml: sound\n") || !strings.Contains(out, "rank-campaigns.yaml: sound, 4 active campaigns, 1 inactive\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := check("campaigns: ../../configs/campaigns.yaml\n"); err == nil || exitStatus(err) != 2 || !strings.Contains(err.Error(), "campaigns.yaml: line") {
		t.Errorf("a bidder's campaign file: %v", err)
	}
}
