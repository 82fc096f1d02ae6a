package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/metrics"
	"time"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/estimators"
	"gavel/internal/rank/score"
)

// workersFigures are of one pool over one directory: medians over rounds, and what each worker did in the round of median duration.
type workersFigures struct {
	Campaigns  int     `json:"campaigns"`
	Workers    int     `json:"workers"`
	MS         float64 `json:"ms"`          // one request for all
	BatchTasks float64 `json:"batch_tasks"` // tasks a batch
	LockUS     float64 `json:"lock_us"`     // all goroutines' waits for mutexes, a request
	Tasks      []int64 `json:"tasks"`       // by worker
	BusyMS     []int64 `json:"busy_ms"`     // by worker
}

// round is one request.
type round struct {
	ms, batchTasks, lockUS float64
	tasks, busy            []int64
}

// measureWorkers has a pool of workers score users one after another.
func measureWorkers(f *flag.FlagSet, args []string) (any, error) {
	dir := f.String("dir", "", "directory of estimators, trusted")
	profiles := f.String("profiles", "", "file of profiles, one a line")
	n := f.Int("workers", 2, "worker processes")
	rounds := f.Int("rounds", 20, "requests")
	batch := f.Duration("batch", 0, "aim for the duration of a batch; 0: the default, 1ns: single tasks")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	users, err := readProfiles(*profiles, *rounds)
	if err != nil {
		return nil, err
	}
	o := workers.Options{Workers: *n, Preparers: 2, BatchTime: *batch, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	ctx := context.Background()
	pool, err := workers.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	defer pool.Close(ctx)
	d, err := estimators.Open(estimators.Workers(pool), estimators.Options{Dir: *dir, Trusted: true, Readers: 4, Log: o.Log})
	if err != nil {
		return nil, err
	}
	if err := d.Scan(ctx); err != nil {
		return nil, err
	}
	for end := time.Now().Add(time.Minute); pool.Stats().Loads < int64(pool.Stats().Prepared); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return nil, fmt.Errorf("estimators were not loaded within a minute: %+v", pool.Stats())
		}
	}
	var done []round
	for i := -2; i < *rounds; i++ { // two to learn what tasks cost
		r, err := ask(ctx, pool, d, users[(i+2)%len(users)])
		if err != nil {
			return nil, err
		}
		if i >= 0 {
			done = append(done, r)
		}
	}
	of := func(value func(r round) float64) float64 {
		var values []float64
		for _, r := range done {
			values = append(values, value(r))
		}
		return median(values)
	}
	found := workersFigures{Campaigns: pool.Stats().Prepared, Workers: *n, MS: of(func(r round) float64 { return r.ms }),
		BatchTasks: of(func(r round) float64 { return r.batchTasks }), LockUS: of(func(r round) float64 { return r.lockUS })}
	nearest := math.Inf(1)
	for _, r := range done {
		if far := math.Abs(r.ms - found.MS); far < nearest {
			nearest, found.Tasks, found.BusyMS = far, r.tasks, r.busy
		}
	}
	return found, nil
}

// ask is one request for all.
func ask(ctx context.Context, pool *workers.Pool, d *estimators.Directory, p score.Profile) (r round, err error) {
	before, lock, began := pool.Stats(), lockWait(), time.Now()
	campaigns, probabilities, partial, err := d.Probabilities(ctx, p)
	if err != nil {
		return r, err
	}
	r.ms = ms(time.Since(began))
	after := pool.Stats()
	for _, v := range probabilities {
		if v != v {
			return r, fmt.Errorf("not all of %d campaigns were scored: %s", len(campaigns), partial)
		}
	}
	r.lockUS = 1e6 * (lockWait() - lock)
	r.batchTasks = float64(after.Tasks-before.Tasks) / float64(after.Batches-before.Batches)
	for i := range after.ByWorker {
		r.tasks = append(r.tasks, after.ByWorker[i].Tasks-before.ByWorker[i].Tasks)
		r.busy = append(r.busy, (after.ByWorker[i].BusyUS-before.ByWorker[i].BusyUS)/1000)
	}
	return r, nil
}

// lockWait is the time that goroutines have waited for mutexes, in seconds.
func lockWait() float64 {
	sample := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64()
}

func readProfiles(path string, most int) (profiles []score.Profile, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for in := bufio.NewScanner(file); in.Scan() && len(profiles) < most; {
		var of map[string]string
		if err := json.Unmarshal(in.Bytes(), &of); err != nil {
			return nil, err
		}
		var p score.Profile
		for name, value := range of {
			p = append(p, score.Field{Name: name, Value: value})
		}
		profiles = append(profiles, p)
	}
	if len(profiles) == 0 {
		return nil, fmt.Errorf("%s has no profiles", path)
	}
	return profiles, nil
}
