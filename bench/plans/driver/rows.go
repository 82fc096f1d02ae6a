package main

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"gavel/internal/engine"
)

// rowsRequest is a round of calls, each with `batch` random rows of a random model.
type rowsRequest struct {
	Calls int    `json:"calls"`
	Batch int    `json:"batch"`
	Seed  uint64 `json:"seed"`
	Same  bool   `json:"same"`  // all models in turn are asked the same rows, then the next ones
	Fresh bool   `json:"fresh"` // each call makes a batch, and closes it
}

// timed answers it. Percentiles are of calls.
type timed struct {
	RowUS       float64 `json:"row_us"` // the mean
	P50US       float64 `json:"p50_us"` // a call
	P99US       float64 `json:"p99_us"`
	WorstUS     float64 `json:"worst_us"`
	Allocations float64 `json:"allocations"` // a call, of the Go heap
}

func rows(args []string, l *lines) error {
	f, err := readFleet(args)
	if err != nil {
		return err
	}
	all, err := f.load(1)
	if err != nil {
		return err
	}
	defer closeAll(all)
	for {
		var r rowsRequest
		if more, err := l.next(&r); !more {
			return err
		}
		found, err := timeRows(all, r)
		if err != nil {
			return err
		}
		if err := l.answer(found); err != nil {
			return err
		}
	}
}

// timeRows makes the batches, then times the calls.
func timeRows(all []*asked, r rowsRequest) (*timed, error) {
	source := rand.NewPCG(r.Seed, 1)
	random := rand.New(source)
	batches := make([]engine.Batch, len(all))
	for i, a := range all {
		b, err := a.batch(r.Batch)
		if err != nil {
			return nil, err
		}
		batches[i] = b
	}
	took := make([]time.Duration, r.Calls)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	for i := range took {
		from := time.Now()
		k := i % len(all)
		if r.Same {
			source.Seed(r.Seed, uint64(i/len(all)))
		} else {
			k = random.IntN(len(all))
		}
		b := batches[k]
		if r.Fresh {
			var err error
			if b, err = all[k].servable.Engine().NewBatch(r.Batch); err != nil {
				return nil, err
			}
		}
		if err := all[k].ask(b, r.Batch, random); err != nil && !refusal(err) {
			return nil, err
		}
		if r.Fresh {
			b.Close()
		}
		took[i] = time.Since(from)
	}
	whole := time.Since(began)
	runtime.ReadMemStats(&after)
	found := percentiles(took)
	found.RowUS = us(whole) / float64(r.Calls*r.Batch)
	found.Allocations = float64(after.Mallocs-before.Mallocs) / float64(r.Calls)
	return found, nil
}

// percentiles sorts the times of calls.
func percentiles(took []time.Duration) *timed {
	slices.Sort(took)
	at := func(share float64) float64 { return us(took[min(len(took)-1, int(share*float64(len(took))))]) }
	return &timed{P50US: at(0.5), P99US: at(0.99), WorstUS: at(1)}
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// refusal reports whether an error is only of rows.
func refusal(err error) bool {
	var several *engine.RowErrors
	return errors.As(err, &several)
}
