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
	"gavel/internal/batcher/batchertest"
	"gavel/internal/models"
)

// servePage serves one request as the admin port would.
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

// The page loads only what the admin server serves, because the content security policy blocks everything else.
func TestPageLoadsItsOwnFilesOnly(t *testing.T) {
	page := &Page{Queues: NewQueues()}
	var all strings.Builder
	for _, f := range served {
		path := strings.TrimSuffix(strings.TrimPrefix(f.pattern, "GET "), "{$}")
		response, body := servePage(t, page, path)
		h := response.Header
		if response.StatusCode != http.StatusOK || h.Get("Content-Type") != f.contentType || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s, headers %v", path, response.Status, h)
		}
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "style-src 'self'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %q", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if found := regexp.MustCompile(`(?i)<style|<script>|<[a-z][^>]*\s(style|on\w+)=|https?://[^w]|@import|url\(`).FindString(body); found != "" {
			t.Errorf("%s holds %q", path, found)
		}
		for _, link := range regexp.MustCompile(`(?:<script[^>]* src=|<link[^>]* href=|from )"([^"]+)"`).FindAllStringSubmatch(body, -1) {
			target := "/" + link[1]
			if relative, ok := strings.CutPrefix(link[1], "./"); ok {
				target = "/console/" + relative
			}
			if link[1] == "data:," {
				continue
			}
			if response, _ := servePage(t, page, target); response.StatusCode != http.StatusOK {
				t.Errorf("%s loads %s: %s", path, target, response.Status)
			}
		}
		all.WriteString(body)
	}
	entries, err := files.ReadDir("page")
	if err != nil || len(entries) != len(served) {
		t.Errorf("page holds %d files, served lists %d, %v", len(entries), len(served), err)
	}
	if response, _ := servePage(t, page, "/elsewhere"); response.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown path: %s, want 404", response.Status)
	}
	checkNames(t, all.String())
}

// checkNames checks that every name that the scripts read is in /batcher.json, and that every part of a card that they
// fill is in the page.
func checkNames(t *testing.T, page string) {
	t.Helper()
	data, err := json.Marshal(newPageModel(&models.Status{}, &batcher.Stats{Name: "ctr/1"}))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\["([a-z_]+)", "[^"]*"|\bd\.(\w+)|rate\("(\w+)"\)|\bm\.([a-z_]+)|\bq\.(\w+)|pair\("(\w+)"\)`).FindAllStringSubmatch(page, -1)
	if len(names) < 30 {
		t.Errorf("found only %d names in the scripts; does the expression still match them?", len(names))
	}
	for _, found := range names {
		name := strings.Join(found[1:], "")
		if !strings.Contains(string(data), `"`+name+`"`) && name != "seconds" {
			t.Errorf("the scripts read %q, which /batcher.json lacks", name)
		}
	}
	for _, found := range regexp.MustCompile(`\bset\("(\w+)"|\bc\.(\w+)`).FindAllStringSubmatch(page, -1) {
		if part := found[1] + found[2]; part != "trends" && !strings.Contains(page, `data-f="`+part+`"`) {
			t.Errorf("the scripts fill %q, which the card lacks", part)
		}
	}
}

func TestBatcherJSON(t *testing.T) {
	pool, queues := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1}), NewQueues()
	queues.AddPool("(shared)", pool)
	queue := newQueue(t, queues, pool, "ctr", batcher.QueueOptions{Name: "ctr/7", CalibrationRuns: 3})
	for range 3 {
		score(t, queue, 2)
	}
	long := strings.Repeat("damaged ", 100)
	p := &Page{Bidder: "b1", Threading: "caller", Queues: queues, Models: func() []models.Status {
		return []models.Status{
			{Model: "ctr", Live: 1, Pointer: models.Pointer{Stable: 7, Pinned: &models.Pin{Reason: "under test"}},
				Stable:  &models.VersionStatus{Version: 7, Format: "plan", Created: time.Now().Add(-time.Hour), Rows: 1000},
				Refused: []models.RefusedVersion{{Version: 1}, {Version: 2}, {Version: 3}, {Version: 4}, {Version: 8, Error: long}}},
			{Model: "cvr", StoreError: "no such directory"},
		}
	}}
	response, body := servePage(t, p, "/batcher.json")
	if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", response.Header)
	}
	if len(body) > 8<<10 {
		t.Errorf("an answer has %d bytes, want at most 8 KiB", len(body))
	}
	var got pageState
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Bidder != "b1" || got.Threads != "caller" || got.Runners.Count != 1 || got.Process == 0 || got.At <= 0 || len(got.Models) != 2 {
		t.Fatalf("got %+v", got)
	}
	ctr, cvr := got.Models[0], got.Models[1]
	if ctr.Stable.Version != 7 || ctr.Stable.Format != "plan" || ctr.Stable.Age < 3600 || ctr.Canary != nil || ctr.Pinned.Reason != "under test" || ctr.Settings.MaxRows != 128 || ctr.Settings.MaxWait != batcher.DefaultMaxWait.String() {
		t.Errorf("version %+v, settings %+v", ctr.Stable, ctr.Settings)
	}
	if c := ctr.Counts; c.Rows != 6 || c.Answered != 6 || c.Claims != 3 || c.Full+c.Due+c.Idle+c.Close != c.Batches {
		t.Errorf("counts %+v", c)
	}
	var batches, timed uint64 // how many batches the six rows took is the policy's affair
	for _, n := range ctr.BatchRows.Counts {
		batches += n
	}
	if h := ctr.BatchRows; h.Sum != 6 || h.Count != batches || h.Count != uint64(ctr.Counts.Batches) {
		t.Errorf("rows of batches: %+v, counts %+v", h, ctr.Counts)
	}
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
