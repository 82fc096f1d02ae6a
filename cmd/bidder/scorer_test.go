package main

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/batcher"
	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
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
	if strings.Contains(string(stack[:runtime.Stack(stack, false)]), "(*scorer).Score") {
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
	number int64
	parts  *prepared
	engine *testEngine
	users  atomic.Int64
	keys   sync.Map // asked for
}

func (v *fakeVersion) Version() int64 { return v.number }
func (v *fakeVersion) Attached() any  { return v.parts }
func (v *fakeVersion) Release()       { v.users.Add(-1) }

func (v *fakeVersion) acquire(key uint64) (version, error) {
	v.keys.Store(key, true)
	v.users.Add(1)
	return v, nil
}

func newVersion(t *testing.T, pool *batcher.Pool, number int64, o batcher.QueueOptions, e *testEngine) *fakeVersion {
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
	return &fakeVersion{number: number, parts: &prepared{encoder: r.Encoder(), queue: queue}, engine: e}
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

// none acquires nothing, as a manager without a version does.
func none(uint64) (version, error) { return nil, errors.New("no version is loaded") }

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
			s := newScorer(click.acquire, conversion.acquire, slog.New(slog.DiscardHandler))
			if set(click.engine, conversion.engine) {
				s.conversion = none
			}
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
	f := func(name string, want auction.NoBidReason, o batcher.QueueOptions, e *testEngine, set func(s *scorer, req *auction.Request) context.Context) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			v := newVersion(t, newPool(t), 1, o, e)
			s := newScorer(v.acquire, v.acquire, slog.New(slog.DiscardHandler))
			req := &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}, Deadline: time.Now().Add(time.Minute)}
			ctx := set(s, req)
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
	plain := func(*scorer, *auction.Request) context.Context { return context.Background() }
	f("no version", auction.NoBidNoModel, batcher.QueueOptions{}, new(testEngine), func(s *scorer, _ *auction.Request) context.Context {
		s.click = none
		return context.Background()
	})
	f("the queue is full for the click rows", auction.NoBidShed, batcher.QueueOptions{MaxRows: 2, QueueRows: 2}, new(testEngine), plain)
	f("the queue is full for the conversion rows", auction.NoBidShed, batcher.QueueOptions{MaxRows: 3, QueueRows: 3}, new(testEngine), plain)
	f("the deadline has passed", auction.NoBidExpired, batcher.QueueOptions{}, new(testEngine), func(_ *scorer, req *auction.Request) context.Context {
		req.Deadline = time.Now().Add(-time.Second)
		return context.Background()
	})
	f("the caller leaves", auction.NoBidExpired, batcher.QueueOptions{}, &testEngine{gate: make(chan struct{})},
		func(*scorer, *auction.Request) context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx
		})
	f("the engine fails", auction.NoBidInternal, batcher.QueueOptions{}, &testEngine{broken: true}, plain)
}

// A ticket alone is left to Wait, so that its caller may run the batch.
func TestScoreRunsInItsCaller(t *testing.T) {
	v := newVersion(t, newPool(t), 1, batcher.QueueOptions{Policy: batcher.Eager}, new(testEngine))
	s := newScorer(v.acquire, nil, slog.New(slog.DiscardHandler))
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
	s := newScorer(click.acquire, conversion.acquire, slog.New(slog.DiscardHandler))
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
