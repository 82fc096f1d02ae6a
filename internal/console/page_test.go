package console

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/servable"
)

// servePage answers one request as the admin port would.
func servePage(t *testing.T, p *Page, path string) (*http.Response, string) {
	t.Helper()
	mux := http.NewServeMux()
	p.Register(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

// The page is one file: whatever it holds, its policy allows that and nothing from elsewhere.
func TestBatcherPage(t *testing.T) {
	response, page := servePage(t, &Page{}, "/")
	policy := response.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", hashOf(page, "style"), hashOf(page, "script"), "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || response.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("policy %q, type %q", policy, response.Header.Get("Content-Type"))
	}
	for _, tag := range []string{"<style>", "<script>"} {
		if strings.Count(page, tag) != 1 {
			t.Errorf("the page has %d of %s; its policy names one", strings.Count(page, tag), tag)
		}
	}
	// What the policy would stop: other files, attributes with style or script.
	if found := regexp.MustCompile(`(?i)<[^>]*\s(src|style|on\w+)=|https?://[^w]|@import|url\(`).FindString(page); found != "" {
		t.Errorf("the page holds %q", found)
	}
	// Every count that the page names is in what it is fed.
	fed, err := json.Marshal(newPageModel(&servable.Status{}, &batcher.Stats{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range regexp.MustCompile(`\["(\w+)", "[^"]*"\]|\bd\.(\w+)|rate\("(\w+)"\)`).FindAllStringSubmatch(page, -1) {
		name := key[1] + key[2] + key[3]
		if !strings.Contains(string(fed), `"`+name+`"`) && name != "seconds" {
			t.Errorf("the page shows %q, which /batcher.json lacks", name)
		}
	}
	if response, _ := servePage(t, &Page{}, "/elsewhere"); response.StatusCode != http.StatusNotFound {
		t.Errorf("another path: %s", response.Status)
	}
}

func TestBatcherState(t *testing.T) {
	pool, queues := newPool(t), NewQueues()
	queues.AddPool("(shared)", pool)
	queue := newQueue(t, queues, pool, "ctr", batcher.QueueOptions{Name: "ctr/7", CalibrationRuns: 3})
	for range 3 {
		score(t, queue, 2)
	}
	long := strings.Repeat("damaged ", 100)
	p := &Page{Bidder: "b1", Threading: "caller", Queues: queues, Models: []func() servable.Status{
		func() servable.Status {
			return servable.Status{Model: "ctr", Live: 1,
				Stable:  &servable.VersionStatus{Version: 7, Created: time.Now().Add(-time.Hour), Rows: 1000},
				Refused: []servable.RefusedVersion{{Version: 1}, {Version: 2}, {Version: 3}, {Version: 4}, {Version: 8, Error: long}}}
		},
		func() servable.Status { return servable.Status{Model: "cvr", StoreError: "no such directory"} },
	}}
	response, body := servePage(t, p, "/batcher.json")
	if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", response.Header)
	}
	if len(body) > 8<<10 {
		t.Errorf("an answer of %d bytes", len(body))
	}
	var got pageState
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Bidder != "b1" || got.Threads != "caller" || got.Runners.Count != 1 || got.Process == 0 || got.At <= 0 || len(got.Models) != 2 {
		t.Fatalf("got %+v", got)
	}
	ctr, cvr := got.Models[0], got.Models[1]
	if ctr.Stable.Version != 7 || ctr.Stable.Age < 3600 || ctr.Canary != nil || ctr.Settings.MaxRows != 128 || ctr.Settings.MaxWait != batcher.DefaultMaxWait.String() {
		t.Errorf("version %+v, settings %+v", ctr.Stable, ctr.Settings)
	}
	if c := ctr.Counts; c.Rows != 6 || c.Answered != 6 || c.Claims != 3 || c.Full+c.Due+c.Idle+c.Close != c.Batches {
		t.Errorf("counts %+v", c)
	}
	if h := ctr.BatchRows; h.First != 8 || len(h.Counts) != 1 || h.Counts[0] != 3 || h.Sum != 6 || h.Count != 3 {
		t.Errorf("rows of batches %+v, want 3 times 2", h)
	}
	var timed uint64
	for _, n := range ctr.QueueTime.Counts {
		timed += n
	}
	if timed+ctr.QueueTime.Zero != 6 || len(ctr.Curve) != 8 || len(ctr.Sizes) == 0 {
		t.Errorf("queue time %+v, curve %v, sizes %v", ctr.QueueTime, ctr.Curve, ctr.Sizes)
	}
	if n := len(ctr.Refused); n != maxRefusals || ctr.Refused[n-1].Version != 8 || len(ctr.Refused[n-1].Error) > maxMessage+len("…") {
		t.Errorf("refused %+v", ctr.Refused)
	}
	if cvr.Stable != nil || cvr.Settings != nil || cvr.StoreError == "" || len(cvr.BatchRows.Counts) != 0 {
		t.Errorf("a model without a version: %+v", cvr)
	}
}
