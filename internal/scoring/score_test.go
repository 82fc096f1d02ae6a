package scoring

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/batcher"
	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
	"gavel/internal/models"
	"gavel/internal/race"
	"gavel/internal/recipe"
)

const smallRecipe = `
model: ctr
label: click
architecture: {kind: logreg}
features:
  - {name: campaign, source: campaign.id, encoder: vocabulary, values: [a, b, c, bad]}
`

// testEngine answers each row with its last index / 8, and refuses rows of refuse.
type testEngine struct {
	rowLen int
	refuse int32         // index that Validate refuses; 0: none
	broken bool          // every run fails
	begun  chan struct{} // a run says here that it began; nil: it does not
	gate   chan struct{} // a run waits for it; nil: none
	inline atomic.Int64  // runs in the goroutine of Score
}

func (e *testEngine) Schema() *engine.Schema { return indices(e.rowLen) }
func (e *testEngine) Close() error           { return nil }

func (e *testEngine) NewBatch(capacity int) (engine.Batch, error) {
	return &engineBatch{newTestBatch(capacity, e.rowLen), e}, nil
}

func (e *testEngine) Validate(inputs []engine.Column, i int) error {
	if e.refuse != 0 && inputs[0].Int32[(i+1)*e.rowLen-1] == e.refuse {
		return errors.New("refused by the test")
	}
	return nil
}

// indices is the schema of rows of rowLen indices.
func indices(rowLen int) *engine.Schema {
	schema := enginetest.Indices(rowLen)
	return &schema
}

// testBatch is a batch of indices that does nothing.
type testBatch struct{ inputs, outputs []engine.Column }

func newTestBatch(capacity, rowLen int) testBatch {
	return testBatch{
		inputs:  []engine.Column{{Type: engine.Int32, Width: rowLen, Int32: make([]int32, capacity*rowLen)}},
		outputs: []engine.Column{{Type: engine.Float32, Width: 1, Float32: make([]float32, capacity)}},
	}
}

func (b *testBatch) Inputs() []engine.Column  { return b.inputs }
func (b *testBatch) Outputs() []engine.Column { return b.outputs }
func (b *testBatch) Run(int) error            { return nil }
func (b *testBatch) Close()                   {}

type engineBatch struct {
	testBatch
	e *testEngine
}

func (b *engineBatch) Run(n int) error {
	if b.e.begun != nil {
		b.e.begun <- struct{}{}
	}
	if b.e.gate != nil {
		<-b.e.gate
	}
	stack := make([]byte, 16<<10)
	if strings.Contains(string(stack[:runtime.Stack(stack, false)]), "(*Scorer).Score") {
		b.e.inline.Add(1)
	}
	if b.e.broken {
		return errors.New("the engine is broken")
	}
	for i := range n {
		b.outputs[0].Float32[i] = float32(b.inputs[0].Int32[(i+1)*b.e.rowLen-1]) / 8
	}
	return nil
}

// fakeVersion stands for a loaded version over a real queue.
type fakeVersion struct {
	Version
	engine *testEngine
	users  atomic.Int64
}

// number implements loaded; it counts releases.
type number struct {
	of      int64
	version *fakeVersion
}

func (n number) Version() int64           { return n.of }
func (number) Manifest() *models.Manifest { return nil }
func (n number) Release()                 { n.version.users.Add(-1) }

func (v *fakeVersion) Acquire(uint64) (*Version, error) {
	v.users.Add(1)
	return &v.Version, nil
}

func newVersion(t *testing.T, pool *batcher.Pool, of int64, o batcher.QueueOptions, e *testEngine) *fakeVersion {
	t.Helper()
	r, err := recipe.Decode("test", []byte(smallRecipe))
	if err != nil {
		t.Fatal(err)
	}
	e.rowLen = r.Encoder().RowLen()
	queue, err := pool.NewQueue(e, o)
	if err != nil {
		t.Fatal(err)
	}
	v := &fakeVersion{engine: e}
	v.Version = Version{loaded: number{of, v}, rowLen: e.rowLen, encoder: r.Encoder(), queue: queue}
	return v
}

// scorerOf scores by models of these names; "ctr" and "cvr" are the defaults.
func scorerOf(models map[string]source) *Scorer {
	return newScorer(func(name string) source { return models[name] }, "ctr", "cvr", slog.New(slog.DiscardHandler))
}

func newPool(t *testing.T) *batcher.Pool {
	t.Helper()
	pool, err := batcher.NewPool(batcher.PoolOptions{Runners: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			t.Errorf("a ticket was left open: %v", err)
		}
	})
	return pool
}

// candidatesOf are of campaigns with these ids; an id in capitals pays by conversion.
func candidatesOf(ids ...string) []auction.Candidate {
	out := make([]auction.Candidate, len(ids))
	for i, id := range ids {
		c := &auction.Campaign{ID: strings.ToLower(id), Goal: auction.Goal{Kind: auction.CPC, Value: 1e6}}
		if id != c.ID {
			c.Goal.Kind = auction.CPA
		}
		c.Creatives = []auction.Creative{{ID: "x", Kind: auction.BannerCreative}}
		out[i] = auction.Candidate{Campaign: c, Creative: &c.Creatives[0]}
	}
	return out
}

// none is a model without a version.
var none source = empty{}

type empty struct{}

func (empty) Acquire(uint64) (*Version, error) { return nil, errors.New("no version is loaded") }

func TestScore(t *testing.T) {
	type answer struct {
		click, conversion float32
		versions          [2]int64
		ok                bool
	}
	f := func(name string, set func(click, conversion *testEngine) (noConversion bool), ids []string, want ...answer) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			pool := newPool(t)
			click := newVersion(t, pool, 7, batcher.QueueOptions{}, new(testEngine))
			conversion := newVersion(t, pool, 9, batcher.QueueOptions{}, new(testEngine))
			models := map[string]source{"ctr": click, "cvr": conversion}
			if set(click.engine, conversion.engine) {
				models["cvr"] = none
			}
			s := scorerOf(models)
			candidates := candidatesOf(ids...)
			req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}, Deadline: time.Now().Add(time.Minute)}
			for range 2 { // the second on the first one's memory
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
				t.Errorf("%d versions were not released", n)
			}
		})
	}
	sound := func(*testEngine, *testEngine) bool { return false }
	index := func(id string) float32 { // what the engines answer
		return float32(map[string]int{"a": 1, "b": 2, "c": 3}[id]) / 8
	}
	a, b, c := index("a"), index("b"), index("c")
	f("clicks alone", sound, []string{"a", "b"}, answer{a, 1, [2]int64{7, 0}, true}, answer{b, 1, [2]int64{7, 0}, true})
	f("conversions of some", sound, []string{"a", "B", "c"},
		answer{a, 1, [2]int64{7, 0}, true}, answer{b, b, [2]int64{7, 9}, true}, answer{c, 1, [2]int64{7, 0}, true})
	f("no model of conversions", func(*testEngine, *testEngine) bool { return true }, []string{"A", "b"},
		answer{}, answer{b, 1, [2]int64{7, 0}, true})
	f("a row that the click model refuses", func(click, _ *testEngine) bool { click.refuse = 4; return false }, []string{"a", "bad", "c"},
		answer{a, 1, [2]int64{7, 0}, true}, answer{}, answer{c, 1, [2]int64{7, 0}, true})
	f("a row that the conversion model refuses", func(_, conversion *testEngine) bool { conversion.refuse = 2; return false },
		[]string{"A", "B"}, answer{a, a, [2]int64{7, 9}, true}, answer{})
	f("every row refused", func(click, _ *testEngine) bool { click.refuse = 4; return false }, []string{"bad"}, answer{})
}

func TestScoreErrors(t *testing.T) {
	f := func(name string, want auction.NoBidReason, o batcher.QueueOptions, e *testEngine, set func(models map[string]source, req *auction.Request) context.Context) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			v := newVersion(t, newPool(t), 1, o, e)
			models := map[string]source{"ctr": v, "cvr": v}
			s := scorerOf(models)
			req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}, Deadline: time.Now().Add(time.Minute)}
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
				t.Errorf("%d versions were not released", n)
			}
		})
	}
	plain := func(map[string]source, *auction.Request) context.Context { return context.Background() }
	f("no version", auction.NoBidNoModel, batcher.QueueOptions{}, new(testEngine), func(models map[string]source, _ *auction.Request) context.Context {
		models["ctr"], models["cvr"] = none, none
		return context.Background()
	})
	f("the queue is full for the click rows", auction.NoBidShed, batcher.QueueOptions{MaxRows: 2, QueueRows: 2}, new(testEngine), plain)
	f("the deadline has passed", auction.NoBidExpired, batcher.QueueOptions{}, new(testEngine), func(_ map[string]source, req *auction.Request) context.Context {
		req.Deadline = time.Now().Add(-time.Second)
		return context.Background()
	})
	f("the caller leaves", auction.NoBidExpired, batcher.QueueOptions{}, &testEngine{gate: make(chan struct{})},
		func(map[string]source, *auction.Request) context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx
		})
	f("the engine fails", auction.NoBidInternal, batcher.QueueOptions{}, &testEngine{broken: true}, plain)
}

// A ticket alone is left to Wait, so that its caller may run the batch.
func TestScoreRunsInItsCaller(t *testing.T) {
	v := newVersion(t, newPool(t), 1, batcher.QueueOptions{Policy: batcher.Eager}, new(testEngine))
	s := scorerOf(map[string]source{"ctr": v})
	req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}, Deadline: time.Now().Add(time.Minute)}
	for range 100 {
		if err := s.Score(context.Background(), req, candidatesOf("a"), make([]auction.Prediction, 1), make([]bool, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if v.engine.inline.Load() == 0 {
		t.Error("of 100 batches of one caller none was run by it, though nobody else wanted the runner")
	}
}

// Two tickets are committed before either is waited for: the runs of these engines wait for each other.
func TestScoreRunsBothModelsAtOnce(t *testing.T) {
	pool, err := batcher.NewPool(batcher.PoolOptions{Runners: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pool.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	begun := make(chan struct{}, 2) // both
	meet := make(chan struct{})
	o := batcher.QueueOptions{Policy: batcher.Eager, RescueAfter: -1}
	click := newVersion(t, pool, 1, o, &testEngine{begun: begun, gate: meet})
	conversion := newVersion(t, pool, 2, o, &testEngine{begun: begun, gate: meet})
	s := scorerOf(map[string]source{"ctr": click, "cvr": conversion})
	req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go func() {
		defer close(meet)
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

// Campaigns may name models of their own; each model scores the rows of all that name it.
func TestScoreByCampaignsModels(t *testing.T) {
	pool := newPool(t)
	of := map[string]*fakeVersion{}
	served := map[string]source{"away": none}
	for i, name := range []string{"ctr", "cvr", "shoes"} {
		of[name] = newVersion(t, pool, int64(i+1), batcher.QueueOptions{}, new(testEngine))
		served[name] = of[name]
	}
	candidates := candidatesOf("a", "b", "C", "a", "b", "c", "B")
	candidates[1].Campaign.Models.Click = "shoes"
	candidates[2].Campaign.Models.Conversion = "shoes"
	candidates[3].Campaign.Models.Click = "away"
	candidates[4].Campaign.Models.Click = "away"
	candidates[4].Campaign.Goal.Kind = auction.CPM
	candidates[5].Campaign.Models.Click = "unknown"
	candidates[6].Campaign.Models = auction.CampaignModels{Click: "shoes", Conversion: "shoes"}
	want := []auction.Prediction{
		{Click: 1. / 8, Conversion: 1, ClickVersion: 1},
		{Click: 2. / 8, Conversion: 1, ClickVersion: 3},
		{Click: 3. / 8, Conversion: 3. / 8, ClickVersion: 1, ConversionVersion: 3},
		{},
		{Conversion: 1}, // pays per impression: needs no prediction
		{},
		{Click: 2. / 8, Conversion: 2. / 8, ClickVersion: 3, ConversionVersion: 3},
	}
	wantOK := []bool{true, true, true, false, true, false, true}
	s := scorerOf(served)
	req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}, Deadline: time.Now().Add(time.Minute)}
	for range 2 { // the second in the memory of the first
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
	for name, v := range of {
		if n := v.users.Load(); n != 0 {
			t.Errorf("%d acquisitions of %s were not released", n, name)
		}
	}
}

// A model that fails costs the candidates that need it, and no others.
func TestScoreWhereOneModelFails(t *testing.T) {
	f := func(name string, o batcher.QueueOptions, e *testEngine, ids []string, own auction.CampaignModels, want auction.NoBidReason, wantOK ...bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			pool := newPool(t)
			ctr, bad := newVersion(t, pool, 1, batcher.QueueOptions{}, new(testEngine)), newVersion(t, pool, 2, o, e)
			s := scorerOf(map[string]source{"ctr": ctr, "cvr": bad, "bad": bad, "away": none})
			candidates := candidatesOf(ids...)
			candidates[0].Campaign.Models = own
			req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}, Deadline: time.Now().Add(time.Minute)}
			out, ok := make([]auction.Prediction, len(ids)), make([]bool, len(ids))
			err := s.Score(context.Background(), req, candidates, out, ok)
			if got := auction.ReasonFor(err); got != want {
				t.Errorf("got %v (%s), want reason %q", err, got, want)
			}
			if err == nil && !slices.Equal(ok, wantOK) {
				t.Errorf("got %v, want %v", ok, wantOK)
			}
			if n := ctr.users.Load() + bad.users.Load(); n != 0 {
				t.Errorf("%d versions were not released", n)
			}
		})
	}
	own := auction.CampaignModels{Click: "bad"}
	full := batcher.QueueOptions{MaxRows: 1, QueueRows: 1}
	f("its runs fail", batcher.QueueOptions{}, &testEngine{broken: true}, []string{"a", "b"}, own, auction.NoBidNone, false, true)
	f("its runs fail, all need it", batcher.QueueOptions{}, &testEngine{broken: true}, []string{"A"}, auction.CampaignModels{}, auction.NoBidInternal)
	f("its queue is full", full, new(testEngine), []string{"A", "B", "c"}, auction.CampaignModels{}, auction.NoBidNone, false, false, true)
	f("its queue is full, all need it", full, new(testEngine), []string{"A", "B"}, auction.CampaignModels{}, auction.NoBidShed)
	f("its queue is full, the others have no version", full, new(testEngine), []string{"a", "B", "C"}, auction.CampaignModels{Click: "away"}, auction.NoBidShed)
}

func TestScoreAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes pools drop items")
	}
	pool := newPool(t)
	click := newVersion(t, pool, 1, batcher.QueueOptions{}, new(testEngine))
	queue, err := pool.NewQueue(silent{click.rowLen}, batcher.QueueOptions{})
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
		t.Errorf("%v allocations for 3 candidates", n)
	}
}

func TestVersionKey(t *testing.T) {
	of := func(user, buyer, id string) uint64 {
		return versionKey(&auction.Request{ID: id, User: auction.User{ID: user, BuyerUID: buyer}})
	}
	if of("u", "", "1") != of("u", "", "2") || of("", "u", "1") != of("", "u", "2") {
		t.Error("a user gets another version with every auction")
	}
	if of("", "", "1") == of("", "", "2") {
		t.Error("all unknown users get the same version")
	}
}
