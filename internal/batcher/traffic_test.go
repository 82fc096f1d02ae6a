package batcher

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gavel/internal/engine"
)

// burner is an engine that uses CPU time like a small DeepFM: a fixed time for each run, and a time for each row.
type burner struct{ fixed, perRow time.Duration }

type burnerBatch struct {
	noopBatch
	e burner
}

func (burner) Schema() *engine.Schema { return schemaOf(32) }
func (burner) Close() error           { return nil }
func (e burner) NewBatch(capacity int) (engine.Batch, error) {
	return &burnerBatch{noopBatch{newMemory(capacity, 32)}, e}, nil
}
func (b *burnerBatch) Run(n int) error { burn(b.e.fixed + time.Duration(n)*b.e.perRow); return nil }

var (
	burnt     atomic.Uint64
	loopsOnce sync.Once
	loopsPer  float64 // ns
)

func burn(d time.Duration) {
	loopsOnce.Do(func() {
		best := time.Hour
		for range 20 {
			start := time.Now()
			spin(1e5)
			best = min(best, time.Since(start))
		}
		loopsPer = 1e5 / float64(best)
	})
	spin(int(float64(d) * loopsPer))
}

func spin(n int) {
	x := uint64(n)
	for range n {
		x = x*6364136223846793005 + 1442695040888963407
	}
	burnt.Add(x & 1)
}

// BenchmarkClosedLoop has callers that each compute for 20 µs, then wait for one row. An op is a request.
func BenchmarkClosedLoop(b *testing.B) {
	for _, callers := range []int{1, 8, 32, 128} {
		for _, policy := range Policies {
			b.Run(fmt.Sprintf("callers=%d/policy=%s", callers, policy), func(b *testing.B) {
				p, q := burnerQueue(b, policy)
				b.ResetTimer()
				cpu := processCPU()
				var wg sync.WaitGroup
				var next atomic.Int64
				lat := make([]time.Duration, b.N)
				for range callers {
					wg.Go(func() {
						var out [1]Result
						for i := next.Add(1); int(i) <= b.N; i = next.Add(1) {
							burn(20 * time.Microsecond)
							lat[i-1] = askOnce(b, q, out[:])
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				report(b, p, q, lat, cpu)
			})
		}
	}
}

// BenchmarkOpenLoop offers single rows with Poisson arrivals. An op is a request. p50 and p99 are measured from the time
// that the request was due.
func BenchmarkOpenLoop(b *testing.B) {
	for _, rate := range []int{2000, 6000, 12000} {
		for _, policy := range Policies {
			b.Run(fmt.Sprintf("rate=%d/policy=%s", rate, policy), func(b *testing.B) {
				p, q := burnerQueue(b, policy)
				b.ResetTimer()
				cpu := processCPU()
				var wg sync.WaitGroup
				lat := make([]time.Duration, b.N)
				s := newPreciseSleeper()
				if s == nil {
					s = newTimerSleeper()
				}
				at := time.Now()
				for i := range b.N {
					at = at.Add(time.Duration(rand.ExpFloat64() / float64(rate) * 1e9))
					for d := time.Until(at); d > 0; d = time.Until(at) {
						s.sleep(d)
					}
					due := at
					wg.Go(func() {
						var out [1]Result
						burn(20 * time.Microsecond)
						askOnce(b, q, out[:])
						lat[i] = time.Since(due)
					})
				}
				wg.Wait()
				s.close()
				b.StopTimer()
				report(b, p, q, lat, cpu)
			})
		}
	}
}

func burnerQueue(b *testing.B, policy Policy) (*Pool, *Queue) {
	p, err := NewPool(PoolOptions{})
	if err != nil {
		b.Fatal(err)
	}
	burn(0)
	q, err := p.NewQueue(burner{40 * time.Microsecond, 3 * time.Microsecond}, QueueOptions{Policy: policy, CalibrationRuns: 5})
	if err != nil {
		b.Fatal(err)
	}
	return p, q
}

func askOnce(b *testing.B, q *Queue, out []Result) time.Duration {
	start := time.Now()
	t, err := q.Claim(len(out), time.Time{})
	if err != nil {
		b.Error(err)
		return 0
	}
	if err := t.Wait(context.Background(), out); err != nil {
		b.Error(err)
	}
	return time.Since(start)
}

func report(b *testing.B, p *Pool, q *Queue, lat []time.Duration, cpuBefore time.Duration) {
	cpu := processCPU() - cpuBefore
	s := q.Stats()
	slices.Sort(lat)
	n := len(lat)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/1e3/float64(n), "cpu-µs/req")
	b.ReportMetric(float64(lat[n/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(lat[n*99/100].Nanoseconds())/1e3, "p99-µs")
	b.ReportMetric(float64(s.Rows)/float64(max(s.Batches, 1)), "rows/batch")
	b.ReportMetric(float64(s.Inline)/float64(max(s.Batches, 1)), "inline")
	b.ReportMetric(float64(s.Rescued), "rescued")
	b.ReportMetric(0, "ns/op")
	if err := p.Close(context.Background()); err != nil {
		b.Error(err)
	}
}
