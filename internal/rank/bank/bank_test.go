package bank

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gavel/internal/race"
	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/ranktest"
	"gavel/internal/rank/score"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// opened returns a bank that is closed when the test ends. Then no memory may be left.
func opened(t testing.TB) *Bank {
	t.Helper()
	b, err := New(Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		eventually(t, func() bool { now, _ := b.Bytes(); return now == 0 })
	})
	return b
}

// eventually waits for what other goroutines do.
func eventually(t testing.TB, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to be within 20 s")
		}
	}
}

func add(files ...*classifiers.File) (changes []classifiers.Change) {
	for _, f := range files {
		changes = append(changes, classifiers.Change{File: f})
	}
	return changes
}

func apply(t testing.TB, b *Bank, changes ...classifiers.Change) {
	t.Helper()
	for i, err := range b.Apply(changes) {
		if err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
}

// scored returns a view's logits by campaign.
func scored(t testing.TB, v score.View, p score.Profile) map[string]float64 {
	t.Helper()
	logits := make([]float64, len(v.Campaigns()))
	if partial, err := v.Score(context.Background(), p, nil, logits); err != nil || partial != "" {
		t.Fatalf("%v, %v", partial, err)
	}
	of := map[string]float64{}
	for i, c := range v.Campaigns() {
		of[c.ID] = logits[i]
	}
	return of
}

// model is the plain reference: files by campaign, and priors.
type model struct {
	files  map[string]*classifiers.File
	priors map[uint64]*classifiers.File
}

func (m *model) logit(f *classifiers.File, p score.Profile) float64 {
	logit := f.Logit(p)
	if f.Prior > 0 {
		logit += m.priors[f.Prior].Logit(p)
	}
	return logit
}

// check compares a view with the reference.
func (m *model) check(t testing.TB, v score.View, profiles []score.Profile) {
	t.Helper()
	if len(v.Campaigns()) != len(m.files) {
		t.Fatalf("%d campaigns, want %d", len(v.Campaigns()), len(m.files))
	}
	for i, c := range v.Campaigns() {
		f := m.files[c.ID]
		if f == nil || c.Version != f.Version || c.Prior != f.Prior || c.Variance != f.Variance {
			t.Fatalf("campaign %+v, want %+v", c, f)
		}
		if at, ok := v.Index(c.ID); !ok || at != i {
			t.Fatalf("campaign %s has index %d, %v, want %d", c.ID, at, ok, i)
		}
	}
	if at, ok := v.Index("no such campaign"); ok {
		t.Fatalf("a campaign that is not there has index %d", at)
	}
	logits := make([]float64, len(v.Campaigns()))
	for _, p := range profiles {
		if _, err := v.Score(context.Background(), p, nil, logits); err != nil {
			t.Fatal(err)
		}
		for i, c := range v.Campaigns() {
			want := classifiers.Probability(m.logit(m.files[c.ID], p))
			if got := classifiers.Probability(logits[i]); !(math.Abs(got-want) <= 1e-6) {
				t.Fatalf("campaign %s has probability %v, want %v, for %v", c.ID, got, want, p)
			}
		}
		logit, version := v.Prior(p)
		ok := version != 0
		if ok != (len(m.priors) > 0) {
			t.Fatalf("a prior is there: %v, want %v", ok, !ok)
		}
		if ok {
			newest := slices.Max(slices.Collect(maps.Keys(m.priors)))
			if version != newest {
				t.Fatalf("the newest prior is %d, want %d", version, newest)
			}
			if want := m.priors[newest].Logit(p); !(math.Abs(classifiers.Probability(logit)-classifiers.Probability(want)) <= 1e-6) {
				t.Fatalf("the newest prior gives %v, want %v", logit, want)
			}
		}
	}
}

// randomFile makes a classifier or prior of few values and many shapes: crosses, features without values, weights from tiny to the
// largest that are allowed, weights that equal other.
func randomFile(r *rand.Rand, version uint64) *classifiers.File {
	f := &classifiers.File{Kind: classifiers.Classifier, Version: version, Variance: r.Float64(), Intercept: weight(r)}
	fields := []string{"a", "b", "c", "d", "e"}
	seen := map[string]bool{}
	for range 1 + r.IntN(6) {
		of := make([]string, 0, 4)
		for _, i := range r.Perm(len(fields))[:1+r.IntN(3)] {
			of = append(of, fields[i])
		}
		key := strings.Join(of, classifiers.Separator)
		if seen[key] {
			continue
		}
		seen[key] = true
		values := map[string]bool{}
		for range r.IntN(12) {
			value := make([]string, len(of))
			for i := range value {
				value[i] = randomValue(r)
			}
			values[strings.Join(value, classifiers.Separator)] = true
		}
		made := classifiers.Feature{Name: key, Of: of, Values: slices.Sorted(maps.Keys(values)), Other: weight(r)}
		for range made.Values {
			w := weight(r)
			if r.IntN(10) == 0 {
				w = made.Other
			}
			made.Weights = append(made.Weights, w)
		}
		f.Features = append(f.Features, made)
	}
	return f
}

func weight(r *rand.Rand) float64 {
	switch r.IntN(12) {
	case 0:
		return 0
	case 1:
		return classifiers.MaxWeight * (2*r.Float64() - 1)
	case 2:
		return r.NormFloat64() * 30
	case 3:
		return r.NormFloat64() * 1e-30
	}
	return r.NormFloat64()
}

func randomValue(r *rand.Rand) string {
	return []string{"", "x", "y", "zz", "12345678", "123456789", "ä", "a longer value of one field", "x\x00"}[r.IntN(9)]
}

func randomProfile(r *rand.Rand) (p score.Profile) {
	for _, i := range r.Perm(6)[:r.IntN(7)] {
		p = append(p, score.Field{Name: string(rune('a' + i)), Value: randomValue(r)})
	}
	return p
}

var histories = flag.Uint64("histories", 2, "how many random histories TestAgainstReference goes through")

// TestAgainstReference changes banks at random, and compares them with the reference after every change, in views that were taken
// earlier too.
func TestAgainstReference(t *testing.T) {
	for seed := range *histories {
		r := rand.New(rand.NewPCG(seed, 0))
		b := opened(t)
		m := &model{files: map[string]*classifiers.File{}, priors: map[uint64]*classifiers.File{}}
		var profiles []score.Profile
		for range 8 {
			profiles = append(profiles, randomProfile(r))
		}
		type kept struct {
			view score.View
			model
		}
		var old []kept
		for step := range uint64(60) {
			changes := map[string]classifiers.Change{} // of one campaign or prior one each
			removed := map[uint64]bool{}
			if r.IntN(8) == 0 {
				p := randomFile(r, 1000+step)
				p.Kind, p.Variance = classifiers.Prior, 0
				m.priors[p.Version] = p
				changes[fmt.Sprint(p.Version)] = classifiers.Change{File: p}
			}
			if r.IntN(15) == 0 && len(m.priors) > 0 {
				v := slices.Min(slices.Collect(maps.Keys(m.priors)))
				if changes[fmt.Sprint(v)].File == nil {
					delete(m.priors, v)
					removed[v] = true
					maps.DeleteFunc(m.files, func(_ string, f *classifiers.File) bool { return f.Prior == v })
					changes[fmt.Sprint(v)] = classifiers.Change{Prior: v}
				}
			}
			for range r.IntN(40) {
				campaign := fmt.Sprint("c", r.IntN(150))
				if r.IntN(4) == 0 {
					delete(m.files, campaign)
					changes[campaign] = classifiers.Change{Campaign: campaign}
					continue
				}
				f := randomFile(r, step+1)
				f.Campaign = campaign
				if priors := slices.Sorted(maps.Keys(m.priors)); len(priors) > 0 && r.IntN(2) == 0 {
					f.Prior = priors[r.IntN(len(priors))]
				}
				m.files[campaign] = f
				changes[campaign] = classifiers.Change{File: f}
			}
			if len(changes) == 0 {
				continue
			}
			apply(t, b, slices.Collect(maps.Values(changes))...)
			v := b.View()
			m.check(t, v, profiles)
			if r.IntN(10) == 0 {
				old = append(old, kept{v, model{maps.Clone(m.files), maps.Clone(m.priors)}})
			} else {
				v.Release()
			}
			if r.IntN(10) == 0 {
				b.Settle()
				v := b.View()
				m.check(t, v, profiles)
				v.Release()
			}
		}
		for _, k := range old {
			k.check(t, k.view, profiles)
			k.view.Release()
		}
	}
}

// TestFleet is thousands of rows, so that values have dense rows, and segments are full.
func TestFleet(t *testing.T) {
	for _, prior := range []bool{false, true} {
		fleet := ranktest.New(ranktest.Options{Features: 6, Values: 3000, Known: 100, Prior: prior, Golden: 2})
		b := opened(t)
		m := &model{files: map[string]*classifiers.File{}, priors: map[uint64]*classifiers.File{}}
		if prior {
			m.priors[ranktest.PriorVersion] = fleet.Prior()
			apply(t, b, add(fleet.Prior())...)
		}
		for i := 0; i < 1500; i += 500 {
			var files []*classifiers.File
			for j := range 500 {
				f := fleet.Classifier(i+j, 1)
				m.files[f.Campaign] = f
				files = append(files, f)
			}
			apply(t, b, add(files...)...)
		}
		b.Settle()
		for i := range 30 { // a few are replaced, each alone
			f := fleet.Classifier(i*41, 2)
			m.files[f.Campaign] = f
			apply(t, b, add(f)...)
		}
		var profiles []score.Profile
		for i := range 4 {
			profiles = append(profiles, fleet.Profile(i))
		}
		v := b.View()
		m.check(t, v, profiles)
		dense := 0
		for _, p := range v.(*state).parts {
			dense += len(p.segment.dense)
		}
		if dense == 0 {
			t.Error("no value has a dense row")
		}
		v.Release()
	}
}

// TestManyRows is more rows than a segment holds.
func TestManyRows(t *testing.T) {
	b := opened(t)
	m := &model{files: map[string]*classifiers.File{}, priors: map[uint64]*classifiers.File{}}
	r := rand.New(rand.NewPCG(1, 1))
	const n = maxRows + 1000
	var files []*classifiers.File
	for i := range n {
		f := randomFile(r, 1)
		f.Campaign = fmt.Sprint("c", i)
		m.files[f.Campaign] = f
		files = append(files, f)
	}
	apply(t, b, add(files...)...)
	b.Settle()
	v := b.View()
	defer v.Release()
	if got := len(v.(*state).parts); got < 2 || got > 5 {
		t.Errorf("%d segments", got)
	}
	m.check(t, v, []score.Profile{randomProfile(r), nil})
}

func TestRefusals(t *testing.T) {
	b := opened(t)
	fleet := ranktest.New(ranktest.Options{Features: 3, Values: 60, Known: 10, Prior: true, Golden: 4})
	early := fleet.Classifier(0, 1)
	if err := b.Apply(add(early))[0]; !errors.Is(err, classifiers.ErrPrior) {
		t.Errorf("a classifier without its prior: %v", err)
	}
	for i, err := range b.Apply(add(early, fleet.Prior())) {
		if err != nil {
			t.Errorf("change %d, a classifier with its prior: %v", i, err)
		}
	}
	if err := b.Apply(add(fleet.Prior()))[0]; err == nil || !strings.Contains(err.Error(), "serves already") {
		t.Errorf("a prior twice: %v", err)
	}
	wrong := fleet.Classifier(0, 2)
	wrong.Golden.Probabilities[2] += 2e-6
	good := fleet.Classifier(1, 1)
	errs := b.Apply(add(wrong, good))
	if !errors.Is(errs[0], classifiers.ErrGolden) || !strings.Contains(errs[0].Error(), "profile 2") || errs[1] != nil {
		t.Errorf("golden probabilities that differ: %v", errs)
	}
	v := b.View()
	if c := v.Campaigns(); len(c) != 2 || c[0].Version != 1 || c[1].Version != 1 {
		t.Errorf("after a refusal %+v serve", c)
	}
	v.Release()
	apply(t, b, classifiers.Change{Prior: ranktest.PriorVersion})
	v = b.View()
	if _, version := v.Prior(nil); version != 0 || len(v.Campaigns()) != 0 {
		t.Errorf("%+v serve without their prior", v.Campaigns())
	}
	v.Release()
}

func TestViews(t *testing.T) {
	b := opened(t)
	v := b.View()
	if partial, err := v.Score(t.Context(), nil, nil, nil); partial != "" || err != nil {
		t.Errorf("an empty view: %v, %v", partial, err)
	}
	v.Release()
	fleet := ranktest.New(ranktest.Options{Features: 3, Values: 60, Known: 10})
	apply(t, b, add(fleet.Classifier(0, 1), fleet.Classifier(1, 1))...)
	v = b.View()
	defer v.Release()
	if _, err := v.Score(t.Context(), nil, nil, make([]float64, 3)); err == nil {
		t.Error("three logits of two campaigns")
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	logits := []float64{1, 1}
	if partial, err := v.Score(late, nil, nil, logits); partial != score.Deadline || err != nil || !math.IsNaN(logits[0]) || !math.IsNaN(logits[1]) {
		t.Errorf("late: %v, %v, %v", partial, err, logits)
	}
	b.Close()
	if err := b.Apply(add(fleet.Classifier(2, 1)))[0]; err == nil {
		t.Error("a closed bank is changed")
	}
	if got := scored(t, v, fleet.Profile(1)); len(got) != 2 { // it serves on
		t.Errorf("%v", got)
	}
}

// TestConcurrently scores while classifiers are replaced: every answer is of one state, so that rows of one change agree.
func TestConcurrently(t *testing.T) {
	b := opened(t)
	file := func(campaign string, version uint64) *classifiers.File {
		return &classifiers.File{Kind: classifiers.Classifier, Campaign: campaign, Version: version, Intercept: float64(version),
			Features: []classifiers.Feature{{Name: "a", Of: []string{"a"}, Values: []string{"x"}, Weights: []float64{-float64(version)}, Other: 1}}}
	}
	const pairs = 40
	step := func(version uint64) {
		var files []*classifiers.File
		for i := range pairs {
			if version == 1 || int(version)%pairs == i {
				files = append(files, file(fmt.Sprint("left", i), version), file(fmt.Sprint("right", i), version))
			}
		}
		apply(t, b, add(files...)...)
	}
	step(1)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				v := b.View()
				known, other := scored(t, v, score.Profile{{Name: "a", Value: "x"}}), scored(t, v, nil)
				for i := range pairs {
					left, right := fmt.Sprint("left", i), fmt.Sprint("right", i)
					at, ok := v.Index(left)
					if !ok || known[left] != 0 || other[left] != other[right] || other[left] != float64(v.Campaigns()[at].Version)+1 {
						t.Errorf("%s: %v, %v; %v, %v", left, known[left], known[right], other[left], other[right])
					}
				}
				v.Release()
			}
		})
	}
	for version := range uint64(150) {
		step(version + 2)
	}
	close(done)
	readers.Wait()
}

func TestScoreAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("pools drop items at random under the race detector")
	}
	fleet := ranktest.New(ranktest.Options{Features: 12, Values: 3000, Known: 50, Prior: true})
	b := opened(t)
	apply(t, b, add(fleet.Prior())...)
	for i := range 100 {
		apply(t, b, add(fleet.Classifier(i, 1))...)
	}
	b.Settle()
	logits, p := make([]float64, 100), fleet.Profile(1)
	if n := testing.AllocsPerRun(200, func() {
		v := b.View()
		if _, err := v.Score(t.Context(), p, nil, logits); err != nil {
			t.Fatal(err)
		}
		if _, version := v.Prior(p); version != ranktest.PriorVersion {
			t.Fatal("the prior is gone")
		}
		v.Release()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
