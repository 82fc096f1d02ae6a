package notify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// calls records when each URL was called. fail decides how a call ends.
type calls struct {
	mu    sync.Mutex
	start time.Time
	at    map[string][]time.Duration
	fail  func(url string, n int) (Reply, error)
}

func (c *calls) Get(url string, _ Browser) (Reply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[url] = append(c.at[url], time.Since(c.start))
	if c.fail != nil {
		return c.fail(url, len(c.at[url]))
	}
	return Reply{Status: 204}, nil
}

func newCalls() *calls { return &calls{start: time.Now(), at: map[string][]time.Duration{}} }

var plain = Options{Workers: 2, Attempts: 3, Backoff: 100 * time.Millisecond, Seed: 1}

func TestDeliversAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls()
		n := New(c, plain)
		for _, ms := range []int{500, 0, 200} {
			n.Send(Notice{Kind: Win, URL: fmt.Sprint(ms), At: time.Now().Add(time.Duration(ms) * time.Millisecond)})
		}
		n.Drain(t.Context(), time.Minute)
		for _, ms := range []int{500, 0, 200} {
			if got := c.at[fmt.Sprint(ms)]; len(got) != 1 || got[0] != time.Duration(ms)*time.Millisecond {
				t.Errorf("notice of %d ms was called at %v", ms, got)
			}
		}
		if s := n.Stats(); s != (Stats{Sent: 3, Delivered: 3}) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestRetriesThenGivesUp(t *testing.T) {
	f := func(name string, fail func(string, int) (Reply, error), wantAt []time.Duration, want Stats) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			c := newCalls()
			c.fail = fail
			o := plain
			var reasons []error
			o.Failed = func(_ *Notice, err error) { reasons = append(reasons, err) }
			n := New(c, o)
			n.Send(Notice{Kind: Billing, URL: "u"})
			n.Drain(t.Context(), time.Minute)
			if got := n.Stats(); got != want || !reflect.DeepEqual(c.at["u"], wantAt) || len(reasons) != int(want.Failed) {
				t.Errorf("%s: calls at %v, stats %+v, reasons %v; want %v, %+v", name, c.at["u"], got, reasons, wantAt, want)
			}
		})
	}
	const ms = time.Millisecond
	f("a broken connection", func(_ string, n int) (Reply, error) {
		if n < 3 {
			return Reply{}, errors.New("reset")
		}
		return Reply{Status: 200}, nil
	}, []time.Duration{0, 100 * ms, 300 * ms}, Stats{Sent: 1, Delivered: 1, Retries: 2})
	f("503 for ever", func(string, int) (Reply, error) { return Reply{Status: 503}, nil },
		[]time.Duration{0, 100 * ms, 300 * ms}, Stats{Sent: 1, Retries: 2, Failed: 1})
	f("403 is final", func(string, int) (Reply, error) { return Reply{Status: 403}, nil },
		[]time.Duration{0}, Stats{Sent: 1, Failed: 1})
}

func TestDrainHurriesAndChains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls()
		n := New(c, plain)
		n.Send(Notice{Kind: Click, URL: "click", At: time.Now().Add(time.Hour), Done: func(Reply) {
			n.Send(Notice{Kind: Conversion, URL: "conversion", At: time.Now().Add(time.Hour)})
		}})
		n.Drain(t.Context(), 2*time.Second)
		if got := []time.Duration{c.at["click"][0], c.at["conversion"][0]}; got[0] != 2*time.Second || got[1] != 2*time.Second {
			t.Errorf("called at %v, want both at 2s", got)
		}
	})
}

// If the receiver is unreachable for a moment at the end of the run, that must not use up all attempts.
func TestDrainKeepsThePausesBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls()
		c.fail = func(_ string, n int) (Reply, error) {
			if n < 3 {
				return Reply{Status: 503}, nil
			}
			return Reply{Status: 204}, nil
		}
		n := New(c, plain)
		n.Send(Notice{Kind: Billing, URL: "bill", At: time.Now().Add(time.Hour)})
		n.Drain(t.Context(), time.Second)
		want := []time.Duration{1000 * time.Millisecond, 1100 * time.Millisecond, 1300 * time.Millisecond}
		if got := c.at["bill"]; !reflect.DeepEqual(got, want) {
			t.Errorf("called at %v, want %v", got, want)
		}
		if s := n.Stats(); s != (Stats{Sent: 1, Delivered: 1, Retries: 2}) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestDrainCountsWhatItCouldNotDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls()
		c.fail = func(string, int) (Reply, error) { return Reply{}, errors.New("away") }
		o := plain
		o.Attempts, o.Backoff = 1000, time.Hour
		n := New(c, o)
		n.Send(Notice{Kind: Win, URL: "a"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n.Drain(ctx, time.Minute)
		if s := n.Stats(); s.Failed != 1 || s.Pending != 0 {
			t.Errorf("stats %+v, want 1 failed and none pending", s)
		}
	})
}

func TestDuplicatesAndReordering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls()
		o := plain
		o.Duplicate, o.Reorder = 0.3, 0.3
		n := New(c, o)
		done := 0
		var mu sync.Mutex
		for i := range 1000 {
			n.Send(Notice{Kind: Win, URL: fmt.Sprint(i), Done: func(Reply) { mu.Lock(); done++; mu.Unlock() }})
		}
		n.Drain(t.Context(), time.Minute)
		twice, held := 0, 0
		for _, at := range c.at {
			if len(at) == 2 {
				twice++
			}
			if at[0] > 0 {
				held++
			}
		}
		if len(c.at) != 1000 || done != 1000 || twice < 250 || twice > 350 || held < 250 || held > 350 {
			t.Errorf("%d urls, %d done, %d twice, %d held back; want 1000, 1000, about 300, about 300", len(c.at), done, twice, held)
		}
		if s := n.Stats(); int(s.Duplicates) != twice || s.Delivered != 1000 {
			t.Errorf("stats %+v with %d called twice", s, twice)
		}
	})
}

func TestTracked(t *testing.T) {
	hosts, err := NewHosts("http://127.0.0.1:8090", []string{"track.example"})
	if err != nil {
		t.Fatal(err)
	}
	f := func(name, markup string, wantPixels []string, wantClick string) {
		t.Helper()
		pixels, click := Tracked(markup, hosts)
		if !reflect.DeepEqual(pixels, wantPixels) || click != wantClick {
			t.Errorf("%s: pixels %q, click %q; want %q, %q", name, pixels, click, wantPixels, wantClick)
		}
	}
	f("html", `<a href="http://127.0.0.1:8090/n/click?t=x"><img src="https://cdn.example/a.png"></a><img src='http://localhost:8090/n/impression?t=x'>`,
		[]string{"http://localhost:8090/n/impression?t=x"}, "http://127.0.0.1:8090/n/click?t=x")
	f("vast", `<VAST><Impression id="a"><![CDATA[http://127.0.0.1:8090/i?t=x]]></Impression><Tracking event="start"><![CDATA[http://127.0.0.1:8090/s]]></Tracking>`+
		`<ClickThrough><![CDATA[http://127.0.0.1:8090/c?t=x]]></ClickThrough><MediaFile>http://127.0.0.1/v.mp4</MediaFile>`,
		[]string{"http://127.0.0.1:8090/i?t=x"}, "http://127.0.0.1:8090/c?t=x")
	f("native", `{"native":{"assets":[{"img":{"url":"http://127.0.0.1/a.png"}}],"link":{"url":"http:\/\/track.example\/c"},"imptrackers":["http://track.example/i"],"eventtrackers":[{"event":1,"method":1,"url":"http://127.0.0.1/e"}]}}`,
		[]string{"http://track.example/i", "http://127.0.0.1/e"}, "http://track.example/c")
	f("entities", `<a href="http://track.example/c?a=1&amp;b=2">`, nil, "http://track.example/c?a=1&b=2")
	f("nothing to call", `<a href="https://shop.example/"><img src="https://cdn.example/x"> http`, nil, "")
}

func FuzzTracked(f *testing.F) {
	f.Add(`<a href="http://127.0.0.1/c">http:\/`)
	hosts, _ := NewHosts("http://127.0.0.1", nil)
	f.Fuzz(func(t *testing.T, s string) {
		pixels, click := Tracked(s, hosts)
		if click != "" {
			pixels = append(pixels, click)
		}
		for _, u := range pixels {
			if !hosts.Allow(u) {
				t.Errorf("%q is not allowed", u)
			}
		}
	})
}
