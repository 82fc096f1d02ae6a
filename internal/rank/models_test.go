package rank

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"gavel/internal/rank/landings"
	"gavel/internal/rank/score"
)

// severalModels is a world of two models: campaigns c0 and c2 have the first, c1 and c3 the second, and c4 is in neither's classifiers.
func severalModels(t *testing.T, first, second *linear) *world {
	t.Helper()
	file := strings.NewReplacer("{id: c0", "{model: a, id: c0", "{id: c1", "{model: b, id: c1", "{id: c2", "{model: a, id: c2", "{id: c3", "{model: b, id: c3",
		"{id: c4", "{model: b, id: c4").Replace(file(1, 1, 1, 1, 1))
	var world *world
	world = newWorld(t, first, "campaigns: [{id: x, value: 1, landing: 'https://x.example'}]", func(o *Options) {
		set, err := landings.Parser([]string{"a", "b"})("c.yaml", []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		o.Models = []Model{{"a", first}, {"b", second}}
		o.Campaigns = func() *landings.Set { return set }
	})
	t.Cleanup(func() {
		second.mu.Lock()
		defer second.mu.Unlock()
		if second.held != 0 {
			t.Errorf("%d views of the second model were not released", second.held)
		}
	})
	return world
}

func campaign(id string, version uint64) score.Campaign {
	return score.Campaign{ID: id, Version: version, Prior: 7}
}

// One ranking has each campaign's probability by its own model: its classifier there, or that model's prior. The other model may have
// a classifier of the same campaign, which counts for nothing.
func TestSeveralModels(t *testing.T) {
	first := newLinear(-1, campaign("c0", 1), campaign("c1", 2), campaign("c2", 3), campaign("c4", 4))
	second := newLinear(-2, campaign("c3", 5), campaign("c1", 6), campaign("c9", 7))
	w := severalModels(t, first, second)
	p := w.profile("country", "DE")
	want := map[string]struct {
		logit   float64
		version uint64
	}{
		"c0": {first.logit("c0", p), 1}, "c2": {first.logit("c2", p), 3}, "c1": {second.logit("c1", p), 6}, "c3": {second.logit("c3", p), 5}, "c4": {-2, 0},
	}
	f := func(body string, campaigns ...string) {
		t.Helper()
		a := w.rank(body)
		if len(a.Ranking) != len(campaigns) || a.Candidates != len(campaigns) || a.Unscored != 0 || a.Partial != "" {
			t.Fatalf("%s: %+v", body, a)
		}
		for i, r := range a.Ranking {
			if w := want[r.Campaign]; math.Abs(r.Probability-probability(w.logit)) > 1e-15 || r.Version != w.version {
				t.Errorf("%s: %+v, want %v of version %d", body, r, probability(w.logit), w.version)
			}
			if i > 0 && r.Probability > a.Ranking[i-1].Probability {
				t.Errorf("%s: %+v is not sorted", body, a.Ranking)
			}
		}
	}
	f(`{"profile": {"country": "DE"}}`, "c0", "c1", "c2", "c3", "c4")
	f(`{"profile": {"country": "DE"}, "campaigns": ["c1", "c2", "c4"]}`, "c1", "c2", "c4")
	f(`{"profile": {"country": "DE"}, "campaigns": ["c1"]}`, "c1")
	f(`{"profile": {"country": "DE"}, "campaigns": ["c4"]}`, "c4")
	if resp, _ := w.do("GET", "/click?country=DE", ""); resp.StatusCode != 302 {
		t.Error(resp.Status)
	}
	if all := w.published.all(); len(all) != 1 || all[0].Ranking.Version != want[all[0].Campaign].version {
		t.Errorf("%+v", all)
	}
}

// A model that fails, panics or is late takes its own campaigns out of the answer, and says so; the others are ranked. If all fail, the
// request does.
func TestModelsFail(t *testing.T) {
	first := newLinear(math.NaN(), campaign("c0", 1), campaign("c2", 3))
	second := newLinear(-2, campaign("c1", 6), campaign("c3", 5))
	w := severalModels(t, first, second)
	fails := func(context.Context, []float64) (score.Partial, error) { return "", errors.New("broken") }
	late := func(_ context.Context, logits []float64) (score.Partial, error) {
		return "", context.DeadlineExceeded
	}
	some := func(_ context.Context, logits []float64) (score.Partial, error) {
		logits[0], logits[1] = math.NaN(), 1
		return score.Memory, nil
	}
	f := func(a, b func(context.Context, []float64) (score.Partial, error), partial score.Partial, unscored int) {
		t.Helper()
		first.score, second.score = a, b
		if got := w.rank(`{"profile": {}}`); got.Partial != string(partial) || got.Unscored != unscored || len(got.Ranking) != 5-unscored {
			t.Errorf("%+v, want %q with %d unscored", got, partial, unscored)
		}
	}
	f(nil, fails, score.Failed, 2) // c4 has the prior
	f(nil, late, score.Deadline, 2)
	f(some, fails, score.Memory, 3)
	f(some, some, score.Memory, 2)
	f(late, some, score.Deadline, 3)
	first.score, second.score = fails, late
	if resp, _ := w.do("POST", "/rank", `{"profile": {}}`); resp.StatusCode != 503 {
		t.Errorf("all models failed: %s", resp.Status)
	}
	first.score = func(context.Context, []float64) (score.Partial, error) { panic("a fault of a test") }
	if resp, _ := w.do("POST", "/rank", `{"profile": {}}`); resp.StatusCode != 500 {
		t.Errorf("a model panicked: %s", resp.Status)
	}
	first.score, second.score = nil, nil
	if got := w.rank(`{"profile": {}}`); got.Unscored != 0 || len(got.Ranking) != 5 {
		t.Errorf("afterwards: %+v", got)
	}
}
