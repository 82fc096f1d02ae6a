package rank

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gavel/internal/rank/explore"
	"gavel/internal/rank/score"
)

// at is the user's hour, given, so that a test never straddles one.
const at = `"hour": 7, "weekday": "tue"`

// A ranking of many campaigns is what sorting all of them by their exact keys gives.
func TestRankAgainstSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var values []float64
	for range 300 {
		values = append(values, float64(1+rng.IntN(40))/4)
	}
	scorer := newLinear(-6, classifiers(250)...) // 50 have no classifier
	w := newWorld(t, scorer, file(values...), nil)
	f := func(by string, limit int, named []string) {
		t.Helper()
		body := fmt.Sprintf(`{"profile": {"country": "DE", "device": "mobile", "placement": "top", %s}, "by": %q, "limit": %d`, at, by, limit)
		if named != nil {
			body += `, "campaigns": ["` + strings.Join(named, `","`) + `"]`
		}
		got := w.rank(body + "}")
		p := w.profile("country", "DE", "device", "mobile", "placement", "top", "hour", "7", "weekday", "tue")
		type ranked struct {
			id           string
			sale, key    float64
			version, pri uint64
		}
		var want []ranked
		for place, id := range w.set.IDs {
			if named != nil && !slices.Contains(named, id) {
				continue
			}
			r := ranked{id: id, sale: probability(scorer.prior), pri: priorVersion}
			if i, ok := scorer.Index(id); ok {
				r.sale, r.version, r.pri = probability(scorer.logit(id, p)), scorer.list[i].Version, 7
			}
			r.key = r.sale
			if by == "value" {
				r.key *= w.set.Values[place]
			}
			want = append(want, r)
		}
		if got.Candidates != len(want) || got.Unscored != 0 || got.Partial != "" || got.Policy != "" {
			t.Errorf("by %s: %+v, want %d candidates", by, got, len(want))
		}
		slices.SortStableFunc(want, func(a, b ranked) int { return cmp.Compare(b.key, a.key) })
		want = want[:min(limit, len(want))]
		if len(got.Ranking) != len(want) {
			t.Fatalf("by %s: %d campaigns, want %d", by, len(got.Ranking), len(want))
		}
		for i, r := range want {
			g := got.Ranking[i]
			place, _ := w.set.Place(r.id)
			if g.Campaign != r.id || g.Probability != r.sale || g.Value != r.sale*w.set.Values[place] || g.Version != r.version || g.Prior != r.pri {
				t.Fatalf("by %s: place %d is %+v, want %+v", by, i, g, r)
			}
		}
	}
	for _, by := range Orders {
		f(by, 1, nil)
		f(by, 10, nil)
		f(by, 100, nil)
		f(by, 5, []string{"c299", "c3", "c260", "c261", "c17", "c100"})
		f(by, 100, []string{"c260"})
	}
}

func TestRankOptions(t *testing.T) {
	scorer := newLinear(math.NaN(), classifiers(20)...)
	w := newWorld(t, scorer, file(make1(22)...)+"  - {id: off, value: 1, landing: 'https://shop.example', active: false}\n", nil)
	got := w.rank(`{"profile": {}}`)
	if len(got.Ranking) != 10 || got.Candidates != 22 || got.Unscored != 2 || got.Inactive != 0 {
		t.Errorf("the defaults: %+v", got)
	}
	got = w.rank(`{"profile": {}, "campaigns": ["off", "none", "c1", "c1", "c\u0032"]}`)
	if len(got.Ranking) != 2 || got.Candidates != 2 || got.Inactive != 2 {
		t.Errorf("campaigns that are named: %+v", got)
	}
	got = w.rank(`{"profile": {}, "campaigns": ["off"]}`)
	if len(got.Ranking) != 0 || got.Candidates != 0 || got.Inactive != 1 {
		t.Errorf("no candidate: %+v", got)
	}
}

func make1(n int) (values []float64) {
	for range n {
		values = append(values, 1)
	}
	return values
}

// New classifiers and another campaign file are seen by the next request.
func TestChanges(t *testing.T) {
	scorer := newLinear(-3, classifiers(1)...)
	w := newWorld(t, scorer, file(1, 1), nil)
	version := func() (versions []uint64) {
		a := w.rank(`{"profile": {}}`)
		slices.SortFunc(a.Ranking, func(a, b struct {
			Campaign           string
			Probability, Value float64
			Version, Prior     uint64
		}) int {
			return strings.Compare(a.Campaign, b.Campaign)
		})
		for _, r := range a.Ranking {
			versions = append(versions, r.Version)
		}
		return versions
	}
	if got := version(); !slices.Equal(got, []uint64{100, 0}) {
		t.Errorf("at first %v", got)
	}
	next := newLinear(-3, classifiers(2)...)
	w.server.options.Models[0].Scorer = next
	if got := version(); !slices.Equal(got, []uint64{100, 101}) {
		t.Errorf("with another classifier %v", got)
	}
	w.set = newWorld(t, scorer, file(1, 1, 1), nil).set
	if got := version(); !slices.Equal(got, []uint64{100, 101, 0}) {
		t.Errorf("with another campaign %v", got)
	}
}

func TestPartial(t *testing.T) {
	scorer := newLinear(-3, classifiers(3)...)
	w := newWorld(t, scorer, file(1, 1, 1), func(o *Options) { o.Deadline = 30 * time.Millisecond })
	f := func(want score.Partial, scored int, score func(ctx context.Context, logits []float64) (score.Partial, error)) {
		t.Helper()
		scorer.score = score
		got := w.rank(`{"profile": {}}`)
		if got.Partial != string(want) || len(got.Ranking) != scored || got.Unscored != 3-scored {
			t.Errorf("got %+v, want %q with %d", got, want, scored)
		}
	}
	f(score.Memory, 2, func(_ context.Context, logits []float64) (score.Partial, error) {
		copy(logits, []float64{-3, math.NaN(), -2})
		return score.Memory, nil
	})
	f(score.Deadline, 1, func(ctx context.Context, logits []float64) (score.Partial, error) {
		<-ctx.Done()
		copy(logits, []float64{-3, math.NaN(), math.NaN()})
		return score.Deadline, nil
	})
	f(score.Deadline, 0, func(ctx context.Context, logits []float64) (score.Partial, error) {
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > 30*time.Millisecond {
			t.Errorf("the deadline is in %v", time.Until(d))
		}
		<-ctx.Done()
		return "", fmt.Errorf("wrapped: %w", ctx.Err())
	})
	scorer.score = func(context.Context, []float64) (score.Partial, error) { return "", fmt.Errorf("broken") }
	if resp, body := w.do("POST", "/rank", `{"profile": {}}`); resp.StatusCode != 503 || !strings.Contains(body, "could not be scored") {
		t.Errorf("%s %s", resp.Status, body)
	}
	scorer.score = func(context.Context, []float64) (score.Partial, error) { panic("test") }
	if resp, body := w.do("POST", "/rank", `{"profile": {}}`); resp.StatusCode != 500 || !strings.Contains(body, "internal error") {
		t.Errorf("%s %s", resp.Status, body)
	}
}

func TestRankPolicy(t *testing.T) {
	scorer := newLinear(-3, classifiers(20)...)
	for i := range scorer.list {
		scorer.list[i].Variance = 4
	}
	for _, policy := range []explore.Policy{explore.EpsilonGreedy, explore.Thompson} {
		w := newWorld(t, scorer, file(make1(20)...), func(o *Options) { o.Policy = policy })
		first := map[string]bool{}
		best := w.rank(`{"profile": {` + at + `}, "limit": 20}`)
		for range 200 {
			got := w.rank(`{"profile": {` + at + `}, "limit": 3}`)
			if got.Policy != string(policy) || !(got.Propensity > 0 && got.Propensity <= 1) || len(got.Ranking) != 3 {
				t.Fatalf("%+v", got)
			}
			first[got.Ranking[0].Campaign] = true
			for i, r := range got.Ranking { // no campaign is there twice, and each has its own figures
				at := slices.IndexFunc(best.Ranking, func(b struct {
					Campaign           string
					Probability, Value float64
					Version, Prior     uint64
				}) bool {
					return b == r
				})
				if at < 0 || slices.Index(got.Ranking, r) != i {
					t.Fatalf("%+v is not in %+v", r, best.Ranking)
				}
			}
			if a, b := got.Ranking[1], got.Ranking[2]; a.Probability < b.Probability {
				t.Fatalf("the rest is not sorted: %+v", got.Ranking)
			}
		}
		if len(first) < 3 {
			t.Errorf("%s: only %v came first in 200 rankings", policy, first)
		}
	}
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t, newLinear(-3, classifiers(3)...), file(1, 1, 1), func(o *Options) { o.MaxBody = 4096 })
	f := func(status int, want, method, path, body string) {
		t.Helper()
		resp, answer := w.do(method, path, body)
		if resp.StatusCode != status || !strings.Contains(answer, want) || !strings.HasPrefix(answer, `{"error":"`) {
			t.Errorf("%s %s %s: %s %s, want %d %q", method, path, body, resp.Status, answer, status, want)
		}
	}
	rank := func(want, body string) { t.Helper(); f(400, want, "POST", "/rank", body) }
	f(404, "the paths are", "GET", "/", "")
	f(405, "use POST", "GET", "/rank", "")
	f(405, "use GET", "POST", "/click", "")
	f(405, "use GET or POST", "PUT", "/sale", "")
	f(413, "limits.body_bytes", "POST", "/rank", strings.Repeat(" ", 5000))
	rank("where an object with the key profile is expected, at byte 0", "")
	rank("where an object", "[]")
	rank("lacks the key profile", "{}")
	rank(`the key \"profil\"; the keys are`, `{"profil": {}}`)
	rank(`has the key \"profile\" twice`, `{"profile": {}, "profile": {}}`)
	rank(`has the key \"limit\" twice`, `{"limit": 1, "limit": 1}`)
	rank("where the end is expected", `{"profile": {}} x`)
	rank("where the user's profile, an object is expected", `{"profile": []}`)
	rank("profile.cookie: is no field of a profile; the fields are [device", `{"profile": {"cookie": "x"}}`)
	rank("profile.device: is there twice", `{"profile": {"device": "tv", "device": "tv"}}`)
	rank("profile.device: the body has '{' where a text, a number or null", `{"profile": {"device": {}}}`)
	rank("profile.device: the body has 't'", `{"profile": {"device": true}}`)
	rank("where a list of campaign ids is expected", `{"profile": {}, "campaigns": "c1"}`)
	rank("where a campaign's id is expected", `{"profile": {}, "campaigns": [1]}`)
	rank("campaigns: names none", `{"profile": {}, "campaigns": []}`)
	rank(`by: \"cost\" must be one of`, `{"profile": {}, "by": "cost"}`)
	for _, limit := range []string{"0", "-1", "101", "1.5", "1e1", "99999999999999999999"} {
		rank("limit: must be a whole number from 1 to 100", `{"profile": {}, "limit": `+limit+`}`)
	}
	rank("where a whole number is expected", `{"profile": {}, "limit": "5"}`)
	rank("where a whole number is expected", `{"profile": {}, "limit": 01}`)
}
