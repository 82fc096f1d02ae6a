package main

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"gavel/internal/engine"
)

// throughputRequest is a round of some seconds in which so many threads ask batches of random models.
type throughputRequest struct {
	Threads int     `json:"threads"`
	Batch   int     `json:"batch"`
	Seconds float64 `json:"seconds"`
	Seed    uint64  `json:"seed"`
}

// throughputAnswer answers it.
type throughputAnswer struct {
	RowsPerSecond float64 `json:"rows_per_second"`
}

func init() {
	commands["throughput"] = command{"batches of random models, on as many threads as a request says", throughput}
}

func throughput(args []string, l *lines) error {
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
		var r throughputRequest
		if more, err := l.next(&r); !more {
			return err
		}
		found, err := timeThroughput(all, r)
		if err != nil {
			return err
		}
		if err := l.answer(found); err != nil {
			return err
		}
	}
}

// timeThroughput gives each thread batches of its own. Models are shared.
func timeThroughput(all []*asked, r throughputRequest) (*throughputAnswer, error) {
	runtime.GOMAXPROCS(r.Threads)
	batches := make([][]engine.Batch, r.Threads)
	for t := range batches {
		for _, a := range all {
			b, err := a.servable.Engine().NewBatch(r.Batch)
			if err != nil {
				return nil, err
			}
			defer b.Close()
			batches[t] = append(batches[t], b)
		}
	}
	rows, faults := make([]int, r.Threads), make([]error, r.Threads)
	began := time.Now()
	until := began.Add(time.Duration(r.Seconds * float64(time.Second)))
	var threads sync.WaitGroup
	for t := range r.Threads {
		threads.Go(func() {
			random := rand.New(rand.NewPCG(r.Seed, uint64(t)))
			for time.Now().Before(until) {
				k := random.IntN(len(all))
				if err := all[k].ask(batches[t][k], r.Batch, random); err != nil && !refusal(err) {
					faults[t] = err
					return
				}
				rows[t] += r.Batch
			}
		})
	}
	threads.Wait()
	took, sum := time.Since(began).Seconds(), 0
	for t := range r.Threads {
		if faults[t] != nil {
			return nil, faults[t]
		}
		sum += rows[t]
	}
	return &throughputAnswer{float64(sum) / took}, nil
}
