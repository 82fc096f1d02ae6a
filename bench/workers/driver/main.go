// Command driver measures a directory of estimators behind a pool of workers. `python -m bench.workers` makes the directory,
// starts it, and compares what it writes.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/metrics"
	"slices"
	"time"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/estimators"
	"gavel/internal/rank/score"
)

type settings struct {
	dir, profiles, out string
	workers, rounds    int
	deadline           time.Duration
	exact              bool
}

func main() {
	var s settings
	flag.StringVar(&s.dir, "dir", "", "directory of estimators, trusted")
	flag.StringVar(&s.profiles, "profiles", "", "JSON file: a list of profiles")
	flag.StringVar(&s.out, "out", "", "file for the probabilities of -exact: float64, profile after profile, campaigns ascending")
	flag.IntVar(&s.workers, "workers", 2, "worker processes")
	flag.IntVar(&s.rounds, "rounds", 15, "rounds of each measurement")
	flag.DurationVar(&s.deadline, "deadline", 200*time.Millisecond, "deadline of a request")
	flag.BoolVar(&s.exact, "exact", false, "write the probabilities of all profiles, and measure nothing")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// figures of one pool, in medians over rounds.
type figures struct {
	Classifiers    int     `json:"classifiers"`
	MakespanMS     float64 `json:"makespan_ms"`      // one request for all
	CoreUS         float64 `json:"core_us"`          // makespan × workers ÷ classifiers
	CPUUS          float64 `json:"cpu_us"`           // CPU of the workers, a task
	BatchTasks     float64 `json:"batch_tasks"`      // tasks a batch
	Tail           float64 `json:"tail"`             // share of the makespan after a worker's last answer
	LockUS         float64 `json:"lock_us"`          // all goroutines' waits for mutexes, a request
	InDeadline     int     `json:"in_deadline"`      // classifiers scored within the deadline
	InDeadlineBest int     `json:"in_deadline_best"` // in the best round
	AnswerMS       float64 `json:"answer_ms"`        // of those requests: the median
	AnswerLastMS   float64 `json:"answer_last_ms"`   // the slowest
}

func run(s settings) error {
	text, err := os.ReadFile(s.profiles)
	if err != nil {
		return err
	}
	var fields []map[string]string
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	var profiles []score.Profile
	for _, f := range fields {
		var p score.Profile
		for name, value := range f {
			p = append(p, score.Field{Name: name, Value: value})
		}
		profiles = append(profiles, p)
	}
	if s.exact {
		return exact(s, profiles)
	}
	sides := []*side{{name: "batches"}, {name: "singles"}, {name: "dealing"}}
	for _, side := range sides {
		o := options(s)
		switch side.name {
		case "singles":
			o.BatchTime = 1
		case "dealing":
			o.Dealing = true
		}
		if side.pool, side.directory, err = open(s, o); err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
		defer side.pool.Close(context.Background())
	}
	for round := -2; round < s.rounds; round++ { // two to learn costs; the sides take turns
		for _, side := range sides {
			if err := side.round(profiles[(round+2)%len(profiles)], round >= 0); err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
		}
	}
	result := map[string]*figures{}
	for _, side := range sides {
		result[side.name] = side.figures(s.workers)
	}
	if err := within(s, sides[0], profiles, result["batches"]); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func options(s settings) workers.Options {
	return workers.Options{Workers: s.workers, Preparers: 2, HelloTimeout: 5 * time.Minute, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

// open starts a pool and waits until it has loaded everything.
func open(s settings, o workers.Options) (*workers.Pool, *estimators.Directory, error) {
	pool, err := workers.Start(context.Background(), o)
	if err != nil {
		return nil, nil, err
	}
	d, err := estimators.Open(estimators.Workers(pool), estimators.Options{Dir: s.dir, Trusted: true, Readers: 4, Log: o.Log})
	if err == nil {
		err = d.Scan(context.Background())
	}
	if err == nil && len(d.Faults()) > 0 {
		err = fmt.Errorf("faults: %v", d.Faults())
	}
	if err == nil && len(d.View().Campaigns()) == 0 {
		err = fmt.Errorf("no estimators in %s", s.dir)
	}
	for end := time.Now().Add(5 * time.Minute); err == nil && pool.Stats().Loads < int64(pool.Stats().Prepared); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			err = fmt.Errorf("estimators were not loaded within 5 minutes: %+v", pool.Stats())
		}
	}
	if err != nil {
		_ = pool.Close(context.Background())
		return nil, nil, err
	}
	return pool, d, nil
}

// all scores a profile for all campaigns; it must be whole unless the context has a deadline.
func all(ctx context.Context, d *estimators.Directory, p score.Profile) (scored int, probabilities []float64, err error) {
	campaigns, probabilities, partial, err := d.Probabilities(ctx, p)
	if err != nil {
		return 0, nil, err
	}
	for _, v := range probabilities {
		if v == v {
			scored++
		}
	}
	if _, limited := ctx.Deadline(); !limited && scored < len(campaigns) {
		return 0, nil, fmt.Errorf("%d of %d were scored: %s", scored, len(campaigns), partial)
	}
	return scored, probabilities, nil
}

func exact(s settings, profiles []score.Profile) error {
	pool, d, err := open(s, options(s))
	if err != nil {
		return err
	}
	defer pool.Close(context.Background())
	var out bytes.Buffer
	for _, p := range profiles {
		_, probabilities, err := all(context.Background(), d, p)
		if err != nil {
			return err
		}
		if err := binary.Write(&out, binary.LittleEndian, probabilities); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.out, out.Bytes(), 0o644); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]int{"profiles": len(profiles), "classifiers": pool.Stats().Prepared})
}

// side is a pool that is measured, in turn with the others.
type side struct {
	name      string
	pool      *workers.Pool
	directory *estimators.Directory

	took, tails, locks, sizes, cpu []float64 // by round
}

// round has one request score everything.
func (s *side) round(p score.Profile, counts bool) error {
	before, lockBefore, cpuBefore, began := s.pool.Stats(), lockWait(), workersCPU(s.pool), time.Now()
	if _, _, err := all(context.Background(), s.directory, p); err != nil {
		return err
	}
	span, after, cpuAfter := time.Since(began), s.pool.Stats(), workersCPU(s.pool)
	if !counts {
		return nil
	}
	first, last := after.ByWorker[0].Answered, int64(0)
	for _, w := range after.ByWorker {
		first, last = min(first, w.Answered), max(last, w.Answered)
	}
	tasks := float64(after.Tasks - before.Tasks)
	s.took = append(s.took, float64(span.Microseconds())/1e3)
	s.tails = append(s.tails, float64(last-first)/float64(span.Nanoseconds()))
	s.locks = append(s.locks, (lockWait()-lockBefore)*1e6)
	s.sizes = append(s.sizes, tasks/float64(after.Batches-before.Batches))
	s.cpu = append(s.cpu, float64((cpuAfter-cpuBefore).Microseconds())/tasks)
	return nil
}

func (s *side) figures(workers int) *figures {
	f := &figures{Classifiers: len(s.directory.View().Campaigns()), MakespanMS: median(s.took), Tail: median(s.tails),
		LockUS: median(s.locks), BatchTasks: median(s.sizes), CPUUS: median(s.cpu)}
	f.CoreUS = f.MakespanMS * 1e3 * float64(workers) / float64(f.Classifiers)
	return f
}

// within counts what is scored within the deadline.
func within(s settings, of *side, profiles []score.Profile, f *figures) error {
	var in, answers []float64
	for round := range s.rounds {
		ctx, cancel := context.WithTimeout(context.Background(), s.deadline)
		began := time.Now()
		scored, _, err := all(ctx, of.directory, profiles[round%len(profiles)])
		answers = append(answers, float64(time.Since(began).Microseconds())/1e3)
		cancel()
		if err != nil {
			return err
		}
		in = append(in, float64(scored))
	}
	f.AnswerMS, f.AnswerLastMS = median(answers), slices.Max(answers)
	f.InDeadline, f.InDeadlineBest = int(median(in)), int(slices.Max(in))
	return nil
}

// workersCPU is the CPU time of a pool's workers, from their threads' run time.
func workersCPU(pool *workers.Pool) time.Duration {
	sum := time.Duration(0)
	for _, w := range pool.Stats().ByWorker {
		var ns int64
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", w.PID)); err == nil {
			_, _ = fmt.Sscan(string(data), &ns)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// lockWait is the time that goroutines have waited for mutexes, in seconds.
func lockWait() float64 {
	sample := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64()
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
