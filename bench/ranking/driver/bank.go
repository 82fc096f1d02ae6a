package main

import (
	"context"
	"flag"
	"log/slog"
	"math"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/ranktest"
	"gavel/internal/rank/score"
)

// bankFigures are what one bank costs. Memory is in units of 2^20 bytes: what is mapped outside of Go's heap, and the bank's part of Go's heap.
type bankFigures struct {
	Campaigns int     `json:"campaigns"`
	ScoreUS   float64 `json:"score_us"`  // CPU of a score of all, the mean over users
	WallUS    float64 `json:"wall_us"`   // median
	P99MS     float64 `json:"p99_ms"`    // wall
	MB        float64 `json:"mb"`        // merged
	MergeMB   float64 `json:"merge_mb"`  // at most, while it was filled and all classifiers were replaced
	UpdateMS  float64 `json:"update_ms"` // to replace one classifier among others, when it serves
}

// measureBank fills a bank, scores users one after another on one thread, and then replaces every classifier while users are scored.
func measureBank(f *flag.FlagSet, args []string) (any, error) {
	var s size
	s.flags(f)
	users := f.Int("users", 20_000, "users, so that each score is of another one than the caches know")
	replaced := f.Int("replaced", 5000, "classifiers replaced, 25 at once; 0: none")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	made := s.fleet()
	profiles := make([]score.Profile, *users)
	for i := range profiles {
		profiles[i] = made.Profile(i)
	}
	before := heap()
	b, err := bank.New(bank.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if s.prior {
		if err := apply(b, []classifiers.Change{{File: made.Prior()}}); err != nil {
			return nil, err
		}
	}
	if _, err := fill(b, made, s.campaigns, 250, 1); err != nil {
		return nil, err
	}
	b.Settle()
	now, _ := b.Bytes()
	own := heap() - before
	found := &bankFigures{Campaigns: s.campaigns, MB: mb(now + own)}
	if err := found.score(b, profiles); err != nil {
		return nil, err
	}
	if *replaced == 0 {
		return found, nil
	}
	took, err := fill(b, made, min(*replaced, s.campaigns), 25, 2)
	if err != nil {
		return nil, err
	}
	b.Settle()
	_, peak := b.Bytes()
	found.MergeMB, found.UpdateMS = mb(peak+own), median(took)
	return found, nil
}

// fill adds a version of n classifiers, some at once, and returns the ms that each classifier took to be applied.
func fill(b *bank.Bank, made *ranktest.Fleet, n, atOnce int, version uint64) (took []float64, err error) {
	for from := 0; from < n; from += atOnce {
		changes := make([]classifiers.Change, min(atOnce, n-from))
		_ = parallel(len(changes), func(i int) error {
			changes[i].File = made.Classifier(from+i, version)
			return nil
		})
		began := time.Now()
		if err := apply(b, changes); err != nil {
			return nil, err
		}
		took = append(took, ms(time.Since(began))/float64(len(changes)))
	}
	return took, nil
}

func apply(b *bank.Bank, changes []classifiers.Change) error {
	for _, err := range b.Apply(changes) {
		if err != nil {
			return err
		}
	}
	return nil
}

// score scores each user once, after a tenth of them to warm up.
func (f *bankFigures) score(b *bank.Bank, profiles []score.Profile) error {
	runtime.LockOSThread() // so that the thread's CPU time is that of the scores
	defer runtime.UnlockOSThread()
	ctx := context.Background()
	v := b.View()
	defer v.Release()
	logits := make([]float64, len(v.Campaigns()))
	took := make([]float64, 0, len(profiles))
	each := func(p score.Profile) error {
		_, err := v.Score(ctx, p, nil, logits)
		return err
	}
	for _, p := range profiles[:len(profiles)/10] {
		if err := each(p); err != nil {
			return err
		}
	}
	cpu := threadCPU()
	for _, p := range profiles {
		began := time.Now()
		if err := each(p); err != nil {
			return err
		}
		took = append(took, ms(time.Since(began)))
	}
	f.ScoreUS = float64((threadCPU() - cpu).Nanoseconds()) / 1e3 / float64(len(profiles))
	slices.Sort(took)
	f.WallUS, f.P99MS = 1e3*quantile(took, 0.5), quantile(took, 0.99)
	return nil
}

// heap is what lives on Go's heap, after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func mb(bytes int64) float64 { return math.Round(float64(bytes)/(1<<20)*10) / 10 }

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// threadCPU is the CPU time of the calling thread.
func threadCPU() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
