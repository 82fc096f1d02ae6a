package bank

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/ranktest"
	"gavel/internal/rank/score"
)

const users = 20_000 // profiles, so that each score is of another user than the caches know

// fleet is what is measured: classifiers that know 1,795 of 182,666 values each, and their prior.
var fleet = sync.OnceValue(func() *ranktest.Fleet { return ranktest.New(ranktest.Options{Prior: true}) })

var profiles = sync.OnceValue(func() []score.Profile {
	all := make([]score.Profile, users)
	for i := range all {
		all[i] = fleet().Profile(i)
	}
	return all
})

// filled returns a bank of n classifiers, all merged.
func filled(b *testing.B, n int) *Bank {
	b.Helper()
	bank := opened(b)
	apply(b, bank, add(fleet().Prior())...)
	for i := 0; i < n; i += 250 {
		var files []*classifiers.File
		for j := range min(250, n-i) {
			files = append(files, fleet().Classifier(i+j, 1))
		}
		apply(b, bank, add(files...)...)
	}
	settled(b, bank)
	return bank
}

const mb = 1 << 20

// report reports the bank's memory outside of Go's heap.
func report(b *testing.B, bank *Bank) {
	now, peak := bank.Bytes()
	b.ReportMetric(float64(now)/mb, "MB")
	b.ReportMetric(float64(peak)/mb, "merge_MB")
}

// cpuTime is the CPU time of this process.
func cpuTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// scoreAll scores users one after another, and reports the mean, in wall and CPU time, and the 99th percentile.
func scoreAll(b *testing.B, bank *Bank) {
	b.Helper()
	ctx := context.Background()
	took := make([]time.Duration, 0, b.N)
	var logits []float64
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime(b)
	for i := range b.N {
		began := time.Now()
		v := bank.View()
		if n := len(v.Campaigns()); n != len(logits) {
			logits = make([]float64, n)
		}
		if _, err := v.Score(ctx, profiles()[i%users], logits); err != nil {
			b.Fatal(err)
		}
		v.Release()
		took = append(took, time.Since(began))
	}
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/1e3/float64(b.N), "cpu_us")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50_us")
	b.ReportMetric(float64(took[min(len(took)-1, len(took)*99/100)].Nanoseconds())/1e3, "p99_us")
	report(b, bank)
}

// BenchmarkScore is one score of all classifiers.
func BenchmarkScore(b *testing.B) {
	for _, n := range []int{5000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			bank := filled(b, n)
			b.Run("users", func(b *testing.B) { scoreAll(b, bank) })
		})
	}
}
