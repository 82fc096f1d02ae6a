package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/columns"
	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/scoring"
)

// Heavy load, as in the paper: requests choose a model by Zipf's law with α = 2. Every second model is latency-sensitive and asked
// for one row at a time, the others for manyRows. Requests come by a Poisson process, whatever is answered: latency counts from
// when a request was due. One model, the probe, is asked single rows at a low rate of its own beside that.
//
// All go through internal/scoring and the batcher, as from the bidder's front doors. With a reservation the probe has a pool of its
// own, with one runner, and the others share one runner less.
const (
	manyRows   = 100
	zipf       = 2
	probeRate  = 200 // requests a second
	loadWithin = 3 * time.Minute
)

func init() {
	commands["heavy"] = command{"Zipf-distributed load through scoring and batcher, and a probe beside it: `driver heavy FLEET.json [reserve]`", heavy}
}

// heavyRequest is a round of some seconds; with a rate of 0 the probe is alone.
type heavyRequest struct {
	Rate    float64 `json:"rate"` // requests a second, the probe's not among them
	Seconds float64 `json:"seconds"`
	Seed    uint64  `json:"seed"`
}

// heavyAnswer answers it. Single are the latency-sensitive models.
type heavyAnswer struct {
	RowsPerSecond float64 `json:"rows_per_second"`
	Shed          int     `json:"shed"` // requests that were refused
	SingleMeanUS  float64 `json:"single_mean_us"`
	Single        *timed  `json:"single,omitempty"`
	Many          *timed  `json:"many,omitempty"`
	Probe         *timed  `json:"probe"`
	ProbeMeanUS   float64 `json:"probe_mean_us"`
}

func heavy(args []string, l *lines) error {
	reserve := len(args) == 2 && args[1] == "reserve"
	f, err := readFleet(args[:min(len(args), 1)])
	if err != nil {
		return err
	}
	tables, err := f.tables()
	if err != nil {
		return err
	}
	served, stop, err := f.serve(reserve)
	if err != nil {
		return err
	}
	defer stop()
	var targets []*target
	for i, m := range f.Models {
		version, err := served[i].AcquireVersion(0)
		if err != nil {
			return err
		}
		defer version.Release()
		t := &target{version: version}
		if t.rows, err = arrange(tables[m.Table], version.Schema().Inputs); err != nil {
			return err
		}
		targets = append(targets, t)
	}
	for {
		var r heavyRequest
		if more, err := l.next(&r); !more {
			return err
		}
		found, err := timeHeavy(targets, r)
		if err != nil {
			return err
		}
		if err := l.answer(found); err != nil {
			return err
		}
	}
}

// serve follows the models in the store until stop, and waits until all are ready. The first is the probe.
func (f *fleet) serve(reserve bool) (served []*scoring.Model, stop func(), err error) {
	var last []func()
	stop = func() {
		for i := range last {
			last[len(last)-1-i]()
		}
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	runners := 2
	if reserve {
		runners = 1
	}
	pools := make([]*batcher.Pool, 2)
	for i, n := range []int{1, runners} {
		if pools[i], err = batcher.NewPool(batcher.PoolOptions{Runners: n, Logger: log}); err != nil {
			return nil, stop, err
		}
		last = append(last, func() { _ = pools[i].Close(context.Background()) })
	}
	loaders := engine.Loaders{plan.Format: plan.Loader(plan.NewObjects(filepath.Join(f.Store, models.ObjectsDir)), plan.Options{})}
	group, err := models.NewGroup(models.GroupOptions{Store: modelsdir.New(f.Store), Loaders: loaders, Logger: log})
	if err != nil {
		return nil, stop, err
	}
	last = append(last, group.Close)
	all, err := scoring.New(scoring.Options{Group: group, Logger: log})
	if err != nil {
		return nil, stop, err
	}
	for i, m := range f.Models {
		pool := pools[1]
		if i == 0 && reserve {
			pool = pools[0]
		}
		model, err := all.Serve(m.Name, pool, batcher.QueueOptions{MaxRows: 128, QueueRows: 1 << 14, CalibrationRuns: 4})
		if err != nil {
			return nil, stop, err
		}
		last = append(last, func() { _ = model.Close(context.Background()) })
		served = append(served, model)
	}
	for until := time.Now().Add(loadWithin); ; time.Sleep(10 * time.Millisecond) {
		waiting := 0
		for _, model := range served {
			if !model.Ready() {
				waiting++
			}
		}
		if waiting == 0 {
			return served, stop, nil
		}
		if time.Now().After(until) {
			return nil, stop, fmt.Errorf("%d of %d models are not ready within %v", waiting, len(served), loadWithin)
		}
	}
}

// target is a version that requests ask.
type target struct {
	version *scoring.Version
	rows    columns.Table
}

// request is an answered request.
type request struct {
	took time.Duration
	rows int
	err  error
}

// ask scores n rows from row at on.
func (t *target) ask(at, n int, due time.Time) request {
	inputs := make([]engine.Column, len(t.rows.Columns))
	for i := range inputs {
		inputs[i] = part(t.rows.Columns[i], at, n)
	}
	fields := t.version.Schema().Outputs
	outputs := make([]engine.Column, len(fields))
	for i, f := range fields {
		outputs[i] = newColumn(f, n)
	}
	err := t.version.ScoreColumns(inputs, n, due.Add(time.Second), outputs, make([]error, n))
	if errors.Is(err, scoring.ErrRow) {
		err = nil // the peers' rows are refused too
	}
	return request{time.Since(due), n, err}
}

// sleepUntil sleeps in the calling thread. Go's timers can be a millisecond late in an idle process.
func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) { // signals end a sleep early
		span := syscall.NsecToTimespec(left.Nanoseconds())
		_ = syscall.Nanosleep(&span, nil)
	}
}

// timeHeavy offers the load and the probe's requests, and waits for all answers.
func timeHeavy(targets []*target, r heavyRequest) (*heavyAnswer, error) {
	var waiting sync.WaitGroup
	var mu sync.Mutex // guards what follows
	var single, many, probe []time.Duration
	found, rows := &heavyAnswer{}, 0
	// offer sends requests until the end: pick chooses a model and the rows of each.
	offer := func(rate float64, seed uint64, pick func(*rand.Rand) (*target, int), to func(n int) *[]time.Duration) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		random := rand.New(rand.NewPCG(r.Seed, seed))
		due := time.Now()
		until := due.Add(time.Duration(r.Seconds * float64(time.Second)))
		for {
			if due = due.Add(time.Duration(random.ExpFloat64() / rate * 1e9)); due.After(until) {
				return
			}
			t, n := pick(random)
			at, from := random.IntN(t.rows.Rows-n+1), due
			sleepUntil(due)
			waiting.Go(func() {
				answer := t.ask(at, n, from)
				mu.Lock()
				defer mu.Unlock()
				if answer.err != nil {
					found.Shed++
					return
				}
				rows += n
				*to(n) = append(*to(n), answer.took)
			})
		}
	}
	began := time.Now()
	waiting.Go(func() {
		offer(probeRate, 1, func(*rand.Rand) (*target, int) { return targets[0], 1 }, func(int) *[]time.Duration { return &probe })
	})
	if r.Rate > 0 {
		ranks := rand.NewZipf(rand.New(rand.NewPCG(r.Seed, 3)), zipf, 1, uint64(len(targets)-2))
		waiting.Go(func() {
			offer(r.Rate, 2, func(*rand.Rand) (*target, int) {
				k := 1 + int(ranks.Uint64())
				return targets[k], []int{manyRows, 1}[k%2]
			}, func(n int) *[]time.Duration {
				if n == 1 {
					return &single
				}
				return &many
			})
		})
	}
	waiting.Wait()
	found.RowsPerSecond = float64(rows) / time.Since(began).Seconds()
	for _, of := range []struct {
		took []time.Duration
		mean *float64
		to   **timed
	}{{single, &found.SingleMeanUS, &found.Single}, {many, new(float64), &found.Many}, {probe, &found.ProbeMeanUS, &found.Probe}} {
		if len(of.took) == 0 {
			continue
		}
		sum := time.Duration(0)
		for _, t := range of.took {
			sum += t
		}
		*of.mean, *of.to = us(sum)/float64(len(of.took)), percentiles(of.took)
	}
	if found.Probe == nil {
		return nil, fmt.Errorf("the probe was not answered once; %d requests were refused", found.Shed)
	}
	return found, nil
}
