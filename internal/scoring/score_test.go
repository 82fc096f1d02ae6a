package scoring

import (
	"context"
	"slices"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/batcher"
	"gavel/internal/batcher/batchertest"
	"gavel/internal/race"
)

func TestScore(t *testing.T) {
	type answer struct {
		click, conversion float32
		versions          [2]int64
		ok                bool
	}
	f := func(name string, set func(click, conversion *testEngine) (unloadConversion bool), ids []string, want ...answer) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
			click := newVersion(t, pool, 7, batcher.QueueOptions{}, new(testEngine))
			conversion := newVersion(t, pool, 9, batcher.QueueOptions{}, new(testEngine))
			models := map[string]source{"ctr": click, "cvr": conversion}
			if set(click.engine, conversion.engine) {
				models["cvr"] = noVersion{}
			}
			s := scorerOf(models)
			candidates := candidatesOf(ids...)
			req := newRequest()
			for range 2 { // the second call reuses the memory of the first
				out, ok := make([]auction.Prediction, len(ids)), make([]bool, len(ids))
				if err := s.Score(context.Background(), req, candidates, out, ok); err != nil {
					t.Fatal(err)
				}
				for i, p := range out {
					got := answer{p.Click, p.Conversion, [2]int64{p.ClickVersion, p.ConversionVersion}, ok[i]}
					if got.ok != want[i].ok || got.ok && got != want[i] {
						t.Errorf("%s: got %+v, want %+v", ids[i], got, want[i])
					}
				}
			}
			if n := click.users.Load() + conversion.users.Load(); n != 0 {
				t.Errorf("%d acquisitions were not released", n)
			}
		})
	}
	sound := func(*testEngine, *testEngine) bool { return false }
	probability := func(id string) float32 { // by testEngine
		return float32(map[string]int{"a": 1, "b": 2, "c": 3}[id]) / 8
	}
	a, b, c := probability("a"), probability("b"), probability("c")
	f("no candidate needs a conversion", sound, []string{"a", "b"}, answer{a, 1, [2]int64{7, 0}, true}, answer{b, 1, [2]int64{7, 0}, true})
	f("one candidate needs a conversion", sound, []string{"a", "B", "c"},
		answer{a, 1, [2]int64{7, 0}, true}, answer{b, b, [2]int64{7, 9}, true}, answer{c, 1, [2]int64{7, 0}, true})
	f("the conversion model has no version", func(*testEngine, *testEngine) bool { return true }, []string{"A", "b"},
		answer{}, answer{b, 1, [2]int64{7, 0}, true})
	f("the click model refuses a row", func(click, _ *testEngine) bool { click.refuse = 4; return false }, []string{"a", "bad", "c"},
		answer{a, 1, [2]int64{7, 0}, true}, answer{}, answer{c, 1, [2]int64{7, 0}, true})
	f("the conversion model refuses a row", func(_, conversion *testEngine) bool { conversion.refuse = 2; return false },
		[]string{"A", "B"}, answer{a, a, [2]int64{7, 9}, true}, answer{})
	f("the model refuses every row", func(click, _ *testEngine) bool { click.refuse = 4; return false }, []string{"bad"}, answer{})
}

func TestScoreErrorGivesNoBidReason(t *testing.T) {
	f := func(name string, want auction.NoBidReason, o batcher.QueueOptions, e *testEngine, set func(models map[string]source, req *auction.Request) context.Context) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			v := newVersion(t, batchertest.NewPool(t, batcher.PoolOptions{Runners: 1}), 1, o, e)
			models := map[string]source{"ctr": v, "cvr": v}
			s := scorerOf(models)
			req := newRequest()
			ctx := set(models, req)
			candidates := candidatesOf("a", "B", "c")
			err := s.Score(ctx, req, candidates, make([]auction.Prediction, 3), make([]bool, 3))
			if e.gate != nil {
				close(e.gate)
			}
			if got := auction.ReasonFor(err); got != want {
				t.Errorf("got %v (%s), want reason %s", err, got, want)
			}
			if n := v.users.Load(); n != 0 {
				t.Errorf("%d acquisitions were not released", n)
			}
		})
	}
	plain := func(map[string]source, *auction.Request) context.Context { return context.Background() }
	f("no version is loaded", auction.NoBidNoModel, batcher.QueueOptions{}, new(testEngine), func(models map[string]source, _ *auction.Request) context.Context {
		models["ctr"], models["cvr"] = noVersion{}, noVersion{}
		return context.Background()
	})
	f("the queue is full for the click rows", auction.NoBidShed, batcher.QueueOptions{MaxRows: 2, QueueRows: 2}, new(testEngine), plain)
	f("the deadline has passed", auction.NoBidExpired, batcher.QueueOptions{}, new(testEngine), func(_ map[string]source, req *auction.Request) context.Context {
		req.Deadline = time.Now().Add(-time.Second)
		return context.Background()
	})
	f("the caller's context ends", auction.NoBidExpired, batcher.QueueOptions{}, &testEngine{gate: make(chan struct{})},
		func(map[string]source, *auction.Request) context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx
		})
	f("the runs fail", auction.NoBidInternal, batcher.QueueOptions{}, &testEngine{broken: true}, plain)
}

// If an auction needs one model, Score may run the batch in its own goroutine.
func TestScoreRunsBatchInItsCaller(t *testing.T) {
	v := newVersion(t, batchertest.NewPool(t, batcher.PoolOptions{Runners: 1}), 1, batcher.QueueOptions{Policy: batcher.Eager}, new(testEngine))
	s := scorerOf(map[string]source{"ctr": v})
	req := newRequest()
	for range 100 {
		if err := s.Score(context.Background(), req, candidatesOf("a"), make([]auction.Prediction, 1), make([]bool, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if v.engine.inline.Load() == 0 {
		t.Error("the caller ran none of 100 batches, although it was the only caller")
	}
}

// The runs of the two engines wait for each other. So Score ends only if it commits both tickets before it waits for one.
func TestScoreRunsModelsConcurrently(t *testing.T) {
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 2})
	begun := make(chan struct{}, 2) // room for both runs
	bothBegan := make(chan struct{})
	o := batcher.QueueOptions{Policy: batcher.Eager, RescueAfter: -1}
	click := newVersion(t, pool, 1, o, &testEngine{begun: begun, gate: bothBegan})
	conversion := newVersion(t, pool, 2, o, &testEngine{begun: begun, gate: bothBegan})
	s := scorerOf(map[string]source{"ctr": click, "cvr": conversion})
	req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go func() {
		defer close(bothBegan)
		for range 2 {
			select {
			case <-begun:
			case <-ctx.Done():
			}
		}
	}()
	if err := s.Score(ctx, req, candidatesOf("A"), make([]auction.Prediction, 1), make([]bool, 1)); err != nil {
		t.Errorf("the runs did not overlap: %v", err)
	}
}

// Campaigns may name models of their own. Each model scores the rows of all campaigns that name it.
func TestScoreWithCampaignModels(t *testing.T) {
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	versions := map[string]*fakeVersion{}
	served := map[string]source{"unloaded": noVersion{}}
	for i, name := range []string{"ctr", "cvr", "shoes"} {
		versions[name] = newVersion(t, pool, int64(i+1), batcher.QueueOptions{}, new(testEngine))
		served[name] = versions[name]
	}
	candidates := candidatesOf("a", "b", "C", "a", "b", "c", "B")
	candidates[1].Campaign.Models.Click = "shoes"
	candidates[2].Campaign.Models.Conversion = "shoes"
	candidates[3].Campaign.Models.Click = "unloaded"
	candidates[4].Campaign.Models.Click = "unloaded"
	candidates[4].Campaign.Goal.Kind = auction.CPM
	candidates[5].Campaign.Models.Click = "unknown"
	candidates[6].Campaign.Models = auction.CampaignModels{Click: "shoes", Conversion: "shoes"}
	want := []auction.Prediction{
		{Click: 1. / 8, Conversion: 1, ClickVersion: 1},
		{Click: 2. / 8, Conversion: 1, ClickVersion: 3},
		{Click: 3. / 8, Conversion: 3. / 8, ClickVersion: 1, ConversionVersion: 3},
		{},
		{Conversion: 1}, // its goal is CPM, which needs no prediction
		{},
		{Click: 2. / 8, Conversion: 2. / 8, ClickVersion: 3, ConversionVersion: 3},
	}
	wantOK := []bool{true, true, true, false, true, false, true}
	s := scorerOf(served)
	req := newRequest()
	for range 2 { // the second call reuses the memory of the first
		out, ok := make([]auction.Prediction, len(candidates)), make([]bool, len(candidates))
		if err := s.Score(context.Background(), req, candidates, out, ok); err != nil {
			t.Fatal(err)
		}
		for i := range candidates {
			if ok[i] != wantOK[i] || ok[i] && out[i] != want[i] {
				t.Errorf("candidate %d: got %+v, %v, want %+v, %v", i, out[i], ok[i], want[i], wantOK[i])
			}
		}
	}
	for name, v := range versions {
		if n := v.users.Load(); n != 0 {
			t.Errorf("%d acquisitions of %s were not released", n, name)
		}
	}
}

// If a model fails, only the candidates that need it are not ok.
func TestScoreIfOneModelFails(t *testing.T) {
	f := func(name string, o batcher.QueueOptions, e *testEngine, ids []string, own auction.CampaignModels, want auction.NoBidReason, wantOK ...bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
			ctr, bad := newVersion(t, pool, 1, batcher.QueueOptions{}, new(testEngine)), newVersion(t, pool, 2, o, e)
			s := scorerOf(map[string]source{"ctr": ctr, "cvr": bad, "bad": bad, "unloaded": noVersion{}})
			candidates := candidatesOf(ids...)
			candidates[0].Campaign.Models = own
			req := newRequest()
			out, ok := make([]auction.Prediction, len(ids)), make([]bool, len(ids))
			err := s.Score(context.Background(), req, candidates, out, ok)
			if got := auction.ReasonFor(err); got != want {
				t.Errorf("got %v (%s), want reason %q", err, got, want)
			}
			if err == nil && !slices.Equal(ok, wantOK) {
				t.Errorf("got %v, want %v", ok, wantOK)
			}
			if n := ctr.users.Load() + bad.users.Load(); n != 0 {
				t.Errorf("%d acquisitions were not released", n)
			}
		})
	}
	own := auction.CampaignModels{Click: "bad"}
	full := batcher.QueueOptions{MaxRows: 1, QueueRows: 1}
	f("its runs fail", batcher.QueueOptions{}, &testEngine{broken: true}, []string{"a", "b"}, own, auction.NoBidNone, false, true)
	f("its runs fail, and all candidates need it", batcher.QueueOptions{}, &testEngine{broken: true}, []string{"A"}, auction.CampaignModels{}, auction.NoBidInternal)
	f("its queue is full", full, new(testEngine), []string{"A", "B", "c"}, auction.CampaignModels{}, auction.NoBidNone, false, false, true)
	f("its queue is full, and all candidates need it", full, new(testEngine), []string{"A", "B"}, auction.CampaignModels{}, auction.NoBidShed)
	f("its queue is full, and the other model has no version", full, new(testEngine), []string{"a", "B", "C"}, auction.CampaignModels{Click: "unloaded"}, auction.NoBidShed)
}

func TestScoreDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("with the race detector, sync.Pool drops items")
	}
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	click := newVersion(t, pool, 1, batcher.QueueOptions{}, new(testEngine))
	queue, err := pool.NewQueue(idleEngine{click.rowLen}, batcher.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	click.queue = queue
	s := scorerOf(map[string]source{"ctr": click})
	req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}}
	candidates := candidatesOf("a", "b", "c")
	out, ok := make([]auction.Prediction, 3), make([]bool, 3)
	if n := testing.AllocsPerRun(200, func() {
		if err := s.Score(context.Background(), req, candidates, out, ok); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for 3 candidates, want none", n)
	}
}

func TestVersionKey(t *testing.T) {
	key := func(user, buyer, id string) uint64 {
		return versionKey(&auction.Request{ID: id, User: auction.User{ID: user, BuyerUID: buyer}})
	}
	if key("u", "", "1") != key("u", "", "2") || key("", "u", "1") != key("", "u", "2") {
		t.Error("two auctions of one user have different keys")
	}
	if key("", "", "1") == key("", "", "2") {
		t.Error("two auctions of unknown users have the same key")
	}
}
