package bank

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/ranktest"
	"gavel/internal/rank/score"
)

// shelf is where a bounded bank loads from.
type shelf struct {
	mu    sync.Mutex
	files map[string]*classifiers.File
	loads map[string]int
}

func newShelf(files ...*classifiers.File) *shelf {
	s := &shelf{files: map[string]*classifiers.File{}, loads: map[string]int{}}
	for _, f := range files {
		s.files[f.Campaign] = f
	}
	return s
}

func (s *shelf) load(campaign string) (*classifiers.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads[campaign]++
	if f := s.files[campaign]; f != nil {
		return f, nil
	}
	return nil, errors.New("it is damaged")
}

func bounded(t *testing.T, memory int64, s *shelf) *Bank {
	t.Helper()
	b, err := New(Options{Log: slog.New(slog.DiscardHandler), Memory: memory, Load: s.load})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// taken is what serves, in bytes.
func taken(b *Bank) (bytes int64) {
	s := b.view()
	defer s.Release()
	for _, p := range s.parts {
		bytes += p.segment.size()
	}
	for _, g := range s.priors {
		bytes += g.size()
	}
	return bytes
}

// ask scores a profile for campaigns, and returns their logits.
func ask(t *testing.T, b *Bank, p score.Profile, campaigns ...string) (logits []float64, partial score.Partial) {
	t.Helper()
	v := b.View()
	defer v.Release()
	var asked []int32
	for _, c := range campaigns {
		i, ok := v.Index(c)
		if !ok || v.Campaigns()[i].ID != c {
			t.Fatalf("campaign %s is at %d, %v", c, i, ok)
		}
		asked = append(asked, int32(i))
	}
	all := make([]float64, len(v.Campaigns()))
	partial, err := v.Score(context.Background(), p, asked, all)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range asked {
		logits = append(logits, all[i])
	}
	return logits, partial
}

// TestBound has room for a third of the classifiers. Those that are asked for stay in memory, and all others are missed until they
// are asked for as often. What serves stays within the bound, and logits are those of a bank without one.
func TestBound(t *testing.T) {
	const n = 150
	fleet := ranktest.New(ranktest.Options{Features: 8, Values: 600, Known: 60, Prior: true})
	var files []*classifiers.File
	for i := range n {
		files = append(files, fleet.Classifier(i, 1))
	}
	whole := opened(t)
	apply(t, whole, add(fleet.Prior())...)
	apply(t, whole, add(files...)...)
	whole.Settle()
	third := opened(t)
	apply(t, third, add(fleet.Prior())...)
	apply(t, third, add(files[:n/3]...)...)
	third.Settle()
	memory := taken(third)

	s := newShelf(files...)
	b := bounded(t, memory, s)
	apply(t, b, add(fleet.Prior())...)
	for from := 0; from < n; from += 25 {
		apply(t, b, add(files[from:from+25]...)...)
	}
	within := func() { // half as much again: what was just loaded shares no texts with the rest until it is merged
		t.Helper()
		b.Settle()
		if got := taken(b); got > memory*3/2 {
			t.Errorf("%d bytes serve, the bound is %d", got, memory)
		}
	}
	within()

	r := rand.New(rand.NewPCG(3, 4))
	request := func(hot []*classifiers.File, cold []*classifiers.File) (hits, misses int) {
		from := hot
		if r.IntN(10) == 0 {
			from = cold
		}
		var campaigns []string
		for range 5 {
			campaigns = append(campaigns, from[r.IntN(len(from))].Campaign)
		}
		p := fleet.Profile(r.IntN(1000))
		logits, partial := ask(t, b, p, campaigns...)
		want, _ := ask(t, whole, p, campaigns...)
		for i, logit := range logits {
			if logit != logit {
				misses++
				continue
			}
			hits++
			if math.Abs(classifiers.Probability(logit)-classifiers.Probability(want[i])) > 1e-6 {
				t.Fatalf("campaign %s has logit %v, want %v", campaigns[i], logit, want[i])
			}
		}
		if (misses > 0) != (partial == score.Memory) {
			t.Fatalf("%d misses are partial %q", misses, partial)
		}
		if &from[0] != &hot[0] {
			return 0, 0
		}
		return hits, misses
	}
	phase := func(hot, cold []*classifiers.File) {
		t.Helper()
		eventually(t, func() bool { // one in fifty of those that are asked for most is missed at most
			hits, misses := 0, 0
			for range 200 {
				h, m := request(hot, cold)
				hits, misses = hits+h, misses+m
			}
			return hits > 0 && misses*50 <= hits
		})
		within()
	}
	phase(files[:30], files[30:])
	phase(files[100:130], files[:100]) // others become popular
	v := b.View()
	defer v.Release()
	if live := v.(*state).live; len(v.Campaigns()) != n || live > n/2 {
		t.Errorf("%d campaigns are listed and %d in memory, want all %d, of which about a third", len(v.Campaigns()), live, n)
	}
}

// TestAbsentChanges is what becomes of classifiers without room when their files change, go or cannot be read.
func TestAbsentChanges(t *testing.T) {
	fleet := ranktest.New(ranktest.Options{Features: 4, Values: 400, Known: 100, Prior: true})
	first, second := fleet.Classifier(0, 1), fleet.Classifier(1, 1)
	s := newShelf(first) // second cannot be loaded
	b := bounded(t, 1, s)
	apply(t, b, add(fleet.Prior(), first, second)...)
	p := fleet.Profile(1)
	logits, partial := ask(t, b, p, first.Campaign, second.Campaign)
	if !math.IsNaN(logits[0]) || !math.IsNaN(logits[1]) || partial != score.Memory {
		t.Fatalf("%v, %q without memory", logits, partial)
	}
	b.mu.Lock()
	b.bound.memory = 10 << 20
	b.mu.Unlock()
	eventually(t, func() bool {
		logits, partial = ask(t, b, p, first.Campaign)
		return partial == ""
	})
	if _, partial := ask(t, b, p, second.Campaign); partial != score.Memory {
		t.Errorf("what cannot be loaded is partial %q", partial)
	}
	newer := fleet.Classifier(1, 2) // its file comes again
	apply(t, b, add(newer)...)
	if logits, partial := ask(t, b, p, second.Campaign); partial != "" || logits[0] != logits[0] {
		t.Errorf("the new file has %v, %q", logits, partial)
	}
	b.mu.Lock()
	b.bound.policy.SetBound(0)
	b.mu.Unlock()
	apply(t, b) // settles
	if _, partial := ask(t, b, p, first.Campaign, second.Campaign); partial != score.Memory {
		t.Errorf("without a bound left %q", partial)
	}
	apply(t, b, classifiers.Change{Campaign: first.Campaign})
	apply(t, b, classifiers.Change{Prior: ranktest.PriorVersion})
	v := b.View()
	defer v.Release()
	if len(v.Campaigns()) != 0 {
		t.Errorf("%v are listed after they and their prior went", v.Campaigns())
	}
}

// TestAsks is that campaigns are counted as often as they are asked for, in the mean, however many a request asks for.
func TestAsks(t *testing.T) {
	a := make(asks, 1000)
	for range 5000 {
		a.count(nil)
		a.count([]int32{7})
	}
	sum := 0
	for i := range a {
		n := int(a[i].Load())
		sum += n
		if want := 5000; i != 7 && (n < want*7/10 || n > want*13/10) {
			t.Errorf("%d is counted %d times, want about %d", i, n, want)
		}
	}
	if n := int(a[7].Load()); n < 8500 || n > 11500 {
		t.Errorf("7 is counted %d times, want about 10000", n)
	}
	if want := 5000 * 1001; math.Abs(float64(sum-want)) > float64(want)/20 {
		t.Errorf("%d counts, want about %d", sum, want)
	}
}
