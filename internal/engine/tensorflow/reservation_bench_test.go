package tensorflow

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/batcher/batchertest"
)

// BenchmarkReservation asks a small model for a row every 700 µs while a larger one has full batches to run without end:
// what the small one's callers wait, by how the two share runners. An op is a row of the small one.
func BenchmarkReservation(b *testing.B) {
	fast, _ := opened(b, "logreg")
	slow, _ := opened(b, "deepfm")
	run := func(name string, own *batcher.PoolOptions, maxRunners int) {
		b.Run(name, func(b *testing.B) {
			shared := batchertest.NewPool(b, batcher.PoolOptions{Runners: 2})
			of := shared
			if own != nil {
				of = batchertest.NewPool(b, *own)
			}
			fastQueue := newQueue(b, shared, fast, batcher.QueueOptions{CalibrationRuns: 3})
			slowQueue := newQueue(b, of, slow, batcher.QueueOptions{CalibrationRuns: 3, MaxRunners: maxRunners, RescueAfter: -1})
			var stop atomic.Bool
			var callers sync.WaitGroup
			for range 6 {
				callers.Go(func() {
					out := make([]batcher.Result, 128)
					for !stop.Load() {
						t, err := slowQueue.Claim(len(out), time.Time{})
						if err != nil {
							b.Error(err)
							return
						}
						t.Commit()
						_ = t.Wait(context.Background(), out)
					}
				})
			}
			waits, out := make([]time.Duration, 0, b.N), make([]batcher.Result, 1)
			garbage := make([][]byte, 64) // collected now and then, as in a bidder
			b.ResetTimer()
			rows, at := slowQueue.Stats().RunRows, time.Now()
			for i := range b.N {
				at = at.Add(700 * time.Microsecond)
				if time.Until(at) < 0 {
					at = time.Now()
				}
				time.Sleep(time.Until(at))
				garbage[i%len(garbage)] = make([]byte, 32<<10)
				start := time.Now()
				t, err := fastQueue.Claim(len(out), time.Time{})
				if err != nil {
					b.Fatal(err)
				}
				if err := t.Wait(context.Background(), out); err != nil {
					b.Fatal(err)
				}
				waits = append(waits, time.Since(start))
			}
			b.StopTimer()
			rows = slowQueue.Stats().RunRows - rows
			stop.Store(true)
			callers.Wait()
			slices.Sort(waits)
			for _, q := range []struct {
				name  string
				share float64
			}{{"p50-µs", .5}, {"p99-µs", .99}, {"p999-µs", .999}} {
				b.ReportMetric(float64(waits[int(float64(len(waits))*q.share)].Nanoseconds())/1e3, q.name)
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "slow-rows/s")
			b.ReportMetric(0, "ns/op")
		})
	}
	run("runners=shared", nil, 0)
	run("runners=shared/max_runners=1", nil, 1)
	for _, nice := range []int{0, 5, 10, 19} {
		run(fmt.Sprintf("runners=own/nice=%d", nice), &batcher.PoolOptions{Runners: 2, Nice: nice}, 0)
	}
}

func newQueue(b *testing.B, p *batcher.Pool, s *Session, o batcher.QueueOptions) *batcher.Queue {
	q, err := p.NewQueue(s, o)
	if err != nil {
		b.Fatal(err)
	}
	return q
}
