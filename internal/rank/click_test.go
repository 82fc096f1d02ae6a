package rank

import (
	"context"
	"errors"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gavel/internal/events"
	"gavel/internal/rank/explore"
	"gavel/internal/rank/score"
)

const iPhone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"

// A click goes to the best campaign's landing page, and its event says all that training needs and nothing else.
func TestClick(t *testing.T) {
	scorer := newLinear(-9, classifiers(30)...)
	w := newWorld(t, scorer, file(make1(31)...), func(o *Options) { o.CountryHeader = "X-Country" })
	before := time.Now()
	resp, body := w.do("GET", "/click?placement=top&hour=7&weekday=tue&utm_source=x&user_agent=y", "",
		"User-Agent", iPhone, "Accept-Language", "de-AT,en;q=0.5", "X-Country", "AT", "Cookie", "id=secret", "X-Forwarded-For", "192.0.2.1")
	if resp.StatusCode != 302 || body != "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s %q", resp.Status, body)
	}
	p := w.profile("user_agent", iPhone, "language", "de", "country", "AT", "placement", "top", "hour", "7", "weekday", "tue")
	best := slices.MaxFunc(scorer.list, func(a, b score.Campaign) int {
		if scorer.logit(a.ID, p) < scorer.logit(b.ID, p) {
			return -1
		}
		return 1
	})
	location := resp.Header.Get("Location")
	page, token, _ := strings.Cut(location, "k=")
	if page != "https://shop.example/"+best.ID[1:]+"?" {
		t.Errorf("redirected to %s, want the page of %s", location, best.ID)
	}
	claims, err := w.keys.Verify(events.TypeSale, token, time.Now(), time.Hour)
	if err != nil || claims.Campaign != best.ID {
		t.Fatalf("the token claims %+v, %v", claims, err)
	}
	all := w.published.all()
	if len(all) != 1 {
		t.Fatalf("%d events", len(all))
	}
	e := all[0]
	if e.ID != "ranking:"+claims.Bid || e.Key != claims.Bid || e.Type != events.TypeRanking || e.Campaign != best.ID ||
		e.Time < before.UnixMilli() || e.Time > time.Now().UnixMilli() || e.Exchange != "" || e.Creative != "" {
		t.Errorf("event %+v", e)
	}
	r := e.Ranking
	if r.Policy != "best" || r.Propensity != 1 || r.Version != best.Version || r.Prior != 7 || r.Probability != probability(scorer.logit(best.ID, p)) {
		t.Errorf("ranking %+v", r)
	}
	if got := strings.Join(r.Fields, " "); got != "device system browser provider country language hour weekday placement" {
		t.Errorf("fields %s", got)
	}
	if got := strings.Join(r.Values, ","); got != "mobile,ios,safari,,AT,de,7,tue,top" {
		t.Errorf("values %s", got)
	}

	// The sale that follows.
	if resp, body := w.do("GET", "/sale?v=12.5&t="+token, ""); resp.StatusCode != 204 {
		t.Fatalf("%s %s", resp.Status, body)
	}
	if resp, _ := w.do("POST", "/sale?v=12.5&t="+token, ""); resp.StatusCode != 204 { // a repeat
		t.Error(resp.Status)
	}
	all = w.published.all()
	if len(all) != 2 || all[1].Type != events.TypeSale || all[1].Key != claims.Bid || all[1].Campaign != best.ID || all[1].Price != 12_500_000 {
		t.Errorf("events %+v", all)
	}
}

func TestSaleFaults(t *testing.T) {
	w := newWorld(t, newLinear(-9, classifiers(3)...), file(1, 1, 1), nil)
	resp, _ := w.do("GET", "/click", "")
	_, token, _ := strings.Cut(resp.Header.Get("Location"), "k=")
	f := func(status int, want, query string) {
		t.Helper()
		if resp, body := w.do("GET", "/sale?"+query, ""); resp.StatusCode != status || !strings.Contains(body, want) {
			t.Errorf("%s: %s %s, want %d %q", query, resp.Status, body, status, want)
		}
	}
	f(403, "is missing", "")
	f(403, "not of a click", "t=x")
	f(403, "not of a click", "t="+token[:len(token)-1]+"_")
	f(400, "not an amount", "v=-1&t="+token)
	f(400, "is too long", "t="+strings.Repeat("x", 3000))
	w.published.mu.Lock()
	w.published.fail = events.ErrFull
	w.published.mu.Unlock()
	f(503, "send it again", "t="+token)
	w.published.mu.Lock()
	w.published.fail = nil
	w.published.mu.Unlock()
	f(204, "", "t="+token)
}

// Whatever fails, a person arrives at a landing page of the file.
func TestClickFailures(t *testing.T) {
	scorer := newLinear(math.NaN(), classifiers(3)...)
	w := newWorld(t, scorer, file(1, 1, 1), func(o *Options) {
		o.Deadline, o.ClickPolicy = 50*time.Millisecond, explore.Thompson
	})
	f := func(name string, policy explore.Policy, score func(context.Context, []float64) (score.Partial, error)) {
		t.Helper()
		scorer.score = score
		seen := map[string]bool{}
		for range 12 {
			resp, _ := w.do("GET", "/click", "")
			u, err := url.Parse(resp.Header.Get("Location"))
			if resp.StatusCode != 302 || err != nil || u.Host != "shop.example" {
				t.Fatalf("%s: %s to %v", name, resp.Status, u)
			}
			seen[u.Path] = true
		}
		all := w.published.all()
		last := all[len(all)-1]
		if last.Ranking.Policy != string(policy) || policy == explore.Uniform && (last.Ranking.Propensity != 1.0/3 || last.Ranking.Probability != 0 || len(seen) < 2) {
			t.Errorf("%s: %+v, pages %v", name, last.Ranking, seen)
		}
	}
	f("all is well", explore.Thompson, nil)
	f("an error", explore.Uniform, func(context.Context, []float64) (score.Partial, error) { return "", errors.New("broken") })
	f("nothing scored", explore.Uniform, func(_ context.Context, logits []float64) (score.Partial, error) {
		for i := range logits {
			logits[i] = math.NaN()
		}
		return score.Failed, nil
	})
	w.published.mu.Lock()
	w.published.fail = events.ErrFull
	w.published.mu.Unlock()
	scorer.score = nil
	if resp, _ := w.do("GET", "/click", ""); resp.StatusCode != 302 {
		t.Errorf("a click that is not stored: %s", resp.Status)
	}
	if resp, _ := w.do("HEAD", "/click", ""); resp.StatusCode != 405 {
		t.Errorf("HEAD: %s", resp.Status)
	}

	off := newWorld(t, scorer, "campaigns:\n  - {id: a, value: 1, landing: 'https://shop.example', active: false}\n", nil)
	if resp, body := off.do("GET", "/click", ""); resp.StatusCode != 503 || !strings.Contains(body, "no campaign is active") {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// No request can choose the page, or add a header.
func TestNoOpenRedirect(t *testing.T) {
	w := newWorld(t, newLinear(-9, classifiers(3)...), file(1, 1, 1), nil)
	for _, query := range []string{"landing=https://evil.example", "url=//evil.example", "TOKEN=https://evil.example", "campaign=evil",
		"placement=%0d%0aSet-Cookie:%20a=b", "provider=%0d%0aLocation:%20https://evil.example", "country=%0a", "k=x"} {
		resp, _ := w.do("GET", "/click?"+query, "", "Accept-Language", "https://evil.example", "X-Forwarded-Host", "evil.example")
		location := resp.Header.Get("Location")
		if resp.StatusCode != 302 || !strings.HasPrefix(location, "https://shop.example/") || strings.Contains(location, "evil") ||
			len(resp.Header.Values("Location")) != 1 || resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %s, %v", query, resp.Status, resp.Header)
		}
	}
}
