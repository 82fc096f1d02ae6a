package scoring

import (
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/batcher"
	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
	"gavel/internal/models"
	"gavel/internal/recipe"
)

const smallRecipe = `
model: ctr
label: click
architecture: {kind: logreg}
features:
  - {name: campaign, source: campaign.id, encoder: vocabulary, values: [a, b, c, bad]}
`

// testEngine scores a row as its last index / 8.
type testEngine struct {
	rowLen int
	refuse int32         // Validate refuses rows with this last index; 0: none
	broken bool          // every run fails
	begun  chan struct{} // if not nil, each run sends a value when it begins
	gate   chan struct{} // if not nil, each run waits for a value, or until it is closed
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

// indices returns the schema of rows of rowLen indices.
func indices(rowLen int) *engine.Schema {
	schema := enginetest.Indices(rowLen)
	return &schema
}

// testBatch is a batch of rows of indices. Its Run leaves the outputs unchanged.
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

// fakeVersion is a model that serves one version, without a store but with a real queue.
type fakeVersion struct {
	Version
	engine *testEngine
	users  atomic.Int64 // acquired, not yet released
}

// fakeServable implements loaded.
type fakeServable struct {
	number  int64
	version *fakeVersion
}

func (s fakeServable) Version() int64           { return s.number }
func (fakeServable) Manifest() *models.Manifest { return nil }
func (fakeServable) Format() string             { return models.DefaultFormat }
func (s fakeServable) Release()                 { s.version.users.Add(-1) }

func (v *fakeVersion) Acquire(uint64) (*Version, error) {
	v.users.Add(1)
	return &v.Version, nil
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
	v := &fakeVersion{engine: e}
	v.Version = Version{loaded: fakeServable{number, v}, rowLen: e.rowLen, encoder: r.Encoder(), queue: queue}
	return v
}

// scorerOf returns a Scorer that serves these models by name. The defaults are "ctr" for clicks and "cvr" for conversions.
func scorerOf(models map[string]source) *Scorer {
	return newScorer(func(name string) source { return models[name] }, "ctr", "cvr", slog.New(slog.DiscardHandler))
}

// newRequest returns a request with one impression, which must be answered within a minute.
func newRequest() *auction.Request {
	return &auction.Request{ID: "r", Impressions: []auction.Impression{{ID: "1"}}, Deadline: time.Now().Add(time.Minute)}
}

// candidatesOf returns a candidate for each campaign id. The goal of a campaign whose id is in capitals is CPA, the others'
// is CPC.
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

// noVersion is a model of which no version is loaded.
type noVersion struct{}

func (noVersion) Acquire(uint64) (*Version, error) { return nil, errors.New("no version is loaded") }
