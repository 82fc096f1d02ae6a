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
	bank.Settle()
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
		if _, err := v.Score(ctx, profiles()[i%users], nil, logits); err != nil {
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

// BenchmarkUpdate replaces one classifier at a time, while merges go on in the background, and reports what they need.
func BenchmarkUpdate(b *testing.B) {
	bank := filled(b, 5000)
	version := uint64(1)
	b.Run("5000", func(b *testing.B) {
		files := make([]*classifiers.File, b.N)
		for i := range files {
			version++
			files[i] = fleet().Classifier(i*7%5000, version)
		}
		b.ResetTimer()
		for _, f := range files {
			apply(b, bank, classifiers.Change{File: f})
		}
		b.StopTimer()
		bank.Settle()
		report(b, bank)
	})
}

// BenchmarkScoreWhileUpdating is scores while 80 classifiers a second are replaced.
func BenchmarkScoreWhileUpdating(b *testing.B) {
	bank := filled(b, 5000)
	files := make([]*classifiers.File, 1000)
	for i := range files {
		files[i] = fleet().Classifier(i*7%5000, uint64(2+i))
	}
	b.Run("5000", func(b *testing.B) {
		done := make(chan struct{})
		var updates sync.WaitGroup
		updates.Go(func() {
			every := time.NewTicker(time.Second / 80)
			defer every.Stop()
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-every.C:
					bank.Apply(add(files[i%len(files)]))
				}
			}
		})
		scoreAll(b, bank)
		close(done)
		updates.Wait()
	})
}

// BenchmarkMerge writes a segment of 5,000 classifiers anew.
func BenchmarkMerge(b *testing.B) {
	bank := filled(b, 5000)
	s := bank.view()
	defer s.Release()
	var sources []source
	for _, p := range s.parts {
		sources = append(sources, source{p.segment, p.dead})
	}
	b.Run("5000", func(b *testing.B) {
		for b.Loop() {
			g, _, err := merge(&bank.account, bank.seed, sources)
			if err != nil {
				b.Fatal(err)
			}
			g.release()
		}
		report(b, bank)
	})
}

// BenchmarkPlainGo is what the kernel is compared with: the same structures, read by Go, with lookups in Go's maps.
func BenchmarkPlainGo(b *testing.B) {
	bank := filled(b, 5000)
	s := bank.view()
	defer s.Release()
	b.Run("5000", func(b *testing.B) {
		plain := newPlain(s)
		logits := make([]float64, len(s.campaigns))
		i := 0
		for b.Loop() {
			plain.score(profiles()[i%users], logits)
			i++
		}
	})
}

// plain scores the largest segment without C.
type plain struct {
	segment *segment
	values  []map[string]uint32 // by feature
}

func newPlain(s *state) *plain {
	p := &plain{}
	for i := range s.parts {
		if g := s.parts[i].segment; p.segment == nil || len(g.campaigns) > len(p.segment.campaigns) {
			p.segment = g
		}
	}
	g := p.segment
	for f := range g.features {
		of := map[string]uint32{}
		for v := g.first[f]; v < g.first[f+1]; v++ {
			of[string(g.text[g.values[v].text:g.values[v+1].text])] = v
		}
		p.values = append(p.values, of)
	}
	return p
}

func (p *plain) score(profile score.Profile, logits []float64) {
	g := p.segment
	logits = logits[:copy(logits, g.base[:len(g.campaigns)])]
	for f := range g.features {
		for i := range profile {
			if profile[i].Name != g.features[f].key {
				continue
			}
			v, known := p.values[f][profile[i].Value]
			if !known {
				break
			}
			for row, delta := range g.row(v) {
				logits[row] += float64(delta)
			}
			for _, e := range g.list(v) {
				logits[e.row&^fine] += float64(e.delta())
			}
		}
	}
}
