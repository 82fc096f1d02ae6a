package scoring

import (
	"errors"
	"testing"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/batcher/batchertest"
)

// Candidates get the probabilities that they have in auctions. A version without recipe has none.
func TestScoreCandidates(t *testing.T) {
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1})
	v := newVersion(t, pool, 3, batcher.QueueOptions{Name: "t", MaxRows: 4, QueueRows: 64, Policy: batcher.Eager}, &testEngine{refuse: 4})
	req, deadline := newRequest(), time.Now().Add(time.Minute)
	results := make([]Result, 3)
	if err := v.ScoreCandidates(req, candidatesOf("b", "a", "c"), deadline, results); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{2. / 8, 1. / 8, 3. / 8} {
		if results[i].Err != nil || results[i].Probability != want {
			t.Errorf("candidate %d: %+v, want %v", i, results[i], want)
		}
	}
	if err := v.ScoreCandidates(req, candidatesOf("a", "bad"), deadline, results[:2]); !errors.Is(err, ErrRow) || results[1].Err == nil || results[0].Probability != 1./8 {
		t.Errorf("a refused row: %v, %+v", err, results[:2])
	}
	if err := v.ScoreCandidates(req, candidatesOf("a"), time.Now().Add(-time.Second), results[:1]); !errors.Is(err, ErrExpired) {
		t.Errorf("too late: %v", err)
	}
	v.encoder = nil
	if err := v.ScoreCandidates(req, candidatesOf("a"), deadline, results[:1]); !errors.Is(err, ErrNoRecipe) {
		t.Errorf("without recipe: %v", err)
	}
}
