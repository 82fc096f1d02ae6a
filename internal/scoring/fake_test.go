package scoring

import (
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

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
