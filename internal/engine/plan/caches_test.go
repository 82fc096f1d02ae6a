package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// texted is a plan as text pipelines are: n-grams of two dictionaries, normalized, into a linear model of k classes.
func texted(k int, seed uint64, binary bool) *sketch {
	s := &sketch{}
	text := s.input(engine.Text, 1)
	lower := s.node("lower", nil, alphabet(nil), text)
	chars := s.node("ngrams", map[string]any{"analyzer": "char", "low": 1, "high": 2, "binary": false},
		with(alphabet(nil), "", dictionary("a", "b", "ab", "ba", " ", "c", "ca")), lower)
	words := s.node("ngrams", map[string]any{"analyzer": "word", "low": 1, "high": 1, "token": 1, "binary": binary},
		with(alphabet(nil), "", dictionary("a", "ab", "abc", "cab")), lower)
	weighed := s.node("tfidf", map[string]any{"sublinear": true}, tensors{"idf": plantest.Of([]float64{1, 2, 3, 4, 5, 6, 7})}, chars)
	both := s.node("concat", nil, nil, s.node("normalize", map[string]any{"norm": "l2"}, nil, weighed), words)
	r := rand.New(rand.NewPCG(seed, 1))
	coef, intercept := make([]float64, k*11), make([]float64, k)
	for i := range coef {
		coef[i] = r.NormFloat64()
	}
	y := s.node("linear", nil, tensors{"coef": plantest.Of(coef, k, 11), "intercept": plantest.Of(intercept)}, both)
	s.output(y)
	s.output(s.node("link", map[string]any{"kind": "softmax"}, nil, y))
	return s
}

// someTexts are texts of few letters, some of them missing or not UTF-8.
func someTexts(r *rand.Rand, rows, different int) []string {
	texts := make([]string, rows)
	for i := range texts {
		of := rand.New(rand.NewPCG(r.Uint64N(uint64(different)), 2))
		var b strings.Builder
		for range of.IntN(40) {
			b.WriteByte("abcABC   "[of.IntN(9)])
		}
		if texts[i] = b.String(); of.IntN(20) == 0 {
			texts[i] = []string{"\xFF", "a\xFF"}[of.IntN(2)]
		}
	}
	return texts
}

func openWith(t testing.TB, s *sketch, objects *Objects, o Options) *Engine {
	t.Helper()
	folder := t.TempDir()
	s.plan.Write(t, folder, objects.dir)
	e, err := Loader(objects, o)(t.Context(), engine.Version{Model: "m", Number: 1, Dir: folder})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e.(*Engine)
}

// Caches change no bit, whatever they hold, and keep within their bounds.
func TestCachesChangeNothing(t *testing.T) {
	for _, o := range []Options{{StageCache: 1 << 20}, {RowCache: 1 << 20}, {StageCache: 1 << 20, RowCache: 1 << 20}, {StageCache: 64 << 10, RowCache: 64 << 10}} {
		t.Run(fmt.Sprintf("%d %d", o.StageCache, o.RowCache), func(t *testing.T) {
			objects := NewObjects(t.TempDir())
			sketches := []*sketch{texted(3, 1, false), texted(1, 2, true), texted(3, 3, false)}
			var members []engine.Member
			for i, s := range sketches {
				members = append(members, engine.Member{Name: fmt.Sprint("m", i), Engine: openWith(t, s, objects, o)})
			}
			engines := []engine.Engine{members[0].Engine, members[1].Engine, joined(t, members)}
			plain := membersOf(t, NewObjects(t.TempDir()), sketches...)
			plainEngines := []engine.Engine{plain[0].Engine, plain[1].Engine, joined(t, plain)}
			r := rand.New(rand.NewPCG(5, 6))
			for round := range 60 {
				rows := []int{1, 3, 70}[round%3]
				data := map[string]any{"x0": someTexts(r, rows, 400)}
				for k := range engines {
					a, b := batchOf(t, engines[k], rows), batchOf(t, plainEngines[k], rows)
					got, want := scoreNamed(t, engines[k], a, data, rows), scoreNamed(t, plainEngines[k], b, data, rows)
					spans := []engine.Span{{}}
					if j, ok := engines[k].(*Joined); ok {
						spans = spans[:0]
						for _, part := range j.Parts() {
							spans = append(spans, part.Outputs)
						}
					}
					for _, span := range spans {
						if g, w := fmt.Sprint(ofSpan(a, got, span, rows)), fmt.Sprint(ofSpan(b, want, span, rows)); g != w {
							t.Fatalf("round %d, engine %d: %s, without caches %s", round, k, g, w)
						}
					}
				}
			}
			stages, whole := objects.CacheUses()
			for _, use := range []CacheUse{stages, whole} {
				if use.Limit > 0 && (use.Hits == 0 || use.Misses == 0 || use.Bytes > use.Limit || use.Entries == 0) || use.Limit == 64<<10 && use.Evictions == 0 {
					t.Errorf("%+v", use)
				}
			}
		})
	}
}

// Models that share dictionaries share what a cache keeps of them: the second model hits what the first has put.
func TestModelsShareStageCache(t *testing.T) {
	objects := NewObjects(t.TempDir())
	o := Options{StageCache: 1 << 20}
	a, b := openWith(t, texted(1, 1, false), objects, o), openWith(t, texted(2, 2, false), objects, o)
	data := map[string]any{"x0": []string{"ab ab c", "cab"}}
	scoreNamed(t, a, batchOf(t, a, 2), data, 2)
	scoreNamed(t, b, batchOf(t, b, 2), data, 2)
	if use, rows := objects.CacheUses(); use.Hits != 4 || use.Misses != 4 || use.Entries != 4 || rows != (CacheUse{}) {
		t.Errorf("%+v, %+v", use, rows)
	}
}

func TestCacheMetrics(t *testing.T) {
	objects, registry := NewObjects(t.TempDir()), prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCacheCollector(objects))
	if all, err := registry.Gather(); err != nil || len(all) != 0 {
		t.Errorf("%v where caches are off, %v", all, err)
	}
	e := openWith(t, texted(1, 1, false), objects, Options{RowCache: 1 << 20})
	b := batchOf(t, e, 3)
	for range 2 {
		scoreNamed(t, e, b, map[string]any{"x0": []string{"a", "b", "c"}}, 3)
	}
	all, err := registry.Gather()
	if err != nil || len(all) != 6 {
		t.Fatal(all, err)
	}
	for _, family := range all {
		if family.GetName() == "gavel_plan_cache_hits_total" && family.GetMetric()[0].GetCounter().GetValue() != 3 {
			t.Error(family)
		}
	}
}

func TestCachesOfOtherSizesAreRefused(t *testing.T) {
	objects, folder := NewObjects(t.TempDir()), t.TempDir()
	openWith(t, texted(1, 1, false), objects, Options{StageCache: 1 << 20})
	texted(2, 1, false).plan.Write(t, folder, objects.dir)
	if _, err := Loader(objects, Options{})(t.Context(), engine.Version{Dir: folder}); err == nil || !strings.Contains(err.Error(), "caches of other sizes") {
		t.Error(err)
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	for _, o := range []Options{{StageCache: 1 << 20}, {RowCache: 1 << 20}} {
		e := openWith(t, texted(3, 1, false), NewObjects(t.TempDir()), o)
		b := batchOf(t, e, 4)
		copy(b.Inputs()[0].Text, []string{"ab", "c", "cab ab", ""})
		run := func() {
			if err := b.Run(4); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(50, run); n != 0 {
			t.Errorf("%v allocations a hit", n)
		}
	}
}

// Many threads at once; the race detector does not see C, the bits do.
func TestCachesConcurrently(t *testing.T) {
	o := Options{StageCache: 64 << 10, RowCache: 64 << 10}
	e := openWith(t, texted(3, 1, false), NewObjects(t.TempDir()), o)
	plain := openWith(t, texted(3, 1, false), NewObjects(t.TempDir()), Options{})
	texts := slices.DeleteFunc(someTexts(rand.New(rand.NewPCG(1, 1)), 64, 1000), func(s string) bool { return strings.Contains(s, "\xFF") })
	b := batchOf(t, plain, len(texts))
	scoreNamed(t, plain, b, map[string]any{"x0": texts}, len(texts))
	want := slices.Clone(b.Outputs()[0].Float64)
	var wait sync.WaitGroup
	for worker := range 8 {
		own := batchOf(t, e, 1)
		wait.Go(func() {
			for i := range 2000 {
				k := (i*7 + worker*13) % len(texts)
				own.Inputs()[0].Text[0] = texts[k]
				if err := own.Run(1); err != nil || !slices.Equal(own.Outputs()[0].Float64, want[3*k:3*k+3]) {
					t.Errorf("row %d: %v, %v", k, err, own.Outputs()[0].Float64)
					return
				}
			}
		})
	}
	wait.Wait()
}
