package rank

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gavel/internal/events"
	"gavel/internal/events/notices"
	"gavel/internal/httpd/httpdtest"
	"gavel/internal/privacy/privacytest"
	"gavel/internal/rank/explore"
	"gavel/internal/rank/landings"
	"gavel/internal/rank/profile"
	"gavel/internal/rank/score"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine a process that formats the date header.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its pool's sweeper notices the end only when it wakes, every 10 s.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// linear is a small scorer: an intercept and a weight for each value of each field, made of hashes. It is its own view.
type linear struct {
	list  []score.Campaign
	index map[string]int
	prior float64 // logit of the newest prior, without fields; NaN: there is none
	score func(ctx context.Context, logits []float64) (score.Partial, error)

	mu   sync.Mutex
	held int
}

func newLinear(prior float64, campaigns ...score.Campaign) *linear {
	l := &linear{list: campaigns, index: map[string]int{}, prior: prior}
	for i, c := range campaigns {
		l.index[c.ID] = i
	}
	return l
}

func (l *linear) View() score.View {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held++
	return l
}

func (l *linear) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held--
}

func (l *linear) Campaigns() []score.Campaign { return l.list }

func (l *linear) Index(campaign string) (int, bool) {
	i, ok := l.index[campaign]
	return i, ok
}

// priorVersion is the newest prior's.
const priorVersion = 77

func (l *linear) Prior(score.Profile) (float64, uint64) {
	if math.IsNaN(l.prior) {
		return 0, 0
	}
	return l.prior, priorVersion
}

func (l *linear) Score(ctx context.Context, p score.Profile, asked []int32, logits []float64) (score.Partial, error) {
	if len(logits) != len(l.list) {
		return "", errors.New("other length")
	}
	if l.score != nil {
		return l.score(ctx, logits)
	}
	if asked == nil {
		for i := range l.list {
			asked = append(asked, int32(i))
		}
	}
	for i := range logits {
		logits[i] = math.Inf(1) // what was not asked for may be anything
	}
	for _, i := range asked {
		logits[i] = l.logit(l.list[i].ID, p)
	}
	return "", nil
}

// logit is what the campaign's classifier gives the profile.
func (l *linear) logit(campaign string, p score.Profile) float64 {
	weight := func(texts ...string) float64 {
		h := fnv.New64a()
		for _, t := range texts {
			_, _ = h.Write([]byte(t + "\x1f"))
		}
		return float64(h.Sum64()%1e6)/1e6 - 0.5
	}
	logit := -5 + 2*weight(campaign)
	for _, f := range p {
		logit += weight(campaign, f.Name, f.Value)
	}
	return logit
}

// stored is a publisher that keeps what it is given, and fails when told to.
type stored struct {
	mu     sync.Mutex
	events []events.Event
	fail   error
}

func (s *stored) Publish(e *events.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		kept := *e
		if r := e.Ranking; r != nil { // its texts are the request's
			copied := *r
			copied.Fields, copied.Values = nil, nil
			for i := range r.Fields {
				copied.Fields = append(copied.Fields, strings.Clone(r.Fields[i]))
				copied.Values = append(copied.Values, strings.Clone(r.Values[i]))
			}
			kept.Ranking = &copied
		}
		s.events = append(s.events, kept)
	}
	return s.fail
}

func (s *stored) PublishDurable(_ context.Context, e *events.Event) error { return s.Publish(e) }

func (s *stored) all() []events.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]events.Event(nil), s.events...)
}

// world is a server over a scorer and a campaign file, with a client.
type world struct {
	t         testing.TB
	server    *Server
	scorer    *linear
	set       *landings.Set
	published *stored
	keys      *notices.Keyring
	profiles  *profile.Reader
	url       string
	client    *http.Client
}

// newWorld serves until the test ends. campaigns is the campaign file.
func newWorld(t testing.TB, scorer *linear, campaigns string, change func(*Options)) *world {
	t.Helper()
	w := &world{t: t, scorer: scorer, published: &stored{}}
	var err error
	if w.set, err = landings.Parse("c.yaml", []byte(campaigns)); err != nil {
		t.Fatal(err)
	}
	if w.profiles, err = profile.NewReader(map[string][]string{"placement": {"top", "side"}}); err != nil {
		t.Fatal(err)
	}
	if w.keys, err = notices.OpenKeyring(filepath.Join(t.TempDir(), "token.keys")); err != nil {
		t.Fatal(err)
	}
	chooser, err := explore.New(explore.Options{Epsilon: 0.5, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	sales, err := notices.New(notices.Options{Keys: w.keys, Publisher: w.published, Sales: true, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Law: privacytest.Lenient(t), Profiles: w.profiles, Models: []Model{{"sale", scorer}}, Campaigns: func() *landings.Set { return w.set }, Chooser: chooser,
		Publisher: w.published, Keys: w.keys, Sales: sales,
		Logger: slog.New(slog.DiscardHandler), Registerer: registry,
	}
	if change != nil {
		change(&o)
	}
	if w.server, err = NewServer(o); err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + httpdtest.Serve(t, w.server)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		scorer.mu.Lock()
		defer scorer.mu.Unlock()
		if scorer.held != 0 {
			t.Errorf("%d views were not released", scorer.held)
		}
	})
	return w
}

func (w *world) do(method, path, body string, header ...string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(answer)
}

// answer is what /rank answers.
type answer struct {
	Ranking []struct {
		Campaign           string
		Probability, Value float64
		Version, Prior     uint64
	}
	Candidates, Unscored, Inactive int
	Partial, Policy                string
	Propensity                     float64
}

// rank posts a ranking and reads its answer strictly.
func (w *world) rank(body string) answer {
	w.t.Helper()
	resp, text := w.do("POST", "/rank", body)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		w.t.Fatalf("%s: %s, %s", body, resp.Status, text)
	}
	var a answer
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
	return a
}

// file is a campaign file of campaigns c0, c1, … with the values.
func file(values ...float64) string {
	var b strings.Builder
	b.WriteString("campaigns:\n")
	for i, v := range values {
		fmt.Fprintf(&b, "  - {id: c%d, value: %g, landing: 'https://shop.example/%d?k=${TOKEN}'}\n", i, v, i)
	}
	return b.String()
}

// classifiers are of campaigns c0, c1, …
func classifiers(n int) (all []score.Campaign) {
	for i := range n {
		all = append(all, score.Campaign{ID: fmt.Sprintf("c%d", i), Version: uint64(100 + i), Prior: 7, Variance: 0.1})
	}
	return all
}

// profile is the profile of these texts now.
func (w *world) profile(texts ...string) score.Profile {
	w.t.Helper()
	var s profile.Source
	s.Reset(w.profiles.Extra(), time.Now())
	for i := 0; i < len(texts); i += 2 {
		if _, ok := w.profiles.Set(&s, texts[i], texts[i+1]); !ok {
			w.t.Fatal(texts[i])
		}
	}
	var lower [profile.MaxValue]byte
	return w.profiles.Read(nil, &s, &lower)
}
