package rankings

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/landings"
	"gavel/internal/rank/tally"
)

var now = time.Date(2026, 10, 11, 12, 0, 0, 0, time.UTC)

// hostile is a campaign's id that a page must not take for its own text.
const hostile = `</bdi><script>document.title="taken"</script>"'&<b>`

// newPage is the page of n campaigns c0, c1, … and a hostile one. Every third has no classifier, every second clicks, every fourth sales.
func newPage(t testing.TB, n int) *Page {
	t.Helper()
	var file strings.Builder
	file.WriteString("campaigns:\n")
	counts := map[string]tally.Counts{hostile: {Clicks: 3}, "gone": {Clicks: 10, Scored: 10, Predicted: 2, Sold: 1, Sales: 1, Value: 5}}
	var serving []classifiers.Serving
	for i := range n {
		id := fmt.Sprint("c", i)
		fmt.Fprintf(&file, "  - {id: %s, value: 1, landing: 'https://shop.example/'}\n", id)
		if i%2 == 0 {
			counts[id] = tally.Counts{Clicks: uint64(1000 + i), Scored: uint64(1000 + i), Predicted: 4.5}
			if i%4 == 0 {
				counts[id] = tally.Counts{Clicks: 1000, Scored: 500, Predicted: 2, Sold: 4, Sales: 5, Value: 50}
			}
		}
		if i%3 != 0 {
			serving = append(serving, classifiers.Serving{Campaign: id, Version: uint64(1_790_000_000_000 + i), Prior: 7,
				Trained: now.Add(-time.Duration(i) * time.Minute), Rows: int64(10 * i), Positives: int64(i), Weights: int64(99 + i), Updates: i % 5})
		}
	}
	set, err := landings.Parse("campaigns.yaml", []byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	return &Page{
		Ranker: "r1", Campaigns: func() *landings.Set { return set }, Now: func() time.Time { return now },
		Counts: func(days int) tally.Snapshot {
			return tally.Snapshot{From: now.Add(-time.Duration(days) * 24 * time.Hour), Last: now.Add(-time.Second), Campaigns: counts}
		},
		Classifiers: func() []classifiers.Serving { return serving },
		Refused: func() []classifiers.Refusal {
			return []classifiers.Refusal{{File: "bad.classifier", Reason: "it is <damaged>", Remedy: "write it again"}}
		},
		Memory: func() int64 { return 100 << 20 },
	}
}

func get(t testing.TB, p *Page, path string) (*http.Response, string) {
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

func getState(t testing.TB, p *Page, parameters string) (s state) {
	t.Helper()
	response, body := get(t, p, "/campaigns.json"+parameters)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %s %s", parameters, response.Status, body)
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func ids(s state) (all []string) {
	for _, l := range s.Lines {
		all = append(all, l.Campaign)
	}
	return all
}

func TestLines(t *testing.T) {
	p := newPage(t, 9)
	s := getState(t, p, "")
	if s.Active != 9 || s.Classifiers != 6 || s.Found != 11 || len(s.Lines) != 11 || s.Bytes != 100<<20 || s.Files != 1 {
		t.Errorf("%+v", s)
	}
	if want := []string{"c6", "c2", "c0", "c4", "c8", "gone", hostile, "c1", "c3", "c5", "c7"}; !slices.Equal(ids(s), want) {
		t.Errorf("by clicks: %q, want %q", ids(s), want)
	}
	c4 := s.Lines[3]
	if *c4.Rate != 0.004 || *c4.Ratio != 1 || c4.Sales != 5 || c4.Version != 1_790_000_000_004 || c4.Age != 240 || c4.Rows != 40 || c4.Updates != 4 || !c4.Active {
		t.Errorf("%+v", c4)
	}
	if gone := s.Lines[5]; gone.Active || gone.Version != 0 || *gone.Ratio != 2 {
		t.Errorf("%+v", gone)
	}
	if c1 := s.Lines[7]; c1.Rate != nil || c1.Ratio != nil || c1.Version == 0 {
		t.Errorf("%+v", c1)
	}
	sum := int64(0)
	for _, l := range s.Lines {
		sum += l.Bytes
	}
	if sum < s.Bytes-10 || sum > s.Bytes {
		t.Errorf("the campaigns have %d bytes, all classifiers %d", sum, s.Bytes)
	}
	if total := s.Total; total.Clicks != 5021 || total.Sold != 13 || total.Predicted != 17 {
		t.Errorf("%+v", total)
	}
}

func TestSorted(t *testing.T) {
	p := newPage(t, 9)
	f := func(parameters string, first ...string) {
		t.Helper()
		s := getState(t, p, parameters)
		if got := ids(s)[:len(first)]; !slices.Equal(got, first) {
			t.Errorf("%s: %q, want %q", parameters, got, first)
		}
	}
	f("?sort=campaign", hostile, "c0", "c1")
	f("?sort=campaign&order=desc", "gone", "c8")
	f("?sort=active&order=asc", hostile, "gone", "c0")
	f("?sort=age", "c8", "c7", "c5", "c4", "c2", "c1", hostile)
	f("?sort=age&order=asc", "c1", "c2", "c4", "c5", "c7", "c8", hostile)
	f("?sort=ratio", "gone", "c0", "c4", "c8", hostile)
	f("?sort=ratio&order=asc", "c0", "c4", "c8", "gone", hostile)
	f("?sort=updates", "c4", "c8", "c2", "c7", "c1")
	f("?sort=campaign&from=3&limit=2", "c2", "c3")
	for _, c := range columns {
		up, down := ids(getState(t, p, "?order=asc&sort="+c.Key)), ids(getState(t, p, "?order=desc&sort="+c.Key))
		if slices.Equal(up, down) || len(up) != 11 || len(down) != 11 {
			t.Errorf("%s: %q, %q", c.Key, up, down)
		}
	}
}

func TestSearched(t *testing.T) {
	p := newPage(t, 120)
	if s := getState(t, p, "?q=C11&sort=campaign"); s.Found != 11 || s.Lines[0].Campaign != "c11" || s.Total.Sold != 8 {
		t.Errorf("%d found, sold %d, %q", s.Found, s.Total.Sold, ids(s))
	}
	if s := getState(t, p, "?q=%3Cscript"); s.Found != 1 {
		t.Errorf("%q", ids(s))
	}
	if s := getState(t, p, "?q=nowhere"); s.Found != 0 || s.Lines == nil {
		t.Errorf("%q", ids(s))
	}
	if s := getState(t, p, "?from=100000"); s.Found != 122 || len(s.Lines) != 0 {
		t.Errorf("%q", ids(s))
	}
}

func TestBadQueries(t *testing.T) {
	p := newPage(t, 1)
	f := func(parameters, want string) {
		t.Helper()
		for _, path := range []string{"/", "/campaigns.json"} {
			if response, body := get(t, p, path+parameters); response.StatusCode != http.StatusBadRequest || !strings.Contains(body, want) {
				t.Errorf("%s%s: %s %s", path, parameters, response.Status, body)
			}
		}
	}
	f("?sort=price", "the columns are campaign, active, clicks")
	f("?order=up", "neither asc nor desc")
	f("?days=4", "a number from 1 to 3")
	f("?limit=1001", "a number from 1 to 1000")
	f("?from=-1", "from: ")
	f("?refresh=x", "refresh: ")
	f("?q="+strings.Repeat("x", 257), "at most 256")
}

// The page loads its style only, and the policy allows nothing else. Its links lead to what there is.
func TestPage(t *testing.T) {
	p := newPage(t, 250)
	response, body := get(t, p, "/?q=c&refresh=10")
	h := response.Header
	if h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", h)
	}
	policy := h.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'self'; ") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script") {
		t.Errorf("policy %q", policy)
	}
	if strings.Contains(body, "<script") || strings.Contains(body, "<damaged>") || !strings.Contains(body, "it is &lt;damaged&gt;") {
		t.Error("a text is not escaped")
	}
	if found := regexp.MustCompile(`(?i)<style|<[a-z][^>]*\s(style|on\w+)=|https?://|@import|url\(|ZgotmplZ`).FindString(body); found != "" {
		t.Errorf("the page holds %q", found)
	}
	if response, _ := get(t, p, "/console/rankings.css"); response.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("the style: %v", response.Header)
	}
	links := regexp.MustCompile(`href="(\?[^"]*)"`).FindAllStringSubmatch(body, -1)
	if len(links) != len(columns)+4 { // other days, not refreshed, next
		t.Errorf("%d links", len(links))
	}
	for _, link := range links {
		if response, _ := get(t, p, "/"+strings.ReplaceAll(link[1], "&amp;", "&")); response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", link[1], response.Status)
		}
	}
	if _, body := get(t, p, "/?q=nowhere"); !strings.Contains(body, "No campaign is found") {
		t.Error("an empty table does not say so")
	}
	if response, _ := get(t, p, "/elsewhere"); response.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown path: %s", response.Status)
	}
}

// With 5,000 campaigns a page has the lines that are shown, and is light.
func TestSize(t *testing.T) {
	p := newPage(t, 5000)
	for path, most := range map[string]int{"/": 64 << 10, "/campaigns.json": 64 << 10} {
		began := time.Now()
		_, body := get(t, p, path)
		t.Logf("%s: %d bytes in %v", path, len(body), time.Since(began))
		if len(body) > most {
			t.Errorf("%s has %d bytes, want at most %d", path, len(body), most)
		}
	}
}

func TestFormats(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(whole(0), "0")
	f(whole(-1234), "-1,234")
	f(whole(uint64(1_234_567)), "1,234,567")
	f(decimal(0.0000123), "1.2e-05")
	f(decimal(3.14159), "3.14")
	f(decimal(12345.6), "12,346")
	f(memory(9000), "9,000 B")
	f(memory(90<<10), "90 KB")
	f(age(90), "90 s")
	f(age(86400*3), "3 days")
	f(rate(nil), "–")
}

func BenchmarkPage5000(b *testing.B) {
	p := newPage(b, 5000)
	b.ReportAllocs()
	for b.Loop() {
		get(b, p, "/")
	}
}
